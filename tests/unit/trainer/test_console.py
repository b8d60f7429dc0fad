import io
from pathlib import Path

import pytest
from rich.console import Console

from models.preprocess import PreprocessSpec
from trainer.console import TrainingScreen
from trainer.data.dataset import Split
from trainer.request import Arch, Balance
from trainer.run import EpochFigures, RunArgs
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.prepare import Prepared


@pytest.fixture
def console():
    """A log file's console: 80 columns, no colours, nothing that moves."""
    return Console(file=io.StringIO(), width=80)


def shown(console):
    """What was printed; Rich ends with an empty line, which says nothing."""
    return [line for line in console.file.getvalue().splitlines() if line.strip()]


def epoch(number, *, best=True):
    return EpochFigures(number, 2.3602, 0.1771, 2.2770, 0.25, 0.00197, images_per_s=1345, seconds=90, best=best)


def test_an_epoch_is_one_line_of_at_most_80_characters(console):
    with TrainingScreen(console) as screen:
        screen.epoch(epoch(2), 300)
    (line,) = shown(console)
    assert len(line) <= 80
    for part in ("2/300", "2.360", "0.177", "2.277", "0.250", "★", "1,345 "):
        assert part in line


def test_only_the_best_epochs_have_a_star(console):
    with TrainingScreen(console) as screen:
        for number, best in ((1, True), (2, False)):
            screen.epoch(epoch(number, best=best), 3)
    assert ["★" in line for line in shown(console)] == [True, False]


def test_the_time_left_is_of_the_epochs_that_are_to_come(console):
    with TrainingScreen(console) as screen:
        screen.epoch(epoch(1), 3)
        screen.epoch(epoch(3), 3)
    assert [line.split()[-1] for line in shown(console)] == ["3:00", "0:00"]


def test_the_data_is_summed_up_with_its_notes(console):
    splits = [Split.TRAIN] * 8 + [Split.VAL, Split.TEST]
    photos = [AssignedPhoto(Path(f"{i}.jpg"), "ab"[i % 2], split, str(i), str(i)) for i, split in enumerate(splits)]
    args = RunArgs(
        schema_version=2,
        name="shop",
        data="photos",
        arch=Arch.CNN,
        preprocess=PreprocessSpec(size=64),
        classes=("a", "b"),
        epochs=40,
        batch=32,
        patience=15,
        weights="none",
        alpha=None,
        balance=Balance.NONE,
        time_limit_s=None,
        folds=0,
        tensorboard=False,
        seed=0,
        made_with={},
    )
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared(photos, [], ("a", "b"), ("1 photos are exact duplicates of another",)), args)
    text = "\n".join(shown(console))
    for part in ("10 photos, 2 classes: 8 train, 1 val, 1 test", "exact duplicates", "cnn at 64×64 px", "40 epochs"):
        assert part in text


def test_bars_leave_nothing_in_a_log(console):
    with TrainingScreen(console) as screen:
        screen.advance("Decoding", 1, 2)
        screen.advance("Decoding", 2, 2)
        screen.step(1, 2)
        screen.epoch(epoch(1), 1)
    assert len(shown(console)) == 1
