from pathlib import Path

import pytest

from models.errors import InputError
from trainer.request import TableOptions
from trainer.retrain.config import RetrainConfig, read_config

CASES = [
    ('[schedule]\ncron = "0 3 * * *"\ntimezone = "Europe/Zurch"', "schedule.timezone"),
    ('[schedule]\nevery = "0s"', "schedule.every"),
    ("[schedule]\nwhen = 'data'", "schedule"),
    ("tain = 1", "tain"),
    ("[catalogue]\nsource = 'a.csv'\nrow = 3", "catalogue.row"),
    ('[classes]\ndrop = "vase"', "classes.drop"),
    ('[train]\nepochs = "3"', "train.epochs"),
    ("[train]\nfolds = 1", "train"),
    ('[train]\ntime_limit = "soon"', "train.time_limit"),
    ("[mlflow]\nurl = 'x'", "mlflow.url"),
    ("[mlflow]", "mlflow.uri"),
    ('[schedule]\nevery = "6h"\nwhen = "drift"', "the file"),
]
"""Settings that cannot be used, and the key that the message names; ``tests/messages`` has the messages."""


def written(folder: Path, more: str, name: str = "shop") -> Path:
    file = folder / "shop.toml"
    file.write_text(f'name = "{name}"\ndata = "photos"\n{more}\n')
    return file


def test_an_invalid_model_name_deep_brackets_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.\./x"):
        read_config(written(tmp_path, "", "../x"))
    with pytest.raises(InputError, match=r"shop\.toml"):
        read_config(written(tmp_path, f"x = {'[' * 10_000}{']' * 10_000}"))
    with pytest.raises(InputError, match=r"gone\.toml"):
        read_config(tmp_path / "gone.toml")


def test_the_tracking_uri_may_be_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    config = read_config(written(tmp_path, "[mlflow]"))
    assert config.mlflow
    assert (config.mlflow.uri, config.mlflow.experiment) == ("http://mlflow:5000", "hangtag")


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


def test_paths_start_at_the_files_folder_and_stay_during_a_cycle(tmp_path: Path) -> None:
    """The current folder does not matter: cron has another. URLs and names of weights are not paths."""
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
