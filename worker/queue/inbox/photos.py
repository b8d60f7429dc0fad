"""Photos of a watched folder become jobs, many at once."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa

from models.text import number_of
from worker.jobs import Jobs
from worker.queue.inbox.files import Found
from worker.queue.inbox.make_job import make_job
from worker.queue.inbox.photo_log import Batch, PhotoLog
from worker.queue.inbox.request import InboxRequest
from worker.queue.inbox.view import InboxView
from worker.sources.catalogue import Catalogue

__all__ = ["PhotoTaker"]

_SCHEMA: Final = pa.schema([("image", pa.string())])
_BATCH_ROWS: Final = 4096


class PhotoTaker:
    """Puts photos that have settled into batches, and makes each batch's job.

    Args:
        request: what is watched, and what the jobs are to be.
        jobs: where to.
        view: is told what becomes of photos.
        supply: called with the name of each new job.
    """

    def __init__(self, request: InboxRequest, jobs: Jobs, view: InboxView, supply: Callable[[str], None]) -> None:
        self._request = request
        self._jobs = jobs
        self._view = view
        self._supply = supply
        self._log = PhotoLog(jobs.watched, request.folder)

    def is_done(self, photo: Found) -> bool:
        """Whether a photo is in a batch."""
        return self._log.knows(photo)

    def take(self, photos: Sequence[Found]) -> None:
        """Make a job of photos, and those that somebody was killed over.

        Raises:
            HangtagError, OSError: for a reason that may pass.
        """
        self._log.add(photos)
        for batch in self._log.unfinished():
            self._make(batch)

    @property
    def has_unfinished(self) -> bool:
        """Whether there is a batch whose job may not be there yet."""
        return bool(self._log.unfinished())

    def _make(self, batch: Batch) -> None:
        request = self._request.of(self._request.folder, batch.job, None)
        request = replace(request, options=request.options.model_copy(update={"group_column": None}))
        submitted = make_job(request, self._jobs, lambda _: None, self._catalogue(batch))
        self._log.finished(batch)
        self._view.submitted(number_of(len(batch.paths), "photo"), submitted)
        self._supply(submitted.name)

    def _catalogue(self, batch: Batch) -> Catalogue:
        folder = self._request.folder
        return Catalogue(str(folder), _SCHEMA, "image", str(folder), _batches(batch.paths), Counter())


def _batches(paths: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(paths), _BATCH_ROWS):
        yield pa.record_batch([pa.array(paths[start : start + _BATCH_ROWS], pa.string())], schema=_SCHEMA)
