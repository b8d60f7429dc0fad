"""Which of a worker's processes have a task in hand."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from billiard.process import current_process

__all__ = ["InHand"]

_MOST_SLOTS: Final = 4096


class InHand:
    """The flags of a worker's processes; shared by all that are forked from the one that made them.

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
        """Whether the worker has been told to stop: then no task should take up more than it has in hand."""
        return bool(self._stops[0])

    def stop(self) -> None:
        """Tell all processes that the worker stops."""
        self._stops[0] = 1

    @contextmanager
    def taken(self) -> Iterator[None]:
        """As long as the block lasts, this process has a task in hand."""
        slot = getattr(current_process(), "index", 0) % _MOST_SLOTS
        self._busy[slot] = 1
        try:
            yield
        finally:
            self._busy[slot] = 0
