import hashlib
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
import typer
from typer.testing import CliRunner

from exporter.training_run import read_training_run
from models.errors import DataError, ExitCode, InputError
from models.fit import Decode, Fit
from models.preprocess import PreprocessSpec
from tests.command import HANGTAG
from trainer.commands import register
from trainer.networks.choice import NamedWeights, check_signature
from trainer.request import Arch, Balance
from trainer.run import RunState, open_run, read_history

FIRST_EPOCH = re.compile(r"\s*1/\d+ ")


@pytest.fixture
def invoke():
    app = typer.Typer()
    register(app)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def training(session_cache, tmp_path, catalogue):
    """A training whose first epoch has just ended, with so many epochs to come that it is not over soon."""
    options = ("--arch", "cnn", "--image-size", "32", "--batch-size", "16", "--epochs", "10", "--seed", "1")
    environment = {**os.environ, "XDG_CACHE_HOME": str(session_cache), "COLUMNS": "300"}
    command, lines = [*HANGTAG, "train", str(catalogue), *options], []
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **piped) as process:
        for line in process.stdout:
            lines.append(line)
            if FIRST_EPOCH.match(line):
                break
        assert process.poll() is None, "".join(lines)
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give DATA"),
        (("photos", "--resume", "runs/train/shop"), "leave out DATA"),
        (("--resume", "runs/train/shop", "--epochs", "9"), "leave out --epochs"),
        (("photos", "--name", "../../shop"), "not a path"),
        (("photos", "--folds", "1"), "leaves nothing to learn from; give 0 (none), or 2 to 10"),
    ],
)
def test_either_data_or_a_run_to_resume_is_needed(invoke, arguments, said):
    result = invoke("train", *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert said in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    "option",
    [
        *[("--image-size", 15), ("--image-size", 1025), ("--epochs", 0), ("--batch-size", 0), ("--patience", 0)],
        *[("--seed", -1), ("--seed", 2**31), ("--arch", "vgg"), ("--folds", 11), ("--balance", "even")],
        *[("--fit", "squeeze"), ("--decode", "half"), ("--preset", "cheap")],
    ],
)
def test_values_that_make_no_sense_are_refused_naming_the_option(invoke, option):
    result = invoke("train", "photos", *option)
    assert result.exit_code == ExitCode.USAGE
    assert option[0] in result.output


@pytest.mark.parametrize(
    ("options", "name"), [((), "photos"), (("--arch", "simple"), "photos-simple"), (("--name", "x"), "x")]
)
def test_a_run_is_named_after_its_data_and_architecture_unless_a_name_is_given(
    invoke, tmp_path, catalogue, options, name
):
    """The name is seen in the refusal of a run that exists."""
    (tmp_path / name).mkdir()
    result = invoke("train", catalogue, "--out", tmp_path, *options)
    assert str(result.exception).startswith(f"{tmp_path / name} exists")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--arch", "cnn", "--alpha", 0.5), "cnn has no alpha"),
        (("--alpha", 0.5), "--alpha needs an architecture; pass --arch, too"),
        (("--arch", "mobilenet", "--weights", "none", "--alpha", 0), "Expected an alpha from 0.1 to 2"),
        (("--time-limit", "soon"), "Expected a time such as 90s, 10m or 1h30m"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(invoke, tmp_path, options, said):
    """There are no photos at all: nobody has looked for them yet."""
    result = invoke("train", tmp_path / "no-photos", "--out", tmp_path, *options)
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "said"),
    [("--unlabeled", "there is no such file or folder; check --unlabeled"), ("--weights", "there is no such file")],
)
def test_files_that_are_not_there_are_refused_before_any_work(invoke, catalogue, tmp_path, option, said):
    result = invoke("train", catalogue, "--out", tmp_path, option, tmp_path / "gone.h5")
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)


def test_a_file_that_holds_no_weights_is_refused_by_its_first_bytes(tmp_path):
    bad, good = tmp_path / "bad.h5", tmp_path / "good.keras"
    bad.write_bytes(b"<html>")
    good.write_bytes(b"PK\x03\x04")
    check_signature(good)
    check_signature(NamedWeights.NONE)
    with pytest.raises(InputError, match=r"bad\.h5 is damaged or not one; get it again"):
        check_signature(bad)


def test_what_is_asked_for_is_what_args_json_says(invoke, catalogue, tmp_path):
    for name in ("hat", "vase"):
        shutil.copytree(catalogue / name, tmp_path / "photos" / name)
    options = ("--arch", "simple", "--image-size", 16, "--fit", "stretch", "--decode", "full", "--epochs", 1)
    more = ("--batch-size", 8, "--balance", "sample", "--folds", 2, "--time-limit", "1h", "--tensorboard", "--seed", 5)
    (tmp_path / "all.csv").write_text(f"shot,sku\n{next((catalogue / 'lamp').glob('*.png')).name},7\ngone.png,8\n")
    source = ("--unlabeled", tmp_path / "all.csv", "--image-column", "shot", "--image-root", catalogue / "lamp")
    result = invoke("train", tmp_path / "photos", "--out", tmp_path, *options, *more, *source)
    assert result.exit_code == ExitCode.OK, result.output
    args = open_run(tmp_path / "photos-simple").args()
    assert args.preprocess == PreprocessSpec(size=16, fit=Fit.STRETCH, decode=Decode.FULL)
    assert (args.balance, args.folds, args.time_limit_s, args.tensorboard) == (Balance.SAMPLE, 2, 3600.0, True)
    assert (args.epochs, args.batch, args.seed, args.weights) == (1, 8, 5, "none")
    assert args.unlabeled == str(tmp_path / "all.csv")
    said = " ".join(result.output.split())
    assert (
        "1 photo without labels to learn from, of 2 rows of all.csv; left out: 1 cannot be read, such as row 2" in said
    )
    assert "--unlabeled brought nothing: " in said
    assert "report.html" in result.output


def test_options_of_photos_without_labels_are_refused_without_such(invoke):
    for option in (("--image-column", "a"), ("--image-root", "."), ("--encoding", "utf-8"), ("--allow-host", "h:80")):
        result = invoke("train", "photos", *option)
        assert result.exit_code == ExitCode.USAGE
        assert "need --unlabeled" in " ".join(result.output.replace("│", " ").split())


def test_a_table_and_photos_without_labels_share_their_columns_once_a_label_column_is_named(
    invoke, catalogue, tmp_path
):
    """Rows without a label are what the second network may learn from."""
    files = [file for name in ("hat", "vase", "lamp") for file in sorted((catalogue / name).glob("*.png"))]
    label = {"hat": "hat", "vase": "vase", "lamp": ""}
    rows = [f"{file.relative_to(catalogue)},{label[file.parent.name]}\n" for file in files]
    table = tmp_path / "products.csv"
    table.write_text("".join(["shot,kind\n", *rows]))
    options = ("--arch", "simple", "--image-size", 16, "--epochs", 1, "--folds", 0, "--out", tmp_path / "runs")
    named = ("--image-column", "shot", "--label-column", "kind", "--image-root", catalogue)
    result = invoke("train", table, *options, *named, "--unlabeled", table)
    assert result.exit_code == ExitCode.OK, result.output
    args = open_run(tmp_path / "runs" / "products-simple").args()
    assert (args.unlabeled, args.data) == (str(table), str(table))
    assert (args.table.image_column, args.table.label_column, args.table.image_root) == ("shot", "kind", str(catalogue))
    without = sum(row.endswith(",\n") for row in rows)
    assert (args.table.rows, args.table.rows_without_label) == (len(rows), without)
    said = " ".join(result.output.split())
    assert f"{without} rows have no label and are left out" in said
    assert f"{len(rows)} rows of products.csv" in said
    result = invoke("train", tmp_path, *options, "--label-column", "kind", "--unlabeled", table)
    assert "whose columns the options name" in str(result.exception)


def test_without_an_architecture_weights_decide_and_it_is_said_in_a_line(
    invoke, catalogue, tmp_path, monkeypatch, mobilenet_file
):
    """From HANGTAG_WEIGHTS; the run is named after its data alone, and knows what it began with."""
    for name in ("hat", "vase"):
        shutil.copytree(catalogue / name, tmp_path / "photos" / name)
    monkeypatch.setenv("HANGTAG_WEIGHTS", str(mobilenet_file))
    options = ("--preset", "quick", "--image-size", 32, "--epochs", 1, "--folds", 0)
    result = invoke("train", tmp_path / "photos", "--out", tmp_path / "runs", *options)
    assert result.exit_code == ExitCode.OK, result.output
    where = f"its weights are {mobilenet_file}. For a network with random weights: --arch cnn"
    assert f"Begin with mobilenet 0.25, pretrained: {where}" in result.output.splitlines()
    args = open_run(tmp_path / "runs" / "photos").args()
    assert (args.arch, args.alpha, args.weights) == (Arch.MOBILENET, 0.25, str(mobilenet_file))
    assert args.weights_sha256 == hashlib.sha256(mobilenet_file.read_bytes()).hexdigest()


def test_data_that_is_not_there_is_refused_before_anything_is_downloaded(invoke, tmp_path, keras_home):
    result = invoke("train", tmp_path / "no-photos", "--out", tmp_path)
    assert isinstance(result.exception, DataError)
    assert not keras_home.exists()


def test_ctrl_c_leaves_a_usable_run_that_can_be_resumed(training, invoke, tmp_path):
    run = tmp_path / "runs" / "train" / "photos-cnn"
    training.send_signal(signal.SIGINT)
    output, _ = training.communicate(timeout=60)
    assert training.returncode == ExitCode.INTERRUPTED
    assert "hangtag train --resume runs/train/photos-cnn" in output
    stopped = open_run(run).args()
    assert stopped.state is RunState.INTERRUPTED
    assert 1 <= stopped.epochs_done < 10
    assert read_training_run(run).originals
    assert {"val", "test", "thresholds"} <= set(json.loads((run / "evaluation.json").read_text()))
    assert (run / "report.html").is_file()
    table = (run / "results.csv").read_text()

    resumed = invoke("train", "--resume", run)
    assert resumed.exit_code == ExitCode.OK, resumed.output
    assert [row.epoch for row in read_history(run / "results.csv")] == list(range(1, 11))
    assert (run / "results.csv").read_text().startswith(table)
    assert open_run(run).args().state is RunState.COMPLETE
    assert f"{stopped.epochs_done + 1}/10 " in resumed.output
    assert " 1/10 " not in resumed.output
