"""A worker that is told to stop ends with the last chunk it has in hand, or with its grace time."""

import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from billiard.process import current_process
from celery import Celery
from celery.apps.worker import Worker

from worker.queue.events import log_event

__all__ = ["GentleCelery", "GentleWorker", "InHand"]

_MOST_SLOTS: Final = 4096
_PAUSE_S: Final = 0.05


class InHand:
    """Which of a worker's processes have a task in hand; shared by all that are forked from the one that made it.

    There is no lock in it: a process may be killed at any moment. One that was killed with a task in hand counts as
    busy until the process in its place has ended a task.
    """

    def __init__(self) -> None:
        self._busy = mmap.mmap(-1, _MOST_SLOTS)

    def __bool__(self) -> bool:
        return any(self._busy[:])

    @contextmanager
    def taken(self) -> Iterator[None]:
        """As long as the block lasts, this process has a task in hand."""
        slot = getattr(current_process(), "index", 0) % _MOST_SLOTS
        self._busy[slot] = 1
        try:
            yield
        finally:
            self._busy[slot] = 0


class GentleWorker(Worker):
    """Celery's, but for the wait."""

    app: "GentleCelery"

    def wait_for_soft_shutdown(self) -> None:
        """See Celery's method, which sleeps through all of the time whenever a task was in hand at its start."""
        seconds = self.app.conf.worker_soft_shutdown_timeout
        log_event("worker_stops", within_s=seconds)
        until = time.monotonic() + seconds
        while self.app.in_hand and time.monotonic() < until:
            time.sleep(_PAUSE_S)


class GentleCelery(Celery):
    """A Celery app whose workers are gentle.

    Attributes:
        in_hand: which processes of a worker have a task in hand.
    """

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.in_hand = InHand()

    @property
    def Worker(self) -> type[GentleWorker]:
        """See Celery's."""
        gentle: type[GentleWorker] = self.subclass_with_self("worker.queue.gentle_worker:GentleWorker", name="Worker")
        return gentle
