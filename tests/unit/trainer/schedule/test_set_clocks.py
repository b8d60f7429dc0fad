"""Clocks of beats that are wrong, and are set: no slot is lost for good, none runs twice."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.storage.storage import FolderStorage
from tests.unit.trainer.schedule.beats import BEGIN, SCHEDULED, BeatWithWorker
from trainer.schedule.claims import ClaimStore

HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)


@pytest.fixture
def beat(config: Path, storage: FolderStorage) -> BeatWithWorker:
    return BeatWithWorker(config, storage)


def test_a_clock_that_was_a_year_ahead_silences_no_schedule(
    beat: BeatWithWorker, config: Path, storage: FolderStorage, caplog: pytest.LogCaptureFixture
) -> None:
    beat.at(BEGIN)
    beat.at(BEGIN + YEAR)
    afresh = BeatWithWorker(config, storage)
    assert afresh.at(BEGIN + HOUR) == ["20261122T040000Z"]
    assert beat.at(BEGIN + 2 * HOUR) == ["20261122T050000Z", "20271122T030000Z"], "the beat that was ahead, as well"
    told = {record.getMessage().split()[0] for record in caplog.records if record.levelname == "WARNING"}
    assert "slots_ahead" in told
    assert b'"skipped": 0' in storage.read("schedule/20261122T050000Z.json")


def test_a_schedule_that_a_clock_ahead_saw_first_begins_now(beat: BeatWithWorker) -> None:
    beat.at(BEGIN + YEAR)
    beat.at(BEGIN)
    assert beat.at(BEGIN + HOUR) == ["20261122T040000Z"]


def test_a_clock_that_is_set_back_runs_no_slot_again(beat: BeatWithWorker) -> None:
    for hours in (0, 1, 2, 3, 1, 2, 3, 4):
        beat.at(BEGIN + hours * HOUR)
    assert sorted(beat.runs.items()) == [(f"20261122T0{hour}0000Z", 1) for hour in (4, 5, 6, 7)]


def test_a_clock_that_was_ahead_for_long_silences_no_schedule(beat: BeatWithWorker) -> None:
    """Its claims are as many as are kept, so that all from before it went wrong are tidied away."""
    for hours in range(3):
        beat.at(BEGIN + hours * HOUR)
    for hours in range(110):
        beat.at(BEGIN + YEAR + hours * HOUR)
    assert min(beat.store.look().claimed) > "2027"
    assert "20261122T060000Z" in beat.at(BEGIN + 3 * HOUR)
    beat.at(BEGIN + HOUR)
    assert max(beat.runs.values()) == 1


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(-400, 400)), max_size=16))
@settings(max_examples=25, deadline=None)
def test_however_clocks_are_set_no_slot_runs_twice_and_the_next_one_runs(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[int, int]]
) -> None:
    """Two beats; each turn sets one's clock by a number of hours."""
    folder = tmp_path_factory.mktemp("shop")
    config, storage = folder / "shop.toml", FolderStorage(folder / "registry" / "shop")
    config.write_text(SCHEDULED.format(every="1h"))
    beats = [BeatWithWorker(config, storage), BeatWithWorker(config, storage)]
    for beat in beats:
        beat.at(BEGIN)
    for which, hours in turns:
        beats[which].at(BEGIN + hours * HOUR)
    runs = beats[0].runs + beats[1].runs
    claimed = ClaimStore(storage).look().claimed
    assert set(runs.values()) <= {1}
    assert set(runs) == set(claimed)
    free = next(n for n in range(401, 403) if f"{BEGIN + n * HOUR:%Y%m%dT%H0000Z}" not in claimed)
    assert f"{BEGIN + free * HOUR:%Y%m%dT%H0000Z}" in beats[0].at(BEGIN + free * HOUR)
