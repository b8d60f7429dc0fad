"""Counting in processes that may be killed at any moment."""

import os
import signal
import time
from collections.abc import Callable

from billiard.context import ForkContext, ForkProcess

from tests.until import until
from worker.queue.metrics import SharedCounts


def start(target: Callable[[], None], index: int) -> ForkProcess:
    """A process as Celery's pool forks it: with a number that the one in its place gets too."""
    process = ForkContext().Process(target=target)
    process.index = index
    process.start()
    return process


def test_nothing_is_counted_at_first() -> None:
    assert SharedCounts(3).totals().tolist() == [0, 0, 0]


def test_what_all_processes_count_is_added_up() -> None:
    counts = SharedCounts(3)
    counts.add({2: 1})
    processes = [start(lambda: counts.add({0: 1, 1: 0.5}), index) for index in range(4)]
    for process in processes:
        process.join()
    assert counts.totals().tolist() == [4, 2, 1]


def test_the_process_in_the_place_of_a_dead_one_goes_on_with_its_numbers() -> None:
    counts = SharedCounts(1)

    def count_and_die() -> None:
        counts.add({0: 5})
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(3):
        start(count_and_die, 0).join()
    assert counts.totals().tolist() == [15]


def test_what_is_added_together_is_counted_together_or_not_at_all() -> None:
    """A process that counts without a pause is read all the while, and killed, again and again."""
    counts = SharedCounts(40)

    def count() -> None:
        while True:
            counts.add({0: 1, 39: 1})

    for _ in range(10):
        before = counts.totals()[0]
        process = start(count, 1)
        try:
            until(lambda before=before: counts.totals()[0] > before, "it counts")
            deadline = time.monotonic() + 0.05
            while time.monotonic() < deadline:
                totals = counts.totals()
                assert totals[0] == totals[39]
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        totals = counts.totals()
        assert totals[0] == totals[39]
