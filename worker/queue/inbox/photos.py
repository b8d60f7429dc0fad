"""Photos of a watched folder become jobs, many at once, by a numbered log in the folder of jobs.

A batch is committed under its number before its job is made, and the first commit of a number wins. So whoever else
watches reads it before adding the next one, and whoever comes after a kill makes the job that is missing.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from models.errors import JobError
from models.storage.storage import Storage
from models.text import number_of
from worker.jobs import Jobs
from worker.queue.inbox.console import InboxView
from worker.queue.inbox.files import Found
from worker.queue.inbox.request import InboxRequest, make_job
from worker.queue.submit import name_part
from worker.sources.catalogue import Catalogue

__all__ = ["PhotoLog", "PhotoTaker"]

BATCH_PHOTOS: Final = 100_000
_SCHEMA: Final = pa.schema([("image", pa.string())])
_ARROW_ROWS: Final = 4096
_ENTRY_BYTES: Final = 16
_DIGITS: Final = 12

_Entry = tuple[str, int, int]
"""A photo's path, size and time of writing in nanoseconds."""


class PhotoTaker:
    """Puts photos that have settled into batches, and makes each batch's job, whose name ``supply`` is called with."""

    def __init__(self, request: InboxRequest, jobs: Jobs, view: InboxView, supply: Callable[[str], None]) -> None:
        self._request = request
        self._jobs = jobs
        self._view = view
        self._supply = supply
        self._log = PhotoLog(jobs.watched, request.folder)

    def is_done(self, photo: Found) -> bool:
        """Whether a photo is in a batch."""
        return self._log.knows(photo)

    @property
    def has_unfinished(self) -> bool:
        """Whether some batch may have no job yet."""
        return bool(self._log.unfinished())

    def take(self, photos: Sequence[Found]) -> None:
        """Make a job of photos, and the jobs of batches that a killed process left.

        Raises:
            HangtagError, OSError: for a reason that may pass.
        """
        self._log.add(photos)
        folder = self._request.folder
        for batch in self._log.unfinished():
            request = self._request.of(folder, batch.job, None)
            request = replace(request, options=request.options.model_copy(update={"group_column": None}))
            catalogue = Catalogue(str(folder), _SCHEMA, "image", str(folder), _tables(batch.paths), Counter())
            submitted = make_job(request, self._jobs, lambda _: None, catalogue)
            self._log.finished(batch)
            self._view.submitted(number_of(len(batch.paths), "photo"), submitted)
            self._supply(submitted.name)


def _tables(paths: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(paths), _ARROW_ROWS):
        yield pa.record_batch([pa.array(paths[start : start + _ARROW_ROWS], pa.string())], schema=_SCHEMA)


@dataclass(frozen=True)
class Batch:
    """Photos that become one job: its number in the log, its job's name, and paths relative to the folder, in order."""

    number: int
    job: str
    paths: tuple[str, ...]


class PhotoLog:
    """The batches of one folder, of at most ``batch_photos`` each, in ``_watched`` of the folder of jobs.

    Raises:
        JobError: a batch in it is damaged.
    """

    def __init__(self, storage: Storage, folder: Path, batch_photos: int = BATCH_PHOTOS) -> None:
        self._storage = storage
        self._batch_photos = batch_photos
        self._folder = folder
        self._place = f"photos/{hashlib.sha256(str(folder).encode()).hexdigest()[:32]}"
        self._known: set[bytes] = set()
        self._unfinished: dict[int, Batch] = {}
        self._next = 0
        names = set(storage.names(self._place))
        while f"{self._next:06d}.json" in names:
            self._read_next(done=f"{self._next:06d}.done" in names)

    def knows(self, photo: Found) -> bool:
        """Whether a photo of this path, size and time of writing is in a batch."""
        return _digest((photo.path, photo.size, photo.mtime_ns)) in self._known

    def add(self, photos: Sequence[Found]) -> None:
        """Put photos into batches of their own, but for those that somebody else has put into one meanwhile."""
        left = photos
        while left := [photo for photo in left if not self.knows(photo)]:
            entries = [(photo.path, photo.size, photo.mtime_ns) for photo in left[: self._batch_photos]]
            if self._storage.commit(self._key("json"), json.dumps(entries).encode()):
                self._take_in(entries)
            else:
                self._read_next(done=self._storage.exists(self._key("done")))

    def unfinished(self) -> list[Batch]:
        """The batches whose jobs may not be there yet, in order."""
        return [self._unfinished[number] for number in sorted(self._unfinished)]

    def finished(self, batch: Batch) -> None:
        """Its job is there."""
        self._storage.commit(self._key("done", batch.number), batch.job.encode())
        del self._unfinished[batch.number]

    def _read_next(self, *, done: bool) -> None:
        key = self._key("json")
        try:
            entries = [(str(path), int(size), int(time)) for path, size, time in json.loads(self._storage.read(key))]
        except (ValueError, TypeError) as error:
            msg = f"Expected a list of photos at {key} in {self._storage.place}, got {error}; bring back a copy of it."
            raise JobError(msg) from error
        self._take_in(entries)
        if done:
            del self._unfinished[self._next - 1]

    def _take_in(self, entries: list[_Entry]) -> None:
        self._known.update(map(_digest, entries))
        named = hashlib.sha256(json.dumps([str(self._folder), entries]).encode()).hexdigest()[:_DIGITS]
        job = f"{name_part(self._folder.stem)}-{named}"
        self._unfinished[self._next] = Batch(self._next, job, tuple(path for path, _, _ in entries))
        self._next += 1

    def _key(self, ending: str, number: int | None = None) -> str:
        return f"{self._place}/{self._next if number is None else number:06d}.{ending}"


def _digest(entry: _Entry) -> bytes:
    """What is kept of a photo in memory."""
    return hashlib.blake2b(json.dumps(entry).encode(), digest_size=_ENTRY_BYTES).digest()
