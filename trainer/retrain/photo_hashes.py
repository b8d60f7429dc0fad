"""The SHA-256 of photos' files, read again only where a file may have changed."""

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

__all__ = ["NO_FILE", "PhotoHashes"]

NO_FILE: Final = ""
"""Instead of a SHA-256, where there is no file that could be read."""

_TABLE: Final = "CREATE TABLE IF NOT EXISTS hash (path BLOB PRIMARY KEY, stamp TEXT, sha256 TEXT) WITHOUT ROWID"
_THREADS: Final = 8
_AT_A_TIME: Final = 512
_TRIES: Final = 3
_FRESH_NS: Final = 2_000_000_000
"""A file that was written so short a time ago may be written again with the same times: FAT tells 2 s apart."""


class _Hashed(NamedTuple):
    """What a file holds; without a stamp where it must be read again the next time."""

    sha256: str
    stamp: str | None


class PhotoHashes:
    """Hashes files, and remembers the hashes of files that have not changed.

    A file is as it was where its size, its time of writing, its inode and the time of that are. It is read again where
    it had been written less than two seconds before it was read, or changed meanwhile (as git does with its index).
    What is known is a cache: damaged or locked, it is done without.

    Args:
        file: what is known; an SQLite database.
        clock: nanoseconds since 1970.
    """

    def __init__(self, file: Path, clock: Callable[[], int] = time.time_ns) -> None:
        self._file = file
        self._clock = clock
        self._asked: set[bytes] = set()
        self._known: dict[bytes, tuple[str, str]] = {}
        self._database: sqlite3.Connection | None = None
        self.read = 0

    def __enter__(self) -> Self:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except sqlite3.OperationalError:
            self._close()
        except sqlite3.DatabaseError:
            self._close()
            self._file.unlink(missing_ok=True)
            self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget files that nobody has asked for."""
        if kind is None:
            gone = [(path,) for path in self._known if path not in self._asked]
            self._change("DELETE FROM hash WHERE path = ?", gone)
        self._close()

    def of(self, paths: Iterable[Path], on_photo: Callable[[int, int], None]) -> dict[Path, str]:
        """The SHA-256 of each file, in hex; ``NO_FILE`` where there is none, or none that may be read.

        Args:
            paths: absolute.
            on_photo: told (done, of all).
        """
        distinct = list(dict.fromkeys(paths))
        found: dict[Path, str] = {}
        for path in distinct:
            sha256 = self._as_it_was(path)
            if sha256 is not None:
                found[path] = sha256
        on_photo(len(found), len(distinct))
        for path, sha256 in self._read([path for path in distinct if path not in found]):
            found[path] = sha256
            on_photo(len(found), len(distinct))
        return found

    def _open(self) -> None:
        self._database = sqlite3.connect(self._file)
        self._database.execute(_TABLE)
        rows = self._database.execute("SELECT path, stamp, sha256 FROM hash")
        self._known = {path: (stamp, sha256) for path, stamp, sha256 in rows}

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None

    def _change(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if self._database is not None:
            try:
                with self._database:
                    self._database.executemany(statement, rows)
            except sqlite3.DatabaseError:
                self._close()

    def _as_it_was(self, path: Path) -> str | None:
        key = os.fsencode(path)
        self._asked.add(key)
        stamp, sha256 = self._known.get(key, ("", ""))
        if not stamp:
            return None
        try:
            return sha256 if _stamp(os.stat(path)) == stamp else None  # noqa: PTH116 - a hundred thousand times
        except (OSError, ValueError):
            return NO_FILE

    def _read(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Some at a time; what is known of them is on disk before the next are read."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(paths), _AT_A_TIME):
                some = paths[start : start + _AT_A_TIME]
                hashed = list(pool.map(self._hash, some))
                both = zip(some, hashed, strict=True)
                rows = [(os.fsencode(path), one.stamp, one.sha256) for path, one in both if one.stamp]
                self._known.update({path: (str(stamp), sha256) for path, stamp, sha256 in rows})
                self._change("INSERT OR REPLACE INTO hash VALUES (?, ?, ?)", rows)
                yield from zip(some, (one.sha256 for one in hashed), strict=True)

    def _hash(self, path: Path) -> _Hashed:
        self.read += 1
        with suppress(OSError, ValueError):
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe that nobody writes would be waited for
            try:
                return self._hash_open(handle)
            finally:
                os.close(handle)
        return _Hashed(NO_FILE, None)

    def _hash_open(self, handle: int) -> _Hashed:
        sha256 = NO_FILE
        for _ in range(_TRIES):
            before, began = os.fstat(handle), self._clock()
            if not stat.S_ISREG(before.st_mode):
                break
            os.lseek(handle, 0, os.SEEK_SET)
            with os.fdopen(handle, "rb", closefd=False) as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if _stamp(os.fstat(handle)) == _stamp(before):
                age = min(abs(began - before.st_mtime_ns), abs(began - before.st_ctime_ns))
                return _Hashed(sha256, None if age < _FRESH_NS else _stamp(before))
        return _Hashed(sha256, None)


def _stamp(status: os.stat_result) -> str:
    """The inode's own time tells of files whose bytes were exchanged and whose time of writing was set back."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
