"""What lies in a watched folder."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from models.preprocess import IMAGE_SUFFIXES

__all__ = ["CATALOGUE_SUFFIXES", "Backoff", "Found", "Gathering", "Kind", "Look", "Settling", "look_into"]


CATALOGUE_SUFFIXES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt"})
_UNFINISHED: Final = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", "~")
"""How programs that copy or download call a file that is not whole yet."""


class Kind(StrEnum):
    """What a file is, by its name and its place."""

    CATALOGUE = "catalogue"
    PHOTO = "photo"
    OTHER = "other"


@dataclass(frozen=True)
class Found:
    """A file as one look saw it.

    Attributes:
        path: relative to the folder, with ``/`` between its parts.
        kind: what it is.
        size: bytes.
        mtime_ns: when it was written, in nanoseconds since 1970.
        inode: of the disk; what replaces a file has another.
    """

    path: str
    kind: Kind
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class Look:
    """One look at a folder.

    Attributes:
        files: those that may be taken, sorted by path.
        unreadable: sub-folders that the system refuses to open → its reason.
    """

    files: tuple[Found, ...]
    unreadable: dict[str, str] = field(default_factory=dict)


def look_into(folder: Path, *, deep: bool = True) -> Look:
    """See what is in a folder; hidden names, and those of files that are not whole yet, are left out.

    Links to files are followed, links to folders are not.

    Args:
        folder: to look into.
        deep: whether to look into its sub-folders too.

    Raises:
        OSError: the folder itself cannot be opened.
    """
    unreadable: dict[str, str] = {}
    files = tuple(sorted(_files(folder, deep, unreadable), key=lambda found: found.path))
    return Look(files, unreadable)


def _files(folder: Path, deep: bool, unreadable: dict[str, str]) -> Iterator[Found]:
    waiting = [""]
    while waiting:
        below = waiting.pop()
        for entry in _entries(folder, below, unreadable):
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting += [path] if deep else []
                continue
            found = _found(entry, path)
            if found:
                yield found


def _entries(folder: Path, below: str, unreadable: dict[str, str]) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder / below) as entries:
            return [entry for entry in entries if _is_whole(entry.name)]
    except FileNotFoundError:
        if not below:
            raise
    except OSError as error:
        if not below:
            raise
        unreadable[below] = str(error)
    return []


def _is_whole(name: str) -> bool:
    return not name.startswith((".", "~")) and not name.lower().endswith(_UNFINISHED)


def _found(entry: "os.DirEntry[str]", path: str) -> Found | None:
    try:
        seen = entry.stat()
    except OSError:  # it went away, or leads nowhere
        return None
    if not stat.S_ISREG(seen.st_mode):
        return None
    return Found(path, _kind(path), seen.st_size, seen.st_mtime_ns, seen.st_ino)


def _kind(path: str) -> Kind:
    suffix = Path(path).suffix.lower()
    if suffix in IMAGE_SUFFIXES and _is_text(path):
        return Kind.PHOTO
    if suffix in CATALOGUE_SUFFIXES and "/" not in path and _is_text(path):
        return Kind.CATALOGUE
    return Kind.OTHER


def _is_text(path: str) -> bool:
    """Whether a name is UTF-8, as a catalogue's cells must be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


class Settling:
    """Tells files that are whole from those that are still being written: size and time of writing stay the same.

    Args:
        settle_s: for how long.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._since: dict[str, tuple[int, int, float]] = {}

    def settled(self, files: Sequence[Found], now: float) -> list[Found]:
        """Those of the files that a look found which have been the same for long enough; the others are waited for.

        A file that was not among those of the last look begins anew.
        """
        self._since = {file.path: (file.size, file.mtime_ns, self._seen_since(file, now)) for file in files}
        return [file for file in files if now - self._since[file.path][2] >= self._settle_s]

    def _seen_since(self, file: Found, now: float) -> float:
        size, mtime_ns, since = self._since.get(file.path, (file.size, file.mtime_ns, now))
        return since if (size, mtime_ns) == (file.size, file.mtime_ns) else now


class Gathering:
    """Tells when photos that keep coming are enough for a job: when no more come, or the first has waited long.

    Args:
        longest_s: how long a photo waits for others at most.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._since: float | None = None

    def is_ripe(self, settled: int, unsettled: int, now: float) -> bool:
        """Whether the photos that have settled, of which there are so many, are to become a job now."""
        if not settled:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if unsettled and now - self._since < self._longest_s:
            return False
        self._since = None
        return True


FIRST_S: Final = 5.0
LONGEST_S: Final = 60.0


@dataclass(frozen=True)
class _Setback:
    """The last failure: what was said of it, the pause after it, and when that ends."""

    reason: str
    pause_s: float
    until: float


class Backoff:
    """Keeps track of failures by the name of what failed."""

    def __init__(self) -> None:
        self._setbacks: dict[str, _Setback] = {}

    def may_try(self, what: str, now: float) -> bool:
        """Whether it never failed, or its pause is over."""
        return what not in self._setbacks or now >= self._setbacks[what].until

    def failed(self, what: str, reason: str, now: float) -> bool:
        """Note a failure; the pause that follows is 5 s, twice as long with each failure, at most a minute.

        Returns:
            Whether that is news: it failed for the first time, or for another reason than the last.
        """
        last = self._setbacks.get(what)
        pause_s = min(LONGEST_S, last.pause_s * 2) if last else FIRST_S
        self._setbacks[what] = _Setback(reason, pause_s, now + pause_s)
        return last is None or last.reason != reason

    def succeeded(self, what: str) -> None:
        """Forget its failures."""
        self._setbacks.pop(what, None)
