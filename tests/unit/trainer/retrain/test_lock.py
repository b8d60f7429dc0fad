import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event

import pytest

from models.errors import BusyError, ExitCode
from models.process_identity import Owner
from models.storage.storage import FolderStorage
from tests.until import until
from trainer.retrain.lock import CycleLock

LEASE_S = 30.0
ELSEWHERE = replace(Owner.this(), host="trainer2", machine="another boot/pid:[1]")


class Time:
    """Passes only when somebody waits; something may happen meanwhile."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.now = 1000.0
        self.meanwhile = meanwhile

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "shop")


def take(storage: FolderStorage, number: int, owner: Owner) -> CycleLock:
    """As a process of that owner would have."""
    text = json.dumps({"owner": asdict(owner), "since": "2026-11-20T03:00:00+00:00"})
    assert storage.commit(f"cycle/{number:06d}.json", text.encode())
    held = CycleLock(storage)
    held.number = number
    return held


def lock(storage: FolderStorage, time: Time) -> CycleLock:
    return CycleLock(storage, lease_s=LEASE_S, clock=time.clock, pause=time.pause)


def test_one_holds_it_and_then_the_next(storage: FolderStorage) -> None:
    with CycleLock(storage).held() as held:
        assert held.number == 1
        holder = CycleLock(storage).holder()
        assert holder
        assert holder.owner == Owner.this()
        with pytest.raises(BusyError, match=f"is being retrained by process {Owner.this().pid} on") as refused:
            CycleLock(storage).held().__enter__()
        assert refused.value.exit_code == ExitCode.BUSY == 6
    assert CycleLock(storage).holder() is None
    with CycleLock(storage).held() as held:
        assert held.number == 2


def test_it_is_given_back_when_the_cycle_fails(storage: FolderStorage) -> None:
    with pytest.raises(ZeroDivisionError), CycleLock(storage).held():
        _ = 1 / 0
    assert CycleLock(storage).holder() is None


def test_a_dead_process_of_this_machine_holds_nothing(storage: FolderStorage, ended_process: Owner) -> None:
    take(storage, 1, ended_process)
    time = Time()
    assert lock(storage, time).holder() is None
    with lock(storage, time).held() as held:
        assert held.number == 2
    assert time.now == 1000.0, "nobody waited"


def test_a_living_process_of_this_machine_needs_no_beat(storage: FolderStorage, living_process: Owner) -> None:
    take(storage, 1, living_process)
    time = Time()
    for _ in range(3):
        with pytest.raises(BusyError, match=rf"process {living_process.pid} on"):
            lock(storage, time).held().__enter__()
        time.now += 10 * LEASE_S


def test_a_silent_holder_elsewhere_is_watched_for_a_lease(storage: FolderStorage) -> None:
    take(storage, 1, ELSEWHERE).beat()
    time = Time()
    with lock(storage, time).held() as held:
        assert held.number == 2
    assert LEASE_S <= time.now - 1000.0 <= LEASE_S + 1.0


def test_a_holder_elsewhere_that_beats_is_alive(storage: FolderStorage) -> None:
    far = take(storage, 1, ELSEWHERE)
    time = Time(meanwhile=far.beat)
    with pytest.raises(BusyError, match="on trainer2"):
        lock(storage, time).held().__enter__()
    assert time.now - 1000.0 <= 1.0, "one beat is enough to know"


def test_who_watches_for_a_lease_need_not_wait(storage: FolderStorage) -> None:
    far = take(storage, 1, ELSEWHERE)
    time = Time()
    watching = lock(storage, time)
    for _ in range(5):
        assert watching.holder()
        time.now += LEASE_S - 0.1
        far.beat()
    assert watching.holder()
    time.now += LEASE_S
    assert watching.holder() is None


def test_whoever_was_silent_hears_that_another_took_over(storage: FolderStorage) -> None:
    far = take(storage, 1, ELSEWHERE)
    far.check()
    with lock(storage, Time()).held() as held:
        with pytest.raises(BusyError, match="with number 2 while this one was silent"):
            far.check()
        held.check()
    with pytest.raises(BusyError):
        far.check()


def test_a_number_that_was_tidied_away_is_not_taken_again(storage: FolderStorage) -> None:
    """Somebody who looked long ago finds its number free."""
    cycles = 12
    for _ in range(cycles):
        with CycleLock(storage).held():
            pass
    assert not storage.exists("cycle/000002.json")
    late = take(storage, 2, Owner.this())
    with pytest.raises(BusyError):
        late.check()
    with CycleLock(storage).held() as held:
        assert held.number == cycles + 1
    assert len(storage.names("cycle")) <= 20


def test_a_holder_beats_until_it_has_lost_the_lock_and_is_told(storage: FolderStorage) -> None:
    told = Event()
    with CycleLock(storage, beat_s=0.005).held(told.set):
        first = until(lambda: storage.exists("cycle/000001.beat") and storage.read("cycle/000001.beat"), "a beat")
        until(lambda: storage.read("cycle/000001.beat") != first, "another one")
        assert not told.is_set()
        take(storage, 2, ELSEWHERE)
        assert told.wait(30)
        last = storage.read("cycle/000001.beat")
        assert all(storage.read("cycle/000001.beat") == last for _ in range(2000))


def test_a_lock_whose_reply_nfs_lost_is_held_and_given_back(tmp_path: Path) -> None:
    """Else its holder would take itself for another, and wait for its own end."""

    def link(temporary: Path, final: Path) -> None:
        os.link(temporary, final)
        raise FileExistsError

    storage = FolderStorage(tmp_path / "shop", link=link)
    for number in (1, 2):
        with CycleLock(storage).held() as held:
            assert held.number == number
    assert CycleLock(storage).holder() is None
