from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.errors import InputError
from models.storage.storage import FolderStorage
from tests.unit.trainer.schedule.machines import Machine
from trainer.retrain.cycle_folder import CycleStatus
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import FOLDER, ClaimStore, SlotEnd
from trainer.schedule.queue import CycleMessage
from trainer.schedule.scheduler import MOST_OPEN, WatchedConfig, check_models_differ

HOUR = timedelta(hours=1)


@pytest.fixture
def due(machine: Machine) -> str:
    """A due time that has come since the schedule began; no machine has looked yet."""
    machine.turn()
    machine.now += HOUR
    return "20261122T040000Z"


def end(store: ClaimStore, slot: str) -> None:
    assert store.end(SlotEnd(slot=slot, status=CycleStatus.NOTHING_NEW, tries=1, at=""))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_the_past_of_a_new_schedule_is_no_slot(machine: Machine, store: ClaimStore) -> None:
    assert machine.turn() == 30 * 60
    assert store.look().claimed == ()


def test_a_slot_is_claimed_and_queued_once_whoever_looks(machine: Machine, due: str, store: ClaimStore) -> None:
    for _ in range(3):
        machine.turn()
    assert store.look().claimed == (due,)
    assert machine.sent == [due]


def test_of_missed_slots_the_last_is_claimed(machine: Machine, due: str, store: ClaimStore) -> None:
    machine.now += 9 * HOUR
    machine.turn()
    assert store.look().claimed == ("20261122T130000Z",)
    assert store.claim_of("20261122T130000Z").skipped == 9


def test_another_schedule_begins_when_it_is_first_seen(machine: Machine, store: ClaimStore) -> None:
    machine.turn()
    machine.now += HOUR
    for every in ("2h", "1h"):  # 4 o'clock is a due time of both; what comes back is new again
        machine.edit(every)
        machine.turn()
        assert store.look().claimed == ()
    machine.now += HOUR
    machine.turn()
    assert store.look().claimed == ("20261122T050000Z",)


def test_a_scheduler_follows_an_edit_that_can_be_used(machine: Machine, store: ClaimStore, caplog) -> None:
    scheduler = machine.scheduler()
    machine.edit("10m")
    assert scheduler.turn() == 10 * 60
    machine.config.write_text("[schedule")
    machine.now += timedelta(minutes=10)
    scheduler.turn()
    assert store.look().claimed == ("20261122T034000Z",)
    [refused] = warnings(caplog)
    assert "config_refused" in refused
    assert "Expected a retraining's settings in TOML" in refused
    machine.config.write_text('name = "shop"\ndata = "photos"\n')
    machine.now += HOUR
    assert scheduler.turn() == float("inf"), "[schedule] was taken out"
    assert len(store.look().claimed) == 1


def test_a_config_without_a_schedule_is_refused_at_the_start(config: Path) -> None:
    config.write_text('name = "shop"\ndata = "photos"\n')
    with pytest.raises(InputError, match=r"Expected \[schedule\] in"):
        WatchedConfig(config)


@pytest.mark.parametrize("place", ["", FOLDER], ids=["a cycle", "a worker"])
def test_nothing_is_queued_while_the_model_is_retrained(
    machine: Machine, due: str, storage: FolderStorage, place: str
) -> None:
    with CycleLock(storage.child(place) if place else storage).held():
        machine.turn()
        assert machine.sent == []
    machine.turn()
    assert machine.sent == [due]


def test_what_waits_in_the_queue_is_not_queued_again(machine: Machine, due: str, store: ClaimStore) -> None:
    machine.turn()
    machine.queued.clear()  # as a Redis does that loses everything
    machine.turn()
    machine.turn()
    assert machine.sent == [due] * 2
    machine.queued.clear()
    end(store, due)
    machine.turn()
    assert machine.sent == [due] * 2, "what is done is not queued"


def test_what_is_claimed_while_redis_is_away_is_queued_once_it_is_back(
    machine: Machine, due: str, store: ClaimStore, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = machine.scheduler()
    machine.away = True
    for _ in range(2):
        assert scheduler.turn_or_tell() <= 1
    assert (store.look().claimed, machine.sent) == ((due,), [])
    machine.away = False
    scheduler.turn_or_tell()
    assert machine.sent == [due]
    assert [text.split()[0] for text in warnings(caplog)] == ["cannot_keep_the_schedule"], "it is said once"


def test_where_cycles_take_too_long_slots_are_skipped(machine: Machine, due: str, store: ClaimStore) -> None:
    for _ in range(MOST_OPEN + 5):
        machine.turn()
        machine.now += HOUR
    claimed = store.look().claimed
    assert len(claimed) == MOST_OPEN
    end(store, claimed[0])
    machine.turn()
    newest = store.look().claimed[-1]
    assert (newest, store.claim_of(newest).skipped) == ("20261122T170000Z", 5)


def test_what_ended_long_ago_is_tidied_away_and_never_comes_back(machine: Machine, due: str, store: ClaimStore) -> None:
    scheduler = machine.scheduler()
    for _ in range(110):
        scheduler.turn()
        end(store, store.look().claimed[-1])
        machine.now += HOUR
    assert len(store.look().claimed) == 110, "of the last 30 days everything stays"
    machine.now += timedelta(days=40)
    machine.turn()
    claims = store.look()
    assert (len(claims.claimed), len(claims.done)) == (100, 99)
    assert len(machine.sent) == 111


def test_beats_that_have_two_configs_of_a_model_are_told(machine: Machine, due: str, tmp_path: Path, caplog) -> None:
    scheduler = machine.scheduler()
    scheduler.turn()
    assert not caplog.records
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(machine.config.read_text())
    for other in (machine.scheduler(elsewhere), scheduler, scheduler):
        machine.now += HOUR
        other.turn()
    told = warnings(caplog)
    assert [text.split()[0] for text in told] == ["other_config"] * 2, "each by the other; then one was left"
    assert f"config={elsewhere}" in told[0]
    assert f"other={elsewhere}" in told[1]


def test_a_slot_is_queued_with_the_config_that_claimed_it(machine: Machine, due: str, tmp_path: Path) -> None:
    """Else the worker would refuse it; a config that was moved has its due times where it is now."""
    machine.turn()
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(machine.config.read_text())
    for config in (machine.config, elsewhere):
        machine.queued.clear()
        machine.scheduler(elsewhere).turn()
        assert machine.queued == {CycleMessage(str(config), due)}
        machine.config.unlink(missing_ok=True)


def test_two_configs_of_one_model_are_refused(config: Path) -> None:
    other = config.with_name("shop2.toml")
    other.write_text(config.read_text().replace("1h", "2h"))
    with pytest.raises(InputError, match=r"shop\.toml and .*shop2\.toml both name shop in"):
        check_models_differ([WatchedConfig(config), WatchedConfig(other)])
    other.write_text(other.read_text().replace('"shop"', '"shoes"'))
    check_models_differ([WatchedConfig(config), WatchedConfig(other)])


def test_a_train_worker_runs_one_cycle_at_a_time() -> None:
    command = ["worker", "--queue", "train", "--workers", "2"]
    done = CliRunner().invoke(make_app(["worker"]), command, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "--workers is for a worker that labels" in done.output
