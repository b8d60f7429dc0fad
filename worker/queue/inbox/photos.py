"""Photos of a watched folder become jobs, many at once, by a numbered log in the folder of jobs.

A batch is committed under its number before its job is made, and the first commit of a number wins. So another watcher
reads it before adding the next one, and whoever follows a killed process makes the missing job.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from catalogue.catalogue import Catalogue
from models.errors import JobError
from models.storage.storage import Storage
from worker.queue.inbox.files import FoundFile
from worker.queue.submit import name_part

BATCH_PHOTOS: Final = 100_000
_SCHEMA: Final = pa.schema([("image", pa.string())])
_ARROW_ROWS: Final = 4096
_ENTRY_BYTES: Final = 16
_DIGITS: Final = 12

_Entry = tuple[str, int, int]
"""A photo's path, size and time of writing in nanoseconds."""


@dataclass(frozen=True)
class Batch:
    """Photos that become one job: its number in the log, its job's name, and paths relative to the folder, in order."""

    number: int
    job: str
    paths: tuple[str, ...]

    def catalogue(self, folder: str) -> Catalogue:
        """The rows of its job."""
        return Catalogue(folder, _SCHEMA, "image", folder, self._tables(), Counter())

    def _tables(self) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self.paths), _ARROW_ROWS):
            yield pa.record_batch([pa.array(self.paths[start : start + _ARROW_ROWS], pa.string())], schema=_SCHEMA)


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

    def knows(self, photo: FoundFile) -> bool:
        """Whether a photo of this path, size and time of writing is in a batch."""
        return _digest((photo.path, photo.size, photo.mtime_ns)) in self._known

    def add(self, photos: Sequence[FoundFile]) -> None:
        """Put photos into new batches, but for those that another process has put into one meanwhile."""
        left = photos
        while left := [photo for photo in left if not self.knows(photo)]:
            entries = [(photo.path, photo.size, photo.mtime_ns) for photo in left[: self._batch_photos]]
            if self._storage.commit(self._key("json"), json.dumps(entries).encode()):
                self._take_in(entries, done=False)
            else:
                self._read_next(done=self._storage.exists(self._key("done")))

    def unfinished(self) -> list[Batch]:
        """The batches whose jobs may not be there yet, in order."""
        return list(self._unfinished.values())

    def finished(self, batch: Batch) -> None:
        """Note that a batch's job has been written."""
        self._storage.commit(self._key("done", batch.number), batch.job.encode())
        del self._unfinished[batch.number]

    def _read_next(self, *, done: bool) -> None:
        key = self._key("json")
        try:
            entries = [(str(path), int(size), int(time)) for path, size, time in json.loads(self._storage.read(key))]
        except (ValueError, TypeError) as error:
            msg = f"Expected a list of photos at {key} in {self._storage.place}, got {error}; bring back a copy of it."
            raise JobError(msg) from error
        self._take_in(entries, done=done)

    def _take_in(self, entries: list[_Entry], *, done: bool) -> None:
        self._known.update(map(_digest, entries))
        named = hashlib.sha256(json.dumps([str(self._folder), entries]).encode()).hexdigest()[:_DIGITS]
        job = f"{name_part(self._folder.stem)}-{named}"
        if not done:
            self._unfinished[self._next] = Batch(self._next, job, tuple(path for path, _, _ in entries))
        self._next += 1

    def _key(self, ending: str, number: int | None = None) -> str:
        return f"{self._place}/{self._next if number is None else number:06d}.{ending}"


def _digest(entry: _Entry) -> bytes:
    """A photo's digest, which is what is kept in memory."""
    return hashlib.blake2b(json.dumps(entry).encode(), digest_size=_ENTRY_BYTES).digest()
