"""What a labelling process asks of the results that it need not make again."""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from models.errors import HangtagError
from worker.earlier.local_cache import OwnFolder, open_own_photos, own_folder
from worker.earlier.previous import open_previous
from worker.earlier.result_table import Known, Labelled, Shelf
from worker.events import log_event
from worker.job import Job
from worker.receipt import RECEIPT_FILE
from worker.results import RowResult

__all__ = ["NOTHING_KNOWN", "KnownPhotos", "forget_known", "open_known"]


class KnownPhotos(Protocol):
    """Results by the bytes of photos; what it does not know is labelled again, so all of it may be lost."""

    def find(self, sha256: str) -> Known | None:
        """The result of a photo with these bytes."""

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """URL → the ETag that its host last gave, of those whose bytes are known."""

    def at(self, url: str, etag: str) -> Known | None:
        """The result of the bytes that a host gave that ETag."""

    def add(self, rows: Iterable[Labelled]) -> None:
        """Keep results of this job."""

    def close(self) -> None:
        """Let go of files."""


class _NothingKnown:
    def find(self, sha256: str) -> Known | None:
        return None

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        return {}

    def at(self, url: str, etag: str) -> Known | None:
        return None

    def add(self, rows: Iterable[Labelled]) -> None:
        pass

    def close(self) -> None:
        pass


NOTHING_KNOWN: KnownPhotos = _NothingKnown()


def open_known(job: Job) -> KnownPhotos:
    """What is known of a job's photos; opened, used and closed by one thread of the process that labels.

    Whatever fails of it is logged and is not known, so that rows are labelled anew.
    """
    folder = _held(job)
    previous = open_previous(job, folder.path if folder else job.storage.scratch)
    return _KnownPhotos(job, folder, _own(folder.path, job.spec.model.reference) if folder else None, previous)


def forget_known(job: Job) -> None:
    """Remove what this machine has kept of a job that is done; what another process still uses goes when that ends."""
    with suppress(OSError, RuntimeError):
        OwnFolder.remove(own_folder(job.spec.id))


def _held(job: Job) -> OwnFolder | None:
    try:
        path = own_folder(job.spec.id)
        OwnFolder.remove_remains(path.parent)
        return OwnFolder.hold(path)
    except (OSError, RuntimeError) as error:  # the latter: nobody knows where home is
        _tell(job.spec.id, error)
        return None


def _own(folder: Path, model: str) -> Shelf | None:
    try:
        return open_own_photos(folder, model)
    except (OSError, sqlite3.Error) as error:
        _tell(str(folder), error)
        return None


def _tell(place: str, error: Exception) -> None:
    log_event("known_photos_lost", logging.WARNING, place=place, error=f"{type(error).__name__}: {error}")


class _KnownPhotos:
    """Both, the previous job's first: whether a row is carried over must not depend on which row came before."""

    def __init__(self, job: Job, folder: OwnFolder | None, own: Shelf | None, previous: Shelf | None) -> None:
        self._job = job
        self._folder = folder
        self._own = own
        self._shelves = [(shelf, carried) for shelf, carried in ((previous, True), (own, False)) if shelf]

    def find(self, sha256: str) -> Known | None:
        return self._first(lambda shelf: shelf.find(sha256))

    def at(self, url: str, etag: str) -> Known | None:
        return self._first(lambda shelf: shelf.at(url, etag))

    def _first(self, ask: Callable[[Shelf], RowResult | None]) -> Known | None:
        for shelf, carried in self._shelves:
            result = ask(shelf)
            if result is not None:
                return Known(result, carried)
        return None

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for shelf, _ in self._shelves:  # the latest last
            found |= shelf.etags(urls)
        return found

    def add(self, rows: Iterable[Labelled]) -> None:
        if self._own:
            self._own.add(rows)

    def close(self) -> None:
        for shelf, _ in self._shelves:
            shelf.close()
        folder, self._folder = self._folder, None
        if folder is None:
            return
        folder.release()
        if self._own is None or self._own.damaged or _is_done(self._job):
            OwnFolder.remove(folder.path)


def _is_done(job: Job) -> bool:
    try:
        return job.storage.exists(RECEIPT_FILE)
    except (OSError, HangtagError):
        return False
