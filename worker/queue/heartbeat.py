"""A file that is touched as long as a worker's main process truly works; how old it is tells a supervisor."""

import logging
import time
from pathlib import Path
from typing import Final

from models.errors import InputError
from worker.queue.events import log_event

__all__ = ["BEAT_S", "Heartbeat"]

BEAT_S: Final = 1.0
_STUCK_S: Final = 600.0
"""A turn of the reconciler takes no longer: where S3 falls silent, all tries of one request take two minutes."""


class Heartbeat:
    """Touches a file; the two threads that must both be alive meet here.

    The main thread beats: from Celery's event loop, and while it waits for Redis to come back. Its beats count only as
    long as the reconciler's thread turns.

    Args:
        file: none where nobody wants to know.
        stuck_s: seconds without a turn after which the reconciler's thread counts as stuck.
    """

    def __init__(self, file: Path | None, stuck_s: float = _STUCK_S) -> None:
        self._file = file
        self._stuck_s = stuck_s
        self._turned_at = time.monotonic()
        self._wrong = ""

    def check(self) -> None:
        """Refuse a file that cannot be touched.

        Raises:
            InputError: it cannot, or it is a folder, which others touch too.
        """
        if self._file and self._file.is_dir():
            msg = f"Expected a file as heartbeat, {self._file} is a folder; name a file in it."
            raise InputError(msg)
        try:
            self._touch()
        except OSError as error:
            msg = f"Expected to touch the heartbeat file {self._file}, the system answered {error}; choose another."
            raise InputError(msg) from error

    def turned(self) -> None:
        """The reconciler's thread has begun another turn."""
        self._turned_at = time.monotonic()

    def beat(self) -> None:
        """The main thread is alive; never raises."""
        if time.monotonic() > self._turned_at + self._stuck_s:
            return
        try:
            self._touch()
            self._wrong = ""
        except OSError as error:
            if self._wrong != str(error):
                log_event("no_heartbeat", logging.WARNING, error=str(error))
            self._wrong = str(error)

    def _touch(self) -> None:
        if self._file:
            self._file.touch()
