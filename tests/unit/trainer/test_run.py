import json
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from tests.unit.trainer import run_files
from trainer.data.table import TableRead
from trainer.request import Balance
from trainer.run import EpochFigures, Run, RunState, best_of, check_free, open_run, read_history, write_history

ARGS = run_files.ARGS.model_copy(
    update={
        "balance": Balance.WEIGHTS,
        "time_limit_s": 600.0,
        "folds": 3,
        "bfloat16": True,
        "photos_per_s": {"float32": 85.0, "bfloat16": 143.0},
        "tensorboard": True,
    }
    | {"state": RunState.INTERRUPTED, "epochs_done": 3, "best_epoch": 2}
)

ARGS_JSON = """{
 "schema_version": 2,
 "name": "shop",
 "data": "/srv/photos",
 "arch": "cnn",
 "preprocess": {
  "size": 64,
  "fit": "pad",
  "decode": "dct",
  "dct_floor": 1
 },
 "classes": [
  "hat",
  "vase"
 ],
 "epochs": 40,
 "batch": 64,
 "patience": 15,
 "weights": "none",
 "weights_sha256": null,
 "alpha": null,
 "balance": "weights",
 "time_limit_s": 600.0,
 "folds": 3,
 "cv": false,
 "fold_weights": null,
 "bfloat16": true,
 "photos_per_s": {
  "float32": 85.0,
  "bfloat16": 143.0
 },
 "tensorboard": true,
 "seed": 7,
 "splits": null,
 "fix_leaks": false,
 "unlabeled": null,
 "state": "interrupted",
 "epochs_done": 3,
 "best_epoch": 2,
 "made_with": {
  "keras": "3.15.1"
 }
}"""


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "shop")


def test_args_json_is_as_documented_and_replaced_whole(run):
    run.write_args(ARGS)
    assert (run.path / "args.json").read_text() == ARGS_JSON
    assert open_run(run.path).args() == ARGS
    run.write_args(ARGS.model_copy(update={"epochs_done": 4}))
    assert run.args().epochs_done == 4
    assert [path.name for path in run.path.iterdir()] == ["args.json"]


def test_what_an_earlier_version_spelled_otherwise_is_read(run):
    run.path.mkdir()
    assert run.unlabeled.name == "unlabeled.csv"
    (run.path / "unlabelled.csv").touch()
    assert run.unlabeled.name == "unlabelled.csv"
    (run.path / "args.json").write_text(ARGS_JSON.replace('"unlabeled": null', '"unlabelled": "/shop.csv"'))
    assert run.args().unlabeled == "/shop.csv"


@pytest.mark.parametrize(
    "change",
    [
        *[{"schema_version": 1}, {"unheard_of": 1}, {"epochs": "40"}, {"classes": None}, {"state": "asleep"}],
        *[{"arch": "vgg"}, {"balance": "even"}, {"alpha": "wide"}, {"folds": None}],
    ],
)
def test_args_of_another_version_are_refused(run, change):
    run.path.mkdir()
    (run.path / "args.json").write_text(json.dumps(json.loads(ARGS_JSON) | change))
    with pytest.raises(InputError, match=r"args\.json is damaged or of another version of Hangtag; train again"):
        run.args()


def test_a_folder_that_is_no_run_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"Expected a run .* found none; make one with hangtag train"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RunState.COMPLETE, "is a complete run; pass another --name$"),
        (RunState.INTERRUPTED, "exists; pass another --name, or go on with it: hangtag train --resume '.*my shop'$"),
        (None, "exists; pass another --name$"),
    ],
)
def test_what_is_in_the_way_of_a_new_run_is_said_as_a_shell_reads_it(tmp_path, state, said):
    run = Run(tmp_path / "my shop")
    check_free(run.path)
    run.path.mkdir()
    if state is not None:
        run.write_args(ARGS.model_copy(update={"state": state}))
    with pytest.raises(InputError, match=f"^'.*my shop' {said}"):
        check_free(run.path)


def test_pixels_are_kept_without_pickle(run):
    pixels, labels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3), np.array([1, 0])
    run.write_pixels("val", pixels, labels, np.array([0, 0]))
    assert all(map(np.array_equal, run_files.arrays(run.path / "export" / "val.npz"), (pixels, labels)))


def test_notes_are_read_as_they_were_written(run):
    assert run.notes() == ()
    for notes in ((), ("2 files set aside: see excluded.csv", "Largest class: béret, 帽子")):
        run.write_notes(notes)
        assert run.notes() == notes


@pytest.mark.parametrize("text", [None, "", '{"temperature": 1}'])
def test_confidence_that_is_damaged_or_absent_is_refused_with_what_to_do(run, text):
    run.path.mkdir()
    if text is not None:
        run.confidence.write_text(text)
    with pytest.raises(InputError, match=f"hangtag train --resume {run.path}"):
        run.read_confidence()


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
def test_damaged_results_are_refused_in_words(tmp_path, damage):
    (tmp_path / "results.csv").write_text(damage)
    with pytest.raises(InputError, match=r"Expected a row an epoch in .*results\.csv, it is damaged .*; train again"):
        read_history(tmp_path / "results.csv")


def test_how_a_table_was_read_is_kept_and_absent_without_one(run):
    table = TableRead("shot", "colour", "sku", ("category=dress",), "/shop", None, (), 10, 8, 1)
    run.write_args(ARGS.model_copy(update={"table": table}))
    assert run.args().table == table
    kept = json.loads((run.path / "args.json").read_text())["table"]
    assert (kept["label_column"], kept["where"], kept["rows_without_label"]) == ("colour", ["category=dress"], 1)
    run.write_args(ARGS)
    assert "table" not in json.loads((run.path / "args.json").read_text())
