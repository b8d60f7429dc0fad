"""How a worker knows, while it is told to stop, that its processes have nothing left in hand."""

import multiprocessing
import os
import signal

import pytest

from worker.queue.worker_state import BusyProcesses

FORK = multiprocessing.get_context("fork")


def test_nothing_is_in_hand_at_first() -> None:
    assert not BusyProcesses()


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


def test_an_error_ends_what_was_in_hand() -> None:
    busy = BusyProcesses()
    with pytest.raises(ZeroDivisionError), busy.taken():
        raise ZeroDivisionError
    assert not busy


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
