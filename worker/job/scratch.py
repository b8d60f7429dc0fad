"""Temporary folders and databases; what a killed process left is removed when the next one begins."""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from models.errors import JobError
from models.storage.storage import Storage

_OLD_S: Final = 3600.0
_PREFIX: Final = ".finish-"
_CACHE_KIB: Final = 16 * 1024


@contextmanager
def temporary_folder(place: Path, prefix: str) -> Iterator[Path]:
    """A folder in ``place`` that is removed when the block ends; old remains of the same prefix are removed first.

    Only old ones, since another process may be using one right now.
    """
    place.mkdir(parents=True, exist_ok=True)
    for remains in place.glob(f"{prefix}*"):
        with suppress(FileNotFoundError):  # that other has just ended
            if remains.stat().st_mtime < time.time() - _OLD_S:
                shutil.rmtree(remains, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        yield Path(folder)


def scratch_folder(storage: Storage) -> AbstractContextManager[Path]:
    """A new folder in the storage's scratch, where files may be written that :meth:`Storage.upload` then moves."""
    return temporary_folder(storage.scratch, _PREFIX)


@contextmanager
def scratch_database(folder: Path) -> Iterator[sqlite3.Connection]:
    """An empty SQLite database that holds in memory no more than a cache of 16 MiB.

    Its file has no name from the moment it is open, so that it is gone with the process, however that ends. No query of
    it may sort all rows: SQLite would do that in a folder of its own choice.

    Raises:
        JobError: the disk is full.
    """
    file = folder / "scratch.sqlite"
    address = f"{file.resolve().as_uri()}?nolock=1"  # nobody else knows of it, and shared disks may lock nothing
    with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        database.execute("BEGIN")
        file.unlink()
        try:
            yield database
        except sqlite3.OperationalError as error:
            msg = f"Expected to sort rows in {folder.parent}, {error}; make room there, and go on."
            raise JobError(msg) from error
