"""The results of a job that this machine's processes have made, in a cache folder that is removed with the job."""

import fcntl
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Self, TextIO

from models.process import default_cache
from models.process_identity import boot_id
from models.whole_file import open_lock
from worker.labelling.result_table import ResultTable

CACHE_FILE: Final = "photos.sqlite"
_TABLES: Final = """
PRAGMA synchronous=OFF;
PRAGMA journal_mode=WAL;
CREATE TABLE photo (sha256 BLOB PRIMARY KEY, result TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE place (url BLOB PRIMARY KEY, etag TEXT NOT NULL, sha256 BLOB NOT NULL) WITHOUT ROWID;
"""
"""Nothing is synced to the disk: the folder is of this boot, and a power cut ends it with the machine."""
_MAX_BYTES: Final = 1 << 30
"""About four million photos; then nothing more is added."""
_BUSY_S: Final = 2.0
_LOCK: Final = "lock"
_OLD_S: Final = 7 * 24 * 3600.0


def open_local_cache(folder: Path, model: str, max_bytes: int = _MAX_BYTES, busy_s: float = _BUSY_S) -> ResultTable:
    """Open the table of results in a held folder; it is made if it is missing.

    Raises:
        OSError: the system does not allow it.
        sqlite3.Error: the database is damaged, or cannot be read now.
    """
    file = folder / CACHE_FILE
    if not file.exists():
        _make(file)
    connection = sqlite3.connect(file, timeout=busy_s, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={max_bytes // page_bytes}")
        connection.execute("SELECT 1 FROM photo LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return ResultTable(connection, model, str(file))


def _make(file: Path) -> None:
    """Make the database, whole or not at all: other processes may be doing the same."""
    temporary = file.with_name(f".{uuid.uuid4().hex}.sqlite")
    try:
        with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            connection.executescript(_TABLES)
        with suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder(job: str) -> Path:
    """A job's cache folder on this machine until its next boot: homes may be shared, and nothing is synced to disk."""
    return default_cache() / "known" / f"{job}-{boot_id()[:8]}"


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep others from taking or removing a folder in this place, for as long as the block runs."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_lock(place / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class CacheFolder:
    """A folder that stays while it is held, by any number of processes; use :meth:`hold`."""

    def __init__(self, path: Path, lock: TextIO) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def hold(cls, path: Path) -> Self:
        """Make the folder if need be, and keep it from being removed.

        Raises:
            OSError: the system does not allow it.
        """
        with _alone(path.parent):
            path.mkdir(exist_ok=True)
            lock = open_lock(path / _LOCK)
            fcntl.flock(lock, fcntl.LOCK_SH)
            return cls(path, lock)

    def release(self) -> None:
        """Let anybody remove the folder; call it once."""
        self._lock.close()

    @staticmethod
    def remove(path: Path) -> None:
        """Remove a folder, unless somebody holds it. It is renamed first, so that nobody uses its remains."""
        with suppress(OSError), _alone(path.parent), open_lock(path / _LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remains = path.with_name(f".{uuid.uuid4().hex}")
            path.rename(remains)
            shutil.rmtree(remains, ignore_errors=True)

    @staticmethod
    def remove_remains(place: Path) -> None:
        """Remove the caches of jobs that nobody has worked on here for a week."""
        for path in place.glob("*"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _OLD_S:
                    CacheFolder.remove(path)
