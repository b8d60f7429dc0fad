import json
import shutil
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from tests.unit.trainer import run_files
from trainer.request import Balance, TableOptions
from trainer.run import EpochFigures, Run, RunState, best_of, check_free, open_run, read_history, write_history

ARGS = run_files.ARGS.model_copy(
    update={
        "balance": Balance.WEIGHTS,
        "time_limit_s": 600.0,
        "folds": 3,
        "table": TableOptions(label_column="colour", where=["category=dress"]),
        "parents": {"hat": "worn", "vase": "", "worn": ""},
        "photos_per_s": 85.0,
    }
    | {"state": RunState.INTERRUPTED, "epochs_done": 3, "best_epoch": 2}
)
GOLDEN = Path(__file__).with_name("args.json")


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "shop")


def test_args_json_is_as_documented_and_replaced_whole(run):
    run.write_args(ARGS)
    assert (run.path / "args.json").read_text() == json.dumps(json.loads(GOLDEN.read_text()), indent=1)
    assert open_run(run.path).args() == ARGS
    run.write_args(ARGS.model_copy(update={"epochs_done": 4}))
    assert run.args().epochs_done == 4
    assert [path.name for path in run.path.iterdir()] == ["args.json"]


def test_no_header_is_written_down(run):
    asked = TableOptions(headers=["Authorization: SECRET"])
    run.write_args(ARGS.model_copy(update={"table": asked}))
    assert "SECRET" not in (run.path / "args.json").read_text() + repr(asked)


@pytest.mark.parametrize(
    "change",
    [
        *[{"schema_version": 2}, {"unheard_of": 1}, {"epochs": "many"}, {"classes": None}, {"state": "asleep"}],
        *[{"arch": "vgg"}, {"balance": "even"}, {"alpha": "wide"}, {"folds": None}, {"fit": None}],
    ],
)
def test_args_of_another_version_are_refused(run, change):
    run.path.mkdir()
    (run.path / "args.json").write_text(json.dumps(json.loads(GOLDEN.read_text()) | change))
    with pytest.raises(InputError, match=r"args\.json"):
        run.args()


def test_a_place_that_is_taken_is_refused(run):
    check_free(run.path)
    run.path.mkdir()
    with pytest.raises(InputError, match=f"{run.path}"):
        check_free(run.path)


@pytest.mark.parametrize("text", [None, '{"temperature": 1}'])
def test_confidence_that_is_damaged_or_absent_is_refused(run, text):
    run.path.mkdir()
    if text is not None:
        run.confidence.write_text(text)
    with pytest.raises(InputError, match=f"{run.confidence}"):
        run.read_confidence()


FIGURES = (
    *("confidence.json", "evaluation.json", "classes.csv", "predictions.csv", "label_issues.csv"),
    *("report.html", "README.md", "results.csv"),
)
FINE_TUNED = (
    *("args.json", *FIGURES, "confusion_matrix.png", "export/val.npz", "export/unknown.npz", "folds/1/answers.npz"),
    *("weights/best.keras", "weights/last.keras", "weights/state.npz"),
)


def fill(run, text, files):
    for file in files:
        (run.path / file).parent.mkdir(parents=True, exist_ok=True)
        (run.path / file).write_text(text)


@pytest.mark.parametrize("stuck", FINE_TUNED)
def test_a_kill_while_networks_change_leaves_no_wrong_figures_and_a_second_call_completes(run, stuck):
    """For each file once: a folder blocks its destination."""
    fill(run, "head", {*FINE_TUNED, "splits.csv", "folds/5/answers.npz"} - {"weights/state.npz", "weights/last.keras"})
    fill(run.finetuning, "tuned", FINE_TUNED)
    (run.path / stuck).unlink(missing_ok=True)
    (run.path / stuck / "in the way").mkdir(parents=True)
    if not stuck.startswith("folds"):  # the head's folds are removed
        with pytest.raises(OSError, match="directory"):
            run.take_over(run.finetuning)
        network = run.best.read_text() if run.best.is_file() else "none"
        left = {path.read_text() for name in FIGURES if (path := run.path / name).is_file()}
        assert left <= {network}
        assert not run.confidence.is_file() or run.evaluation.read_text() == run.confidence.read_text()
        assert (run.finetuning.path / "args.json").is_file(), "what a resume goes by comes last"
        shutil.rmtree(run.path / stuck)
    run.take_over(run.finetuning)
    files = {path.relative_to(run.path).as_posix(): path.read_text() for path in run.path.rglob("*") if path.is_file()}
    assert files == dict.fromkeys(FINE_TUNED, "tuned") | {"splits.csv": "head"}
    assert not run.finetuning.path.exists()


HEADER = "epoch,train/loss,train/accuracy,val/loss,val/accuracy,lr,size,seconds,waiting,images_per_s"

shares, amounts = st.floats(0, 1), st.floats(0, 1e6)
rows = st.builds(
    EpochFigures,
    epoch=st.integers(1, 99_999),
    train_loss=amounts,
    train_accuracy=shares,
    val_loss=amounts,
    val_accuracy=shares,
    lr=shares,
    size=st.integers(16, 1024),
    seconds=amounts,
    waiting=shares,
    images_per_s=amounts,
)


def figures(epoch, val_accuracy, val_loss):
    return EpochFigures(epoch, 1.0, 0.5, val_loss, val_accuracy, 1e-3)


@pytest.mark.parametrize(
    ("history", "best"),
    [
        ([(0.5, 1.0), (0.7, 2.0), (0.6, 0.1)], 2),
        ([(0.7, 1.0), (0.7, 0.9), (0.7, 0.95)], 2),
        ([(0.7, 0.9), (0.7, 0.9)], 1),
        ([(0.5, 1.0), (0.7, float("nan"))], 1),
    ],
    ids=["accuracy first", "then loss", "then the earlier", "no number is never best"],
)
def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss(history, best):
    assert best_of([figures(i, *pair) for i, pair in enumerate(history, 1)]).epoch == best


@given(st.lists(rows, max_size=5))
def test_results_csv_is_read_as_it_was_written(tmp_path_factory, history):
    path = tmp_path_factory.mktemp("history") / "results.csv"
    assert read_history(path) == []
    write_history(path, history)
    assert path.read_text().splitlines()[0] == HEADER
    assert [astuple(row) for row in read_history(path)] == [astuple(row) for row in history]


@pytest.mark.parametrize(
    "damage", ["epoch,train/loss\n1,0.5\n", f"{HEADER}\n1,0.5\n", f"{HEADER}\n1,a,b,c,d,e,f,g,h,i\n"]
)
def test_damaged_results_are_refused(tmp_path, damage):
    (tmp_path / "results.csv").write_text(damage)
    with pytest.raises(InputError, match=r"results\.csv"):
        read_history(tmp_path / "results.csv")
