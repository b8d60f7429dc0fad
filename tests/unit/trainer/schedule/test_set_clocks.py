"""Clocks of beats that are wrong, and are set: no slot is lost for good, none runs twice."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.storage.storage import FolderStorage
from trainer.retrain.cycle_folder import CycleStatus
from trainer.schedule.claims import ClaimStore, End
from trainer.schedule.queue import CycleMessage
from trainer.schedule.scheduler import ModelScheduler, WatchedConfig

BEGIN = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)


class Beat:
    """A scheduler with a clock that somebody sets, and a worker that ends each slot as soon as it is queued."""

    def __init__(self, config: Path, storage: FolderStorage) -> None:
        self.now = BEGIN
        self.runs: Counter[str] = Counter()
        self.book = ClaimStore(storage)
        self.scheduler = ModelScheduler(WatchedConfig(config), self, lambda: self.now)

    def waiting(self) -> set[CycleMessage]:
        return set()

    def send(self, message: CycleMessage) -> bool:
        self.runs[message.slot] += self.book.is_open(message.slot)
        self.book.end(End(slot=message.slot, status=CycleStatus.NOTHING_NEW, tries=1, at=""))
        return True

    def at(self, now: datetime) -> list[str]:
        """The slots that have run after a turn at that time, by this beat's clock."""
        self.now = now
        self.scheduler.turn()
        return sorted(self.runs)


@pytest.fixture
def beat(config: Path, storage: FolderStorage) -> Beat:
    return Beat(config, storage)


def test_a_clock_that_was_a_year_ahead_silences_no_schedule(
    beat: Beat, config: Path, storage: FolderStorage, caplog: pytest.LogCaptureFixture
) -> None:
    beat.at(BEGIN)
    beat.at(BEGIN + YEAR)
    afresh = Beat(config, storage)
    assert afresh.at(BEGIN + HOUR) == ["20261122T040000Z"]
    assert beat.at(BEGIN + 2 * HOUR) == ["20261122T050000Z", "20271122T030000Z"], "the beat that was ahead, as well"
    told = {record.getMessage().split()[0] for record in caplog.records if record.levelname == "WARNING"}
    assert "slots_ahead" in told
    assert b'"skipped": 0' in storage.read("schedule/20261122T050000Z.json")


def test_a_schedule_that_a_clock_ahead_saw_first_begins_now(beat: Beat) -> None:
    beat.at(BEGIN + YEAR)
    beat.at(BEGIN)
    assert beat.at(BEGIN + HOUR) == ["20261122T040000Z"]


def test_a_clock_that_is_set_back_runs_no_slot_again(beat: Beat) -> None:
    for hours in (0, 1, 2, 3, 1, 2, 3, 4):
        beat.at(BEGIN + hours * HOUR)
    assert sorted(beat.runs.items()) == [(f"20261122T0{hour}0000Z", 1) for hour in (4, 5, 6, 7)]


def test_a_clock_that_is_far_behind_runs_nothing_that_was_tidied_away(beat: Beat) -> None:
    for hours in range(110):
        beat.at(BEGIN + hours * HOUR)
    beat.at(BEGIN + 110 * HOUR + timedelta(days=40))
    claimed = beat.book.look().claimed
    assert len(claimed) == 100
    assert "20261122T050000Z" not in claimed
    beat.at(BEGIN + 2 * HOUR)
    assert max(beat.runs.values()) == 1


def test_a_clock_that_was_ahead_for_long_silences_no_schedule(beat: Beat) -> None:
    """Its claims are as many as are kept, so that all from before it went wrong are tidied away."""
    for hours in range(3):
        beat.at(BEGIN + hours * HOUR)
    for hours in range(110):
        beat.at(BEGIN + YEAR + hours * HOUR)
    assert min(beat.book.look().claimed) > "2027"
    assert "20261122T060000Z" in beat.at(BEGIN + 3 * HOUR)
    beat.at(BEGIN + HOUR)
    assert max(beat.runs.values()) == 1


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(-400, 400)), max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_clocks_are_set_no_slot_runs_twice_and_the_next_one_runs(
    tmp_path_factory: pytest.TempPathFactory, config: Path, turns: list[tuple[int, int]]
) -> None:
    """Two beats; each turn sets one's clock by a number of hours."""
    storage = FolderStorage(tmp_path_factory.mktemp("registry"))
    beats = [Beat(config, storage), Beat(config, storage)]
    for beat in beats:
        beat.at(BEGIN)
    for which, hours in turns:
        beats[which].at(BEGIN + hours * HOUR)
    runs = beats[0].runs + beats[1].runs
    assert not runs or max(runs.values()) == 1
    book = ClaimStore(storage)
    free = next(n for n in range(401, 403) if f"{BEGIN + n * HOUR:%Y%m%dT%H0000Z}" not in book.look().claimed)
    assert f"{BEGIN + free * HOUR:%Y%m%dT%H0000Z}" in beats[0].at(BEGIN + free * HOUR)
