"""The row in hand, noted before each decode: what a killed process leaves behind to say which photo it died on."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.storage.storage import Storage

__all__ = ["MAX_STRIKES", "Attempt", "Earlier", "attempt_on", "earlier_attempts", "forget_attempts"]

_FOLDER: Final = "inhand"
_WIDTH: Final = 12
MAX_STRIKES: Final = 4
"""Deaths of one chunk that no photo is to blame for, after which something else is wrong."""


class Attempt:
    """One try at a chunk. Its marker is a file of its own: two bad photos in a chunk must not hide each other."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def take(self, row: int) -> None:
        """Note that a row of the chunk is about to be decoded."""
        os.pwrite(self._handle, f"{row:<{_WIDTH}}".encode(), 0)

    def put_down(self) -> None:
        """Note that no row is being decoded."""
        os.pwrite(self._handle, b" " * _WIDTH, 0)


@contextmanager
def attempt_on(storage: Storage, chunk: int) -> Iterator[Attempt]:
    """Open a marker for one try at a chunk; it outlives a killed process, and goes when the try ends by itself."""
    folder = storage.scratch / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / f"{chunk:06d}.{uuid.uuid4().hex[:12]}"
    handle = os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        yield Attempt(handle)
    finally:
        os.close(handle)
        marker.unlink(missing_ok=True)


@dataclass(frozen=True)
class Earlier:
    """What earlier tries at a chunk left.

    Attributes:
        deaths: how many ended with their process (or go on elsewhere at this moment).
        rows: rows of the chunk that were in hand then.
    """

    deaths: int
    rows: frozenset[int]


def earlier_attempts(storage: Storage, chunk: int) -> Earlier:
    """Earlier tries at a chunk that did not end by themselves."""
    deaths, rows = 0, set[int]()
    for marker in _markers(storage, chunk):
        with suppress(FileNotFoundError):  # an attempt that ended by itself just now
            rows.update(int(row) for row in marker.read_text().split() if row.isdecimal())
            deaths += 1
    return Earlier(deaths, frozenset(rows))


def forget_attempts(storage: Storage, chunk: int) -> None:
    """Delete what earlier tries at a chunk left; called once its part is committed."""
    for marker in _markers(storage, chunk):
        marker.unlink(missing_ok=True)


def _markers(storage: Storage, chunk: int) -> list[Path]:
    return sorted((storage.scratch / _FOLDER).glob(f"{chunk:06d}.{'[0-9a-f]' * _WIDTH}"))
