"""A worker that is told to stop ends with the last task it has in hand, or with its grace time."""

import time
from typing import TYPE_CHECKING, Final

from celery.apps.worker import Worker

from worker.queue.events import log_event

if TYPE_CHECKING:
    from worker.queue.app import GentleCelery

__all__ = ["GentleWorker"]

_PAUSE_S: Final = 0.05


class GentleWorker(Worker):
    """Celery's, but for the wait."""

    app: "GentleCelery"

    def wait_for_soft_shutdown(self) -> None:
        """See Celery's method, which sleeps through all of the time whenever a task was in hand at its start."""
        seconds = self.app.conf.worker_soft_shutdown_timeout
        log_event("worker_stops", within_s=seconds)
        self.app.in_hand.stop()
        until = time.monotonic() + seconds
        while self.app.in_hand and time.monotonic() < until:
            self.app.heartbeat.beat()
            time.sleep(_PAUSE_S)
