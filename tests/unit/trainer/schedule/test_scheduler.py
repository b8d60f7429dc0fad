from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.errors import InputError
from models.storage.storage import FolderStorage
from trainer.retrain.cycle_folder import CycleStatus
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import FOLDER, ClaimStore, End
from trainer.schedule.queue import CycleMessage
from trainer.schedule.scheduler import MOST_OPEN, ModelScheduler, WatchedConfig, check_models_differ

BEGIN = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Office:
    """Schedulers of one config, a clock that somebody sets, and a queue that takes everything."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.now = BEGIN
        self.queue: set[CycleMessage] = set()
        self.sent: list[str] = []

    def waiting(self) -> set[CycleMessage]:
        return self.queue

    def send(self, message: CycleMessage) -> bool:
        self.queue.add(message)
        self.sent.append(message.slot)
        return True

    def turn(self) -> float:
        """Of a scheduler that has just begun, as far as it remembers anything."""
        return ModelScheduler(WatchedConfig(self.config), self, lambda: self.now).turn()


@pytest.fixture
def office(config: Path) -> Office:
    return Office(config)


def edit(config: Path, every: str) -> None:
    config.write_text(f'name = "shop"\ndata = "photos"\n[schedule]\nevery = "{every}"\n')


def test_the_past_of_a_new_schedule_is_no_slot(office: Office, book: ClaimStore) -> None:
    assert office.turn() == 30 * 60
    assert book.look().claimed == ()


def test_a_slot_is_claimed_and_queued_once_whoever_looks(office: Office, book: ClaimStore) -> None:
    office.turn()
    office.now += HOUR
    for _ in range(3):
        office.turn()
    assert book.look().claimed == ("20261122T040000Z",)
    assert office.sent == ["20261122T040000Z"]


def test_of_missed_slots_the_last_is_claimed(office: Office, book: ClaimStore, storage: FolderStorage) -> None:
    office.turn()
    office.now += 10 * HOUR
    office.turn()
    assert book.look().claimed == ("20261122T130000Z",)
    assert b'"skipped": 9' in storage.read("schedule/20261122T130000Z.json")


def test_another_schedule_begins_when_it_is_first_seen(office: Office, book: ClaimStore) -> None:
    office.turn()
    edit(office.config, "2h")
    office.now = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)
    office.turn()
    assert book.look().claimed == (), "4 o'clock was a slot of both, and of the new one before it was there"
    edit(office.config, "1h")
    office.turn()
    assert book.look().claimed == (), "what came back is new again"
    office.now += HOUR
    office.turn()
    assert book.look().claimed == ("20261122T050000Z",)


def test_a_desk_follows_an_edit(office: Office, book: ClaimStore) -> None:
    scheduler = ModelScheduler(WatchedConfig(office.config), office, lambda: office.now)
    assert scheduler.turn() == 30 * 60
    edit(office.config, "10m")
    assert scheduler.turn() == 10 * 60
    office.now += timedelta(minutes=10)
    scheduler.turn()
    assert book.look().claimed == ("20261122T034000Z",)


def test_a_schedule_that_is_taken_out_asks_for_nothing(office: Office, book: ClaimStore) -> None:
    scheduler = ModelScheduler(WatchedConfig(office.config), office, lambda: office.now)
    scheduler.turn()
    office.config.write_text('name = "shop"\ndata = "photos"\n')
    office.now += HOUR
    assert scheduler.turn() == float("inf")
    assert book.look().claimed == ()


def test_a_config_without_a_schedule_is_refused_at_the_start(config: Path) -> None:
    config.write_text('name = "shop"\ndata = "photos"\n')
    with pytest.raises(InputError, match=r"Expected \[schedule\] in"):
        WatchedConfig(config)


@pytest.mark.parametrize("place", ["", FOLDER], ids=["a cycle", "a worker"])
def test_nothing_is_queued_while_the_model_is_retrained(office: Office, storage: FolderStorage, place: str) -> None:
    office.turn()
    office.now += HOUR
    with CycleLock(storage.child(place) if place else storage).held():
        office.turn()
        assert office.sent == []
    office.turn()
    assert office.sent == ["20261122T040000Z"]


def test_what_waits_in_the_queue_is_not_queued_again(office: Office) -> None:
    office.turn()
    office.now += HOUR
    office.turn()
    office.queue.clear()  # as a Redis does that loses everything
    office.turn()
    office.turn()
    assert office.sent == ["20261122T040000Z"] * 2


def test_what_is_done_is_not_queued(office: Office, book: ClaimStore) -> None:
    office.turn()
    office.now += HOUR
    office.turn()
    office.queue.clear()
    assert book.end(End(slot="20261122T040000Z", status=CycleStatus.REFUSED, tries=1, at=""))
    office.turn()
    assert len(office.sent) == 1


def test_where_cycles_take_too_long_slots_are_skipped(office: Office, book: ClaimStore, storage: FolderStorage) -> None:
    office.turn()
    for _ in range(MOST_OPEN + 5):
        office.now += HOUR
        office.turn()
    claimed = book.look().claimed
    assert len(claimed) == MOST_OPEN
    book.end(End(slot=claimed[0], status=CycleStatus.PROMOTED, tries=1, at=""))
    office.turn()
    newest = book.look().claimed[-1]
    assert newest == "20261122T160000Z"
    assert b'"skipped": 4' in storage.read(f"schedule/{newest}.json")


def test_what_ended_long_ago_is_tidied_away_and_never_comes_back(office: Office, book: ClaimStore) -> None:
    office.turn()
    slots = 130
    for _ in range(slots):
        office.now += HOUR
        office.turn()
        book.end(End(slot=book.look().claimed[-1], status=CycleStatus.NOTHING_NEW, tries=1, at=""))
    assert len(book.look().claimed) == slots, "of the last 30 days everything stays"
    office.now += timedelta(days=40)
    office.turn()
    shelf = book.look()
    assert len(shelf.claimed) == 100
    assert len(shelf.done) == 99
    assert len(office.sent) == slots + 1


def test_beats_that_have_two_configs_of_a_model_are_told(
    office: Office, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = ModelScheduler(WatchedConfig(office.config), office, lambda: office.now)
    scheduler.turn()
    office.now += HOUR
    scheduler.turn()
    assert not caplog.records
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(office.config.read_text())
    for keeper in (ModelScheduler(WatchedConfig(elsewhere), office, lambda: office.now), scheduler, scheduler):
        office.now += HOUR
        keeper.turn()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text.split()[0] for text in told] == ["other_config"] * 2, "each by the other; then one was left"
    assert f"config={elsewhere}" in told[0]
    assert f"other={elsewhere}" in told[1]


def test_a_slot_is_queued_with_the_config_that_claimed_it(office: Office, tmp_path: Path) -> None:
    """Else the worker would refuse it; a config that was moved has its slots where it is now."""
    office.turn()
    office.now += HOUR
    office.turn()
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(office.config.read_text())
    asked = CycleMessage(str(office.config), "20261122T040000Z")
    for moved in (False, True):
        if moved:
            office.config.unlink()
        office.queue.clear()
        ModelScheduler(WatchedConfig(elsewhere), office, lambda: office.now).turn()
        assert office.queue == {replace(asked, config=str(elsewhere)) if moved else asked}


def test_two_configs_of_one_model_are_refused(config: Path) -> None:
    other = config.with_name("shop2.toml")
    other.write_text(config.read_text().replace("1h", "2h"))
    with pytest.raises(InputError, match=r"shop\.toml and .*shop2\.toml are both of shop in"):
        check_models_differ([WatchedConfig(config), WatchedConfig(other)])
    other.write_text(other.read_text().replace('"shop"', '"shoes"'))
    check_models_differ([WatchedConfig(config), WatchedConfig(other)])
