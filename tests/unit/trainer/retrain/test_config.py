from pathlib import Path

import pytest

from models.errors import InputError
from trainer.request import TableOptions
from trainer.retrain.config import RetrainConfig, read_config

CASES = [
    ('[schedule]\ncron = "0 3 * *"', r"five fields as in crontab\(5\).*got '0 3 \* \*'"),
    ('[schedule]\ncron = "0 3 * * *"\ntimezone = "Europe/Zurch"', "timezone .*got 'Europe/Zurch'"),
    ('[schedule]\nevery = "0s"', r"schedule\.every is invalid \(Expected a time"),
    ("[schedule]\nwhen = 'data'", r'either cron = "0 3 \* \* 0"'),
    ("tain = 1", r"tain is not a key here: is train meant\?"),
    ("[drift]\nxyz = 1", r"drift\.xyz is not a key here; there are jobs"),
    ("[catalogue]\nsource = 'a.csv'\nrow = 3", r"catalogue\.row is not a key here: is rows meant\?"),
    ('[classes]\ndrop = "vase"', r'classes\.drop .*a list such as \["vase"\]'),
    ('[train]\nepochs = "3"', r"train\.epochs .*a whole number without quotes\), got '3'"),
    ('[gate]\nmin_accuracy = "0.5"', r"gate\.min_accuracy .*a number without quotes"),
    ('[export]\nint8 = "yes"', r"export\.int8 .*true or false without quotes"),
    ("[train]\nfolds = 1", r"train is invalid \(folds: give 0, or 2 to 10"),
    ('[train]\ntime_limit = "soon"', r"train\.time_limit .*Expected a time.*got 'soon'[^,]*; see"),
    ("[mlflow]\nurl = 'x'", r"mlflow\.url is not a key here: is uri meant\?"),
    ("[mlflow]", r"mlflow\.uri is invalid \(it must be given\); see"),
    ('[schedule]\nevery = "6h"\nwhen = "drift"', r'\(when = "drift" .* jobs = \["jobs"\] under \[drift\]\); see'),
]


def written(folder: Path, more: str, name: str = "shop") -> Path:
    file = folder / "shop.toml"
    file.write_text(f'name = "{name}"\ndata = "photos"\n{more}\n')
    return file


@pytest.mark.parametrize(("more", "said"), CASES)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"shop\.toml: .*{said}"):
        read_config(written(tmp_path, more))


def test_a_name_that_no_model_can_have_is_said_with_file_and_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"shop\.toml: name is invalid .*letters, digits.*'\.\./x'"):
        read_config(written(tmp_path, "", "../x"))


def test_a_file_that_is_not_there_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"settings at \S+gone\.toml, the system answered No such file or directory;"):
        read_config(tmp_path / "gone.toml")


def test_settings_within_settings_without_end_are_refused(tmp_path: Path) -> None:
    """A message on the queue may name any file."""
    with pytest.raises(InputError, match=r"in TOML at \S+shop\.toml, could not read them: maximum recursion"):
        read_config(written(tmp_path, f"x = {'[' * 10_000}{']' * 10_000}"))


def test_what_is_right_is_read(tmp_path: Path) -> None:
    more = '[gate]\nmin_accuracy = 1\n[schedule]\ncron = "0 3 * * 0"\ntimezone = "Europe/Zurich"'
    config = read_config(written(tmp_path, more))
    assert (config.gate.min_accuracy, config.schedule.timezone) == (1.0, "Europe/Zurich")


PLACES = """
registry = "models"
corrections = "votes"
splits = "run/splits.csv"
[train]
weights = "body.weights.h5"
[drift]
jobs = ["jobs", "s3://shop/jobs"]
[catalogue]
source = "https://shop.example/rows.csv"
image_root = "images"
"""


def test_paths_start_at_the_files_own_folder_and_those_of_a_cycle_that_has_begun_stay(tmp_path: Path) -> None:
    """Whatever the current folder is: cron has another. URLs and the names of weights are no paths."""
    config = read_config(written(tmp_path, PLACES))
    assert (config.data, config.folder) == (tmp_path / "photos", tmp_path / "retraining" / "shop")
    assert (config.registry, config.train.weights) == (str(tmp_path / "models"), str(tmp_path / "body.weights.h5"))
    assert (config.corrections, config.splits) == (tmp_path / "votes", tmp_path / "run" / "splits.csv")
    assert config.drift.jobs == (str(tmp_path / "jobs"), "s3://shop/jobs")
    assert config.catalogue
    assert config.catalogue.source == "https://shop.example/rows.csv"
    assert config.catalogue.image_root == str(tmp_path / "images")
    assert RetrainConfig.model_validate(config.model_dump(mode="json")) == config
    plain = read_config(written(tmp_path, 'folder = "/srv/cycles"\n[train]\nweights = "none"'))
    assert (plain.registry, plain.folder) == (str(tmp_path / "registry"), Path("/srv/cycles"))
    assert plain.train.weights == "none"


def test_the_columns_of_a_table_have_the_names_of_the_options_of_train(tmp_path: Path) -> None:
    table = """
[train]
image_column = "main_photo"
label_column = "colour"
group_column = "sku"
where = ["category=dress"]
image_root = "images"
allow_hosts = ["img.shop.lan:443"]
"""
    config = read_config(written(tmp_path, table))
    assert config.train.table == TableOptions(
        image_column="main_photo",
        label_column="colour",
        group_column="sku",
        where=("category=dress",),
        image_root=str(tmp_path / "images"),
        allow_hosts=("img.shop.lan:443",),
    )
    assert RetrainConfig.model_validate(config.model_dump(mode="json")) == config
