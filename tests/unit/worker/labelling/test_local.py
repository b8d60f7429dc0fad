import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.classifier import load
from models.errors import HangtagError
from worker.job.model import pin_of
from worker.labelling.local import LineFeed, load_or_take


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_lines_come_in_their_order_however_they_are_cut(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    feed = LineFeed(reading, lambda: None)
    os.write(writing, b"1\n2\n3")
    assert [feed.next(True), feed.next(False), feed.next(False)] == [1, 2, None]
    os.write(writing, b"4\n")
    assert feed.next(False) == 34
    os.close(writing)
    assert [feed.next(True), feed.next(False)] == [None, None]


def test_it_asks_for_more_once_until_more_comes(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    asked: list[int] = []
    feed = LineFeed(reading, lambda: asked.append(1))
    assert feed.next(False) is None
    assert asked == []  # the first comes by itself
    os.write(writing, b"1\n")
    feed.next(True)
    assert [feed.next(False), feed.next(False), len(asked)] == [None, None, 1]
    os.write(writing, b"2\n")
    assert [feed.next(False), feed.next(False), len(asked)] == [2, None, 2]
    os.close(writing)


def test_a_fork_takes_the_model_that_it_has_and_no_other(sure_bundle: Path, tmp_path: Path) -> None:
    loaded, gone = load(sure_bundle), tmp_path / "gone"
    pin = pin_of(sure_bundle, load(sure_bundle, threshold=0.5))
    taken = load_or_take([loaded], gone, pin, verified=True)
    assert (taken.digest, taken.threshold, taken.precision) == (loaded.digest, 0.5, None)
    for other in (pin.model_copy(update={"digest": "0" * 64}), pin.model_copy(update={"variant": "int8"})):
        with pytest.raises((HangtagError, OSError)):
            load_or_take([loaded], gone, other, verified=True)
