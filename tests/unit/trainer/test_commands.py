import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from exporter.training_run import read_training_run
from models.errors import ExitCode
from models.fit import Decode, Fit
from tests.command import HANGTAG, clean_environment, run_hangtag
from trainer.request import Arch, Balance, TableOptions, TrainRequest
from trainer.run import RunState, open_run, read_history

FIRST_EPOCH = re.compile(r"\s*1/\d+ ")


@pytest.fixture
def training(session_cache, tmp_path, catalogue):
    """A training after its first epoch, with enough epochs left to run for a while."""
    for name in ("hat", "vase"):
        shutil.copytree(catalogue / name, tmp_path / "photos" / name)
    options = ("--arch", "simple", "--image-size", "32", "--batch-size", "16", "--epochs", "40", "--folds", "0")
    environment = {**os.environ, "XDG_CACHE_HOME": str(session_cache), "COLUMNS": "300"}
    command, lines = [*HANGTAG, "train", "photos", *options], []
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **piped) as process:
        for line in process.stdout:
            lines.append(line)
            if FIRST_EPOCH.match(line):
                break
        assert process.poll() is None, "".join(lines)
        yield process
        process.kill()


@pytest.fixture
def requested(monkeypatch):
    """Parses a command line into its request and run, without training."""
    seen = []

    def note(request, run, *, as_json):
        seen.append((request, run))
        return ExitCode.OK

    def ask(*words, **environment):
        assert run_hangtag("train", *words, env=clean_environment(**environment)).returncode == ExitCode.OK
        return seen[-1]

    monkeypatch.setattr("trainer.console.train_and_show", note)
    return ask


@pytest.mark.parametrize(
    ("options", "name"), [((), "photos"), (("--arch", "simple"), "photos-simple"), (("--name", "x"), "x")]
)
def test_a_run_is_named_after_its_data_and_architecture_unless_a_name_is_given(requested, options, name):
    _, run = requested("photos", "--out", "runs", *options)
    assert run == Path("runs") / name


def test_the_request_is_what_the_options_say(requested):
    words = ("--arch", "simple", "--image-size", 16, "--fit", "stretch", "--decode", "full", "--epochs", 1)
    more = ("--batch-size", 8, "--balance", "weights", "--folds", 2, "--time-limit", "1h", "--seed", 5, "--fix-leaks")
    table = ("--label-column", "colour", "--where", "a=1", "--where", "b=2", "--taxonomy", "tree.csv")
    request, _ = requested("products.csv", *words, *more, *table)
    assert request == TrainRequest(
        data=Path("products.csv"),
        arch=Arch.SIMPLE,
        image_size=16,
        fit=Fit.STRETCH,
        decode=Decode.FULL,
        epochs=1,
        batch=8,
        balance=Balance.WEIGHTS,
        folds=2,
        time_limit_s=3600.0,
        seed=5,
        fix_leaks=True,
        table=TableOptions(label_column="colour", where=["a=1", "b=2"]),
        taxonomy=Path("tree.csv"),
    )


def test_weights_that_the_environment_names_are_refused_by_its_name():
    ended = run_hangtag("train", "photos", env=clean_environment(HANGTAG_WEIGHTS="no-such.pth"))
    assert ended.returncode == ExitCode.USAGE
    assert ended.stderr.endswith(
        "HANGTAG_WEIGHTS: Expected imagenet, none or a file of weights, got no-such.pth, which does not exist.\n"
    )


@pytest.mark.rest
def test_ctrl_c_leaves_a_usable_run_that_can_be_resumed(training, tmp_path):
    run = tmp_path / "runs" / "train" / "photos-simple"
    training.send_signal(signal.SIGINT)
    output, _ = training.communicate(timeout=60)
    assert training.returncode == ExitCode.INTERRUPTED
    assert "hangtag train --resume runs/train/photos-simple" in output
    stopped = open_run(run).args()
    assert stopped.state is RunState.INTERRUPTED
    assert 1 <= stopped.epochs_done < 40
    assert read_training_run(run).originals
    assert (run / "report.html").is_file()
    table = (run / "results.csv").read_text()

    resumed = run_hangtag("train", "--resume", run, "--json")
    assert resumed.returncode == ExitCode.OK, resumed.stderr
    assert [row.epoch for row in read_history(run / "results.csv")] == list(range(1, 41))
    assert (run / "results.csv").read_text().startswith(table)
    assert open_run(run).args().state is RunState.COMPLETE
    figures = json.loads(resumed.stdout)
    assert set(figures) == {"run", "state", "arch", "epochs", "best_epoch", "report", "evaluation"}
    assert (figures["state"], figures["epochs"], figures["report"]) == ("complete", 40, str(run / "report.html"))
