"""The SHA-256 of photos' files, read again only if a file may have changed."""

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
        self._used: dict[str, tuple[str, str]] = {}
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
        hashes: dict[Path, str] = {}
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(distinct), _AT_A_TIME):  # a pool keeps a record of all that it is given
                some = distinct[start : start + _AT_A_TIME]
                for path, sha256 in zip(some, pool.map(self._hash, some), strict=True):
                    hashes[path] = sha256
                    on_photo(len(hashes), len(distinct))
        return hashes

    def save(self) -> None:
        """Remember the files that were hashed, and forget all others."""
        if self._used != self._known:
            replace_file(self._file, json.dumps(self._used).encode())

    def _hash(self, path: Path) -> str:
        known = self._known.get(str(path), ("", NO_FILE))
        try:
            status = os.stat(path)  # noqa: PTH116 - a hundred thousand times
            if not stat.S_ISREG(status.st_mode):
                return NO_FILE
            if _stamp(status) != known[0]:
                known = self._read(path)
            sha256 = known[1]
        except (OSError, ValueError):
            sha256 = NO_FILE  # but what is known of it stays: a disk may be away for a while
        if known[0]:
            self._used[str(path)] = known
        return sha256

    def _read(self, path: Path) -> tuple[str, str]:
        """The stamp and the SHA-256 of a file; no stamp if it must be read again the next time."""
        self.read += 1
        with path.open("rb") as file:
            before, began = os.fstat(file.fileno()), self._clock()
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
        age = min(abs(began - before.st_mtime_ns), abs(began - before.st_ctime_ns))
        return _stamp(before) if _stamp(after) == _stamp(before) and age >= _FRESH_NS else "", sha256


def _stamp(status: os.stat_result) -> str:
    """What shows that a file has changed; its inode's time also shows a time of writing that was set back."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
