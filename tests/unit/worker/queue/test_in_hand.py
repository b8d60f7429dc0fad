"""How a worker knows, while it is told to stop, that its processes have nothing left in hand."""

import multiprocessing
import os
import signal

import pytest

from worker.queue.worker_state import InHand

FORK = multiprocessing.get_context("fork")


def test_nothing_is_in_hand_at_first() -> None:
    assert not InHand()


def test_what_a_forked_process_takes_is_seen_until_it_is_done() -> None:
    in_hand, taken, go_on = InHand(), FORK.Event(), FORK.Event()

    def work() -> None:
        with in_hand.taken():
            taken.set()
            go_on.wait()

    process = FORK.Process(target=work)
    process.start()
    assert taken.wait(10)
    assert in_hand
    go_on.set()
    process.join()
    assert not in_hand


def test_a_process_that_is_killed_blocks_nobody() -> None:
    in_hand = InHand()

    def work() -> None:
        with in_hand.taken():
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=work)
    process.start()
    process.join()
    assert in_hand, "it counts as busy"
    with in_hand.taken():
        pass
    assert not in_hand, "until the process in its place has ended a task"


def test_an_error_ends_what_was_in_hand() -> None:
    in_hand = InHand()
    with pytest.raises(ZeroDivisionError), in_hand.taken():
        raise ZeroDivisionError
    assert not in_hand


def test_a_forked_process_hears_that_the_worker_stops() -> None:
    in_hand, told = InHand(), FORK.Event()

    def work() -> None:
        with in_hand.taken():
            told.wait()
        os._exit(in_hand.stops)

    process = FORK.Process(target=work)
    process.start()
    assert not in_hand.stops
    in_hand.stop()
    told.set()
    process.join()
    assert process.exitcode == 1
