"""How Celery's main process sees a chunk whose process has died."""

import logging
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from worker.queue.events import log_event

__all__ = ["LoggedRequest"]


class LoggedRequest(Request):
    """Names the job and the chunk when a process is lost; Celery then puts the message back on the queue."""

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Celery has no types
        """See Celery's ``Request.on_failure``."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, WorkerLostError):
            job, *chunk = self.args
            log_event("process_died", logging.WARNING, job=job, chunk=chunk[0] if chunk else "", reason=str(error))
        super().on_failure(exc_info, *arguments, **options)
