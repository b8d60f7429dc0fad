"""The files of a watched folder, and when each may be taken or tried again. Times are monotonic seconds."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from models.preprocess import IMAGE_SUFFIXES

CATALOGUE_SUFFIXES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt"})
_UNFINISHED: Final = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", "~")
"""Names that copying and downloading programs give to unfinished files."""

GATHER_S: Final = 60.0
"""Seconds that photos wait for others that are still arriving."""

FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 60.0


class FileKind(StrEnum):
    """What a file is, by its name and its place."""

    CATALOGUE = "catalogue"
    PHOTO = "photo"
    OTHER = "other"


@dataclass(frozen=True)
class FoundFile:
    """A file as one look saw it: its path relative to the folder, with ``/``, and what tells it from a later one."""

    path: str
    kind: FileKind
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class FolderListing:
    """One look at a folder: the files that may be taken, sorted by path, and why sub-folders cannot be opened."""

    files: tuple[FoundFile, ...]
    unreadable: dict[str, str]


def look_into(folder: Path, *, deep: bool = True) -> FolderListing:
    """See what is in a folder and, if ``deep``, below it; hidden and unfinished names are left out.

    Links to files are followed, links to folders are not.

    Raises:
        OSError: the folder itself cannot be opened.
    """
    files: list[FoundFile] = []
    unreadable: dict[str, str] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(folder / below) as opened:
                entries = [entry for entry in opened if _is_whole(entry.name)]
        except OSError as error:
            if not below:
                raise
            if not isinstance(error, FileNotFoundError):
                unreadable[below] = str(error)
            continue
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting += [path] if deep else []
            elif found := _found(entry, path):
                files.append(found)
    return FolderListing(tuple(sorted(files, key=lambda found: found.path)), unreadable)


def _is_whole(name: str) -> bool:
    return not name.startswith((".", "~")) and not name.lower().endswith(_UNFINISHED)


def _found(entry: "os.DirEntry[str]", path: str) -> FoundFile | None:
    try:
        seen = entry.stat()
    except OSError:  # it went away, or leads nowhere
        return None
    if not stat.S_ISREG(seen.st_mode):
        return None
    return FoundFile(path, _kind(path), seen.st_size, seen.st_mtime_ns, seen.st_ino)


def _kind(path: str) -> FileKind:
    suffix = Path(path).suffix.lower()
    if not _is_text(path):
        return FileKind.OTHER
    if suffix in IMAGE_SUFFIXES:
        return FileKind.PHOTO
    return FileKind.CATALOGUE if suffix in CATALOGUE_SUFFIXES and "/" not in path else FileKind.OTHER


def _is_text(path: str) -> bool:
    """Whether a name is UTF-8, as a catalogue's cells must be; other bytes appear as lone surrogates."""
    return path == path.encode(errors="replace").decode()


def why_left_out(file: FoundFile) -> str:
    """Why a file is neither a catalogue nor a photo; the same text for all files of its kind."""
    suffix = Path(file.path).suffix.lower()
    if suffix in CATALOGUE_SUFFIXES and "/" in file.path:
        return "catalogues are taken from the folder itself, not from its sub-folders"
    if not _is_text(file.path):
        return "its name is not UTF-8; rename it"
    return f"{suffix or 'a name without ending'} is the ending of neither a catalogue nor a photo"


class Settling:
    """Tells whole files from those still being written: size and time of writing of a whole one stay the same."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._since: dict[tuple[str, int, int], float] = {}

    def settled(self, files: Sequence[FoundFile], now: float) -> list[FoundFile]:
        """The files that have not changed for ``settle_s``; a file that was gone meanwhile starts to wait again."""
        seen = {(file.path, file.size, file.mtime_ns): file for file in files}
        self._since = {key: self._since.get(key, now) for key in seen}
        return [file for key, file in seen.items() if now - self._since[key] >= self._settle_s]


class Gathering:
    """Tells when photos become a job: when no more come, or the first has waited for ``GATHER_S``."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_ripe(self, settled: int, unsettled: int, now: float) -> bool:
        """Whether the settled photos become a job now, given how many they are and how many others there are."""
        if settled and self._since is None:
            self._since = now
        if settled and unsettled and now - (self._since or 0.0) < GATHER_S:
            return False
        self._since = None
        return settled > 0


class Backoff:
    """When to try again what failed for a reason that may pass, by name."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[str, float, float]] = {}  # reason, pause, its end

    def may_try(self, what: str, now: float) -> bool:
        """Whether it never failed, or its pause is over."""
        return what not in self._failures or now >= self._failures[what][2]

    def failed(self, what: str, reason: str, now: float) -> bool:
        """Note a failure; the pause that follows is 5 s, twice as long with each failure, at most a minute.

        Returns:
            Whether that is news: the first failure, or one with another reason than the last.
        """
        last_reason, last_pause_s, _ = self._failures.get(what, ("", FIRST_PAUSE_S / 2, 0.0))
        pause_s = min(LONGEST_PAUSE_S, last_pause_s * 2)
        self._failures[what] = (reason, pause_s, now + pause_s)
        return reason != last_reason

    def succeeded(self, what: str) -> None:
        """Forget its failures."""
        self._failures.pop(what, None)
