"""One chunk of a job while it is worked on: what its rows have become so far, and its part once they all have."""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from models.preprocess import PreprocessSpec
from worker.job import Job
from worker.labelling.attempt import attempt_on, earlier_attempts, forget_attempts
from worker.labelling.decoder import Decoder
from worker.parts import PhotoWork, part_bytes, part_key, read_part
from worker.photos.photo import Wanted
from worker.results import RowResult, results_of
from worker.retry import RETRYABLE

__all__ = ["Finished", "OpenChunk", "is_done"]


@dataclass(frozen=True)
class Finished:
    """A chunk that has its part.

    Attributes:
        chunk: its number.
        committed: whether this process committed it; another may have been quicker.
        rows: its results, in order; none where the part was there before.
        seconds: from taking the chunk up to its end.
        photos: what its photos took.
    """

    chunk: int
    committed: bool
    rows: tuple[RowResult, ...]
    seconds: float
    photos: PhotoWork


def is_done(job: Job, chunk: int) -> bool:
    """Whether a chunk has the part that is wanted of it."""
    return job.storage.exists(part_key(chunk, job.retry().wanted(chunk)))


class OpenChunk:
    """A chunk in hand.

    Where it is part of a retry, only its failed rows that are worth another try are done again.

    Args:
        job: the job.
        number: of the chunk.
        spec: what to make of its photos.

    Attributes:
        decoder: makes pixels of them.
        effort: what they took; the names are those of :class:`worker.parts.PhotoWork`.
    """

    def __init__(self, job: Job, number: int, spec: PreprocessSpec) -> None:
        self._start = time.monotonic()
        self._job = job
        self.number = number
        retry = job.retry().wanted(number)
        self._key = part_key(number, retry)
        images = job.chunk_images(number)
        self._rows = _rows_to_keep(job, number, retry) if retry else {}
        self._size = len(images)
        self._wanted = [Wanted(number, row, cell) for row, cell in enumerate(images) if row not in self._rows]
        self._earlier = earlier_attempts(job.storage, number)
        self._open = ExitStack()
        attempt = self._open.enter_context(attempt_on(job.storage, number))
        self.decoder = Decoder(attempt, spec, job.spec.options.timeout_s, self._earlier.rows)
        self.effort: defaultdict[str, float] = defaultdict(float)

    def take_wanted(self) -> list[Wanted]:
        """The photos that it needs, once: cells may hold photos, and are let go of as these are taken."""
        wanted, self._wanted = self._wanted, []
        return wanted

    def settle(self, row: int, result: RowResult) -> None:
        """What a row has become."""
        self._rows[row] = result

    @property
    def is_whole(self) -> bool:
        """Whether every row has become something."""
        return len(self._rows) == self._size

    @property
    def rows(self) -> tuple[RowResult, ...]:
        """The results of a whole chunk, in order."""
        return tuple(self._rows[number] for number in range(self._size))

    def commit(self) -> Finished:
        """Commit the part of a whole chunk; harmless where it was done elsewhere meanwhile."""
        rows, photos = self.rows, _photo_work(self.effort)
        seconds = time.monotonic() - self._start
        worker = f"{socket.gethostname()}:{os.getpid()}"
        data = part_bytes(list(rows), self._job.spec.id, worker, seconds, self._earlier.deaths, photos)
        committed = self._job.storage.commit(self._key, data)
        self.give_up()
        forget_attempts(self._job.storage, self.number)
        return Finished(self.number, committed, rows, seconds, photos)

    def give_up(self) -> None:
        """Let go of it; no row was in hand."""
        self._open.close()


def _photo_work(effort: Mapping[str, float]) -> PhotoWork:
    return PhotoWork.model_validate({name: round(value, 4) for name, value in effort.items()})


def _rows_to_keep(job: Job, chunk: int, retry: int) -> dict[int, RowResult]:
    """Rows of the chunk's latest part that a retry leaves as they are; none where a person has deleted that part."""
    keys = (part_key(chunk, number) for number in reversed(range(retry)))
    latest = next(filter(job.storage.exists, keys), None)
    if latest is None:
        return {}
    part = read_part(job.storage, latest, job.spec.id, job.rows_in_chunk(chunk))
    return {number: row for number, row in enumerate(results_of(part)) if row.error not in RETRYABLE}
