from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from trainer.run import EpochFigures, best_of, read_history, write_history

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
    write_history(path, history)
    assert path.read_text().splitlines()[0] == HEADER
    assert [astuple(row) for row in read_history(path)] == [astuple(row) for row in history]


def test_a_run_without_results_has_no_history(tmp_path):
    assert read_history(tmp_path / "results.csv") == []


@pytest.mark.parametrize(
    "damage", ["epoch,train/loss\n1,0.5\n", f"{HEADER}\n1,0.5\n", f"{HEADER}\n1,a,b,c,d,e,f,g,h,i\n"]
)
def test_damaged_results_are_refused_in_words(tmp_path, damage):
    (tmp_path / "results.csv").write_text(damage)
    with pytest.raises(InputError, match=r"Expected a row an epoch in .*results\.csv, it is damaged .*; train anew"):
        read_history(tmp_path / "results.csv")
