"""State that a worker's main process shares with the processes that it forks, and the heartbeat for a supervisor."""

import logging
import math
import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from billiard.process import current_process

from models.errors import InputError
from models.events import log_event

BEAT_S: Final = 1.0
_STUCK_S: Final = 600.0
"""Seconds; no turn of the reconciler takes longer: if S3 falls silent, all tries of a request take two minutes."""

_MOST_SLOTS: Final = 4096


class BusyProcesses:
    """Which processes are busy with a task, and whether they were told to stop; shared by all forked after it is made.

    There is no lock in it: a process may be killed at any moment. One that was killed with a task in hand counts as
    busy until the process in its place has ended a task.
    """

    def __init__(self) -> None:
        self._busy = mmap.mmap(-1, _MOST_SLOTS)
        self._stops = mmap.mmap(-1, 1)

    def __bool__(self) -> bool:
        return any(self._busy[:])

    @property
    def stops(self) -> bool:
        """Whether the worker has been told to stop; tasks then take no further chunks."""
        return bool(self._stops[0])

    def stop(self) -> None:
        """Tell all processes that the worker stops."""
        self._stops[0] = 1

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Count this process as busy for as long as the block runs."""
        slot = getattr(current_process(), "index", 0) % _MOST_SLOTS
        self._busy[slot] = 1
        try:
            yield
        finally:
            self._busy[slot] = 0


class Heartbeat:
    """Touches a file, whose age tells a supervisor whether a worker's or scheduler's main process truly works.

    The main thread beats: from Celery's event loop, and while it waits for Redis to come back. Once a reconciler's
    thread has turned, beats count only as long as it turns again within ``stuck_s``. Without a file, none is written.
    """

    def __init__(self, file: Path | None, stuck_s: float = _STUCK_S) -> None:
        self._file = file
        self._stuck_s = stuck_s
        self._turned_at = math.inf
        self._wrong = ""

    def check(self) -> None:
        """Raise an :class:`InputError` for a file that cannot be touched, or for a folder, which others touch too."""
        if self._file and self._file.is_dir():
            msg = f"Expected a file as heartbeat, {self._file} is a folder; name a file in it."
            raise InputError(msg)
        try:
            self._touch()
        except OSError as error:
            msg = f"Expected to touch the heartbeat file {self._file}, the system answered {error}; choose another."
            raise InputError(msg) from error

    def turned(self) -> None:
        """Note that the reconciler's thread has begun another turn."""
        self._turned_at = time.monotonic()

    def beat(self) -> None:
        """Note that the main thread is alive; never raises."""
        if time.monotonic() > self._turned_at + self._stuck_s:
            return
        wrong = ""
        try:
            self._touch()
        except OSError as error:
            wrong = str(error)
            if wrong != self._wrong:
                log_event("no_heartbeat", logging.WARNING, error=wrong)
        self._wrong = wrong

    def _touch(self) -> None:
        if self._file:
            self._file.touch()
