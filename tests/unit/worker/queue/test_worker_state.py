import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from models.errors import InputError
from worker.queue.worker_state import BusyProcesses, Heartbeat

LONG_AGO = 1_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Touched long ago."""
    file = tmp_path / "heartbeat"
    file.touch()
    os.utime(file, (LONG_AGO, LONG_AGO))
    return file


def test_a_beat_touches_the_file(file: Path) -> None:
    """Where no reconciler turns, as in a scheduler and a train worker, whatever the time."""
    Heartbeat(file, stuck_s=0.0).beat()
    assert file.stat().st_mtime > LONG_AGO


def test_without_turns_of_the_reconciler_it_does_not(file: Path) -> None:
    heartbeat = Heartbeat(file, stuck_s=0.0)
    heartbeat.turned()
    heartbeat.beat()
    assert file.stat().st_mtime == LONG_AGO


@pytest.mark.parametrize(("name", "said"), [("nowhere/heartbeat", "choose another"), (".", "is a folder")])
def test_a_file_that_cannot_be_touched_is_refused(tmp_path: Path, name: str, said: str) -> None:
    """An empty HANGTAG_HEARTBEAT would be the current folder."""
    with pytest.raises(InputError, match=said):
        Heartbeat(tmp_path / name).check()


def test_a_disk_that_is_full_later_is_told_once_and_ends_nothing(tmp_path, caplog) -> None:
    heartbeat = Heartbeat(tmp_path / "nowhere" / "heartbeat")
    heartbeat.beat()
    heartbeat.beat()
    assert [record.event for record in caplog.records] == ["no_heartbeat"]


FORK = multiprocessing.get_context("fork")


def test_what_a_forked_process_takes_is_seen_until_it_is_done() -> None:
    busy, taken, go_on = BusyProcesses(), FORK.Event(), FORK.Event()

    def work() -> None:
        with busy.taken():
            taken.set()
            go_on.wait()

    process = FORK.Process(target=work)
    process.start()
    assert taken.wait(10)
    assert busy
    go_on.set()
    process.join()
    assert not busy


def test_a_process_that_is_killed_blocks_nobody() -> None:
    busy = BusyProcesses()

    def work() -> None:
        with busy.taken():
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=work)
    process.start()
    process.join()
    assert busy, "it counts as busy"
    with busy.taken():
        pass
    assert not busy, "until the process in its place has ended a task"


def test_a_forked_process_hears_that_the_worker_stops() -> None:
    busy, told = BusyProcesses(), FORK.Event()

    def work() -> None:
        with busy.taken():
            told.wait()
        os._exit(busy.stops)

    process = FORK.Process(target=work)
    process.start()
    assert not busy.stops
    busy.stop()
    told.set()
    process.join()
    assert process.exitcode == 1
