"""How a worker's main process takes the end of a chunk: its message, and a process that died with it in hand."""

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.apps.worker import Worker
from celery.worker.request import Request
from kombu.asynchronous import get_event_loop

from worker.events import log_event

if TYPE_CHECKING:
    from worker.queue.app import HangtagCelery


__all__ = ["GracefulWorker", "LoggedRequest"]


class LoggedRequest(Request):
    """Names the chunk when a process is lost, and has the connection made anew when a message cannot be given up.

    Celery only logs the latter. The message then counts as in hand for ever, no other is asked for, and so nobody
    notices that the connection is gone: a worker with one slot takes no more work, silently, until it is started again
    (measured with Celery 5.7).
    """

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Celery has no types
        """See Celery's ``Request.on_failure``."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, WorkerLostError):
            job, *chunk = self.args
            self.app.metrics.process_died()
            log_event("process_died", logging.WARNING, job=job, chunk=chunk[0] if chunk else "", reason=str(error))
        super().on_failure(exc_info, *arguments, **options)

    def acknowledge(self) -> None:
        """See Celery's ``Request.acknowledge``."""
        self._until_connection_fails(super().acknowledge)

    def reject(self, requeue: bool = False) -> None:
        """See Celery's ``Request.reject``."""
        self._until_connection_fails(super().reject, requeue)

    def _until_connection_fails(self, give_up: Any, *arguments: object) -> None:  # noqa: ANN401 - a bound method
        errors: Any = self._connection_errors
        self._connection_errors: Any = ()  # which Celery would log and pass over
        try:
            give_up(*arguments)
        except errors as error:
            self.acknowledged = True
            log_event("message_not_given_up", logging.WARNING, error=str(error))
            get_event_loop().call_soon(_throw, error)
        finally:
            self._connection_errors = errors


def _throw(error: Exception) -> None:
    """In the event loop this is the loss of the connection, which Celery makes anew."""
    raise error


_PAUSE_S: Final = 0.05


class GracefulWorker(Worker):
    """Celery's, but for the wait."""

    app: "HangtagCelery"

    def wait_for_soft_shutdown(self) -> None:
        """See Celery's method, which sleeps through all of the time whenever a task was in hand at its start."""
        seconds = self.app.conf.worker_soft_shutdown_timeout
        log_event("worker_stops", within_s=seconds)
        self.app.busy.stop()
        until = time.monotonic() + seconds
        while self.app.busy and time.monotonic() < until:
            self.app.heartbeat.beat()
            time.sleep(_PAUSE_S)
