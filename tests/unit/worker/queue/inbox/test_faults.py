"""Watches that are killed at any step, and several at once: every file is in one job, and in no more."""

import pytest

from worker.queue.inbox.inbox import Inbox

from .watched_place import Fate, KilledError, MortalStorage, Watched, rows_of

STEPS = 10
EACH_ONCE = {"a.jpg": 1, "1.png": 1, "cam/2.png": 1}


def drop(place: Watched) -> None:
    """A catalogue and two photos."""
    place.list("a.csv", "a.jpg")
    place.write("1.png", "")
    place.write("cam/2.png", "")


def fated(place: Watched, fate: Fate) -> Inbox:
    return place.inbox(MortalStorage(place.root / "jobs", fate))


def test_so_many_steps_are_walked(place: Watched) -> None:
    fate = Fate(0, lambda: None)
    drop(place)
    place.settle(fated(place, fate))
    assert fate.steps == STEPS


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_watch_that_is_killed_loses_and_doubles_nothing(place: Watched, step: int) -> None:
    def die() -> None:
        raise KilledError

    drop(place)
    fate = Fate(step, die)
    with pytest.raises(KilledError):
        place.settle(fated(place, fate))
    place.settle(place.inbox())
    assert rows_of(place.jobs) == EACH_ONCE
    assert not place.heard.refusals
    assert not place.heard.troubles


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_watch_that_is_overtaken_at_any_step_doubles_nothing(place: Watched, step: int) -> None:
    drop(place)
    other = place.inbox()
    other.look(place.now)

    def overtake() -> None:
        place.write("3.png", "")
        place.settle(other)

    place.settle(fated(place, Fate(step, overtake)), looks=4)
    assert rows_of(place.jobs) == {**EACH_ONCE, "3.png": 1}
    assert not place.heard.refusals
    assert not place.heard.troubles
    assert len(place.heard.new) == len(place.jobs.names()), "each job is told as new by one of them"


def test_a_file_that_is_replaced_while_it_is_read_becomes_no_job_of_mixed_rows(place: Watched) -> None:
    rows = 70_000
    place.list("big.csv", *(f"old-{row}.jpg" for row in range(rows)))
    inbox = place.inbox(MortalStorage(place.root / "jobs", Fate(3, lambda: place.list("big.csv", "new.jpg"))))
    place.settle(inbox)
    assert place.jobs.storage(next(iter(place.jobs.names()))).names("rows"), "it was read half"
    assert not rows_of(place.jobs)
    place.settle(inbox)
    assert rows_of(place.jobs) == {"new.jpg": 1}
    place.list("big.csv", *(f"old-{row}.jpg" for row in range(rows)))
    place.settle(inbox)
    assert rows_of(place.jobs).total() == rows + 1
    assert not place.heard.troubles
