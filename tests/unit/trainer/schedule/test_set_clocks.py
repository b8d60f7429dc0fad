"""Clocks of machines that are wrong, and are set: no slot is lost for good, none runs twice."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.storage.storage import FolderStorage
from tests.unit.trainer.schedule.machines import BEGIN, SCHEDULED, MachineWithWorker
from trainer.schedule.claims import ClaimStore

HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)


@pytest.fixture
def machine(config: Path, storage: FolderStorage) -> MachineWithWorker:
    return MachineWithWorker(config, storage)


def test_a_clock_that_was_a_year_ahead_silences_no_schedule(
    machine: MachineWithWorker, config: Path, storage: FolderStorage, caplog: pytest.LogCaptureFixture
) -> None:
    machine.at(BEGIN)
    machine.at(BEGIN + YEAR)
    afresh = MachineWithWorker(config, storage)
    assert afresh.at(BEGIN + HOUR) == ["20261122T040000Z"]
    assert machine.at(BEGIN + 2 * HOUR) == ["20261122T050000Z", "20271122T030000Z"], (
        "the machine that was ahead, as well"
    )
    told = {record.getMessage().split()[0] for record in caplog.records if record.levelname == "WARNING"}
    assert "slots_ahead" in told
    assert b'"skipped": 0' in storage.read("schedule/20261122T050000Z.json")


def test_a_schedule_that_a_clock_ahead_saw_first_begins_now(machine: MachineWithWorker) -> None:
    machine.at(BEGIN + YEAR)
    machine.at(BEGIN)
    assert machine.at(BEGIN + HOUR) == ["20261122T040000Z"]


def test_a_clock_that_is_set_back_runs_no_slot_again(machine: MachineWithWorker) -> None:
    for hours in (0, 1, 2, 3, 1, 2, 3, 4):
        machine.at(BEGIN + hours * HOUR)
    assert sorted(machine.runs.items()) == [(f"20261122T0{hour}0000Z", 1) for hour in (4, 5, 6, 7)]


def test_a_clock_that_was_ahead_for_long_silences_no_schedule(machine: MachineWithWorker) -> None:
    """Its claims are as many as are kept, so that all from before it went wrong are tidied away."""
    for hours in range(3):
        machine.at(BEGIN + hours * HOUR)
    for hours in range(110):
        machine.at(BEGIN + YEAR + hours * HOUR)
    assert min(machine.store.look().claimed) > "2027"
    assert "20261122T060000Z" in machine.at(BEGIN + 3 * HOUR)
    machine.at(BEGIN + HOUR)
    assert max(machine.runs.values()) == 1


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(-400, 400)), max_size=16))
@settings(max_examples=25, deadline=None)
def test_however_clocks_are_set_no_slot_runs_twice_and_the_next_one_runs(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[int, int]]
) -> None:
    """Two machines; each turn sets one's clock by a number of hours."""
    folder = tmp_path_factory.mktemp("shop")
    config, storage = folder / "shop.toml", FolderStorage(folder / "registry" / "shop")
    config.write_text(SCHEDULED.format(every="1h"))
    machines = [MachineWithWorker(config, storage), MachineWithWorker(config, storage)]
    for machine in machines:
        machine.at(BEGIN)
    for which, hours in turns:
        machines[which].at(BEGIN + hours * HOUR)
    runs = machines[0].runs + machines[1].runs
    claimed = ClaimStore(storage).look().claimed
    assert set(runs.values()) <= {1}
    assert set(runs) == set(claimed)
    free = next(n for n in range(401, 403) if f"{BEGIN + n * HOUR:%Y%m%dT%H0000Z}" not in claimed)
    assert f"{BEGIN + free * HOUR:%Y%m%dT%H0000Z}" in machines[0].at(BEGIN + free * HOUR)
