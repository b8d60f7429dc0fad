"""Folders for the time that something takes; what a killed process left of one goes with the next."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["temporary_folder"]

_OLD_S: Final = 3600.0


@contextmanager
def temporary_folder(place: Path, prefix: str) -> Iterator[Path]:
    """A folder in ``place`` that goes when the block ends; remains of the same prefix are removed first.

    Another process may be at work in one right now, so only what is old goes.
    """
    place.mkdir(parents=True, exist_ok=True)
    for remains in place.glob(f"{prefix}*"):
        with suppress(FileNotFoundError):  # that other has just ended
            if remains.stat().st_mtime < time.time() - _OLD_S:
                shutil.rmtree(remains, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        yield Path(folder)
