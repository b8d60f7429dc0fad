"""The SHA-256 of photos' files, read again only where a file may have changed."""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from models.whole_file import replace_file

NO_FILE: Final = ""
"""Stands for the SHA-256 of a file that is missing or unreadable."""

_THREADS: Final = 8
_AT_A_TIME: Final = 512
_TRIES: Final = 3
_FRESH_NS: Final = 2_000_000_000
"""A file that was written more recently may be written again with the same times: FAT counts in steps of 2 s."""


class PhotoHashes:
    """Hashes files, and remembers the hashes of files that have not changed.

    A file has not changed if its size, its time of writing, its inode and the time of that are the same. It is read
    again if it had been written less than two seconds before it was read, or changed meanwhile (git's index does so).
    What is remembered is a cache: if it is damaged, every file is read.

    Args:
        file: what is remembered, as JSON.
        clock: nanoseconds since 1970.
    """

    def __init__(self, file: Path, clock: Callable[[], int] = time.time_ns) -> None:
        self._file = file
        self._clock = clock
        self._known: dict[str, tuple[str, str]] = {}
        self._asked: dict[str, tuple[str, str]] = {}
        self.read = 0
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            self._known = {path: (stamp, sha256) for path, (stamp, sha256) in json.loads(file.read_bytes()).items()}

    def of(self, paths: Iterable[Path], on_photo: Callable[[int, int], None]) -> dict[Path, str]:
        """The SHA-256 of each file, in hex; ``NO_FILE`` if it is missing or unreadable.

        Args:
            paths: absolute.
            on_photo: told (done, of all).
        """
        distinct = list(dict.fromkeys(paths))
        found: dict[Path, str] = {}
        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                for start in range(0, len(distinct), _AT_A_TIME):  # a pool keeps a record of all that it is given
                    some = distinct[start : start + _AT_A_TIME]
                    for path, sha256 in zip(some, pool.map(self._hash, some), strict=True):
                        found[path] = sha256
                        on_photo(len(found), len(distinct))
        except BaseException:  # such as Ctrl-C: what was read need not be read again
            self._asked = self._known | self._asked
            with suppress(OSError):
                self.save()
            raise
        return found

    def save(self) -> None:
        """Remember the files that were asked for, and forget all others."""
        if self._asked != self._known:
            replace_file(self._file, json.dumps(self._asked).encode())

    def _hash(self, path: Path) -> str:
        stamp, sha256 = self._known.get(str(path), ("", NO_FILE))
        try:
            if not stamp or _stamp(os.stat(path)) != stamp:  # noqa: PTH116 - a hundred thousand times
                stamp, sha256 = self._read(path)
            found = sha256
        except (OSError, ValueError):
            found = NO_FILE  # but what is known of it stays: a disk may be away for a while
        if stamp:
            self._asked[str(path)] = stamp, sha256
        return found

    def _read(self, path: Path) -> tuple[str, str]:
        """The stamp and the SHA-256 of a file; no stamp if it must be read again the next time."""
        self.read += 1
        sha256 = NO_FILE
        with open(path, "rb", opener=_open_at_once) as file:
            for _ in range(_TRIES):
                before, began = os.fstat(file.fileno()), self._clock()
                if not stat.S_ISREG(before.st_mode):
                    break
                file.seek(0)
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                if _stamp(os.fstat(file.fileno())) == _stamp(before):
                    age = min(abs(began - before.st_mtime_ns), abs(began - before.st_ctime_ns))
                    return "" if age < _FRESH_NS else _stamp(before), sha256
        return "", sha256


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


def _stamp(status: os.stat_result) -> str:
    """What shows that a file has changed; its inode's time also shows a time of writing that was set back."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
