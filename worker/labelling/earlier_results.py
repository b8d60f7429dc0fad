"""The results that a labelling process need not compute again: those of this job, and of the previous one."""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from models.errors import HangtagError
from models.events import log_event
from worker.job.job import Job
from worker.job.parts import RowResult
from worker.job.receipt import RECEIPT_FILE
from worker.labelling.local_cache import CacheFolder, cache_folder, open_local_cache
from worker.labelling.previous import open_previous
from worker.labelling.result_table import EarlierResult, LabelledRow, ResultTable


class EarlierResults:
    """Results by the SHA-256 of photos; a photo that is not found is labelled again, so all of them may be lost.

    The previous job's come first: whether a row is carried over must not depend on which row came before.
    """

    def __init__(
        self,
        job: Job | None = None,
        folder: CacheFolder | None = None,
        own: ResultTable | None = None,
        previous: ResultTable | None = None,
    ) -> None:
        self._job = job
        self._folder = folder
        self._own = own
        self._tables = [(table, carried) for table, carried in ((previous, True), (own, False)) if table]

    def find(self, sha256: str) -> EarlierResult | None:
        """The result of a photo with these bytes."""
        return _first((table.find(sha256), carried) for table, carried in self._tables)

    def at(self, url: str, etag: str) -> EarlierResult | None:
        """The result of the bytes that a host gave that ETag."""
        return _first((table.at(url, etag), carried) for table, carried in self._tables)

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """URL → the ETag that its host last gave, of those whose bytes are known."""
        found: dict[str, str] = {}
        for table, _ in self._tables:  # the latest last
            found |= table.etags(urls)
        return found

    def add(self, rows: Iterable[LabelledRow]) -> None:
        """Keep results of this job."""
        if self._own:
            self._own.add(rows)

    def close(self) -> None:
        """Close the files; remove them if the job is done or they are damaged."""
        for table, _ in self._tables:
            table.close()
        folder, self._folder = self._folder, None
        if folder is None:
            return
        folder.release()
        if self._own is None or self._own.damaged or _is_done(self._job):
            CacheFolder.remove(folder.path)


def _first(found: Iterator[tuple[RowResult | None, bool]]) -> EarlierResult | None:
    return next((EarlierResult(result, carried) for result, carried in found if result is not None), None)


NO_EARLIER_RESULTS: Final = EarlierResults()


def open_earlier_results(job: Job) -> EarlierResults:
    """What this machine has labelled of a job, and the previous job's; used by one thread of the process that labels.

    A failure is logged and nothing is found then, so that rows are labelled again.
    """
    folder = own = None
    try:
        path = cache_folder(job.spec.id)
        CacheFolder.remove_remains(path.parent)
        folder = CacheFolder.hold(path)
        own = open_local_cache(folder.path, job.model.reference)
    except (OSError, RuntimeError, sqlite3.Error) as error:  # RuntimeError: nobody knows where home is
        place = str(folder.path) if folder else job.spec.id
        log_event("known_photos_lost", logging.WARNING, place=place, error=f"{type(error).__name__}: {error}")
    return EarlierResults(job, folder, own, open_previous(job, folder.path if folder else job.storage.scratch))


def forget_local_cache(job: Job) -> None:
    """Remove this machine's cache of a finished job; a process that uses it keeps its open files to its end."""
    with suppress(OSError, RuntimeError):
        CacheFolder.remove(cache_folder(job.spec.id))


def _is_done(job: Job | None) -> bool:
    with suppress(OSError, HangtagError):
        return job is not None and job.storage.exists(RECEIPT_FILE)
    return False
