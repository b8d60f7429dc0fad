"""Counts the rows of finished jobs that still need review."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import reduce
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from models.errors import InputError
from trainer.corrections.store import CorrectionStore
from worker.job.job import Job
from worker.job.parts import Status
from worker.job.receipt import JobReceipt
from worker.results.end_review import read_end_reviews

_DIGITS: Final = 16
"""Photos are compared by this many hexadecimal digits of their SHA-256 (64 bits)."""
_NOT_IN_DOUBT: Final = 0
Photos = npt.NDArray[np.uint64]


class AnsweredPhotos:
    """The photos that have an answer, in any job. Empty if the answers cannot be read. Thread-safe."""

    def __init__(self, store: CorrectionStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen: object = None
        self._photos = _numbers(())

    def photos(self) -> Photos:
        """The photos' hashes, ``uint64 (photos,)``."""
        with self._lock:
            stamp = self._store.stamp()
            if stamp != self._seen:
                self._photos, self._seen = _numbers(()), stamp
                with suppress(InputError):
                    self._photos = _numbers(self._store.photos())
            return self._photos


class UnansweredRows:
    """Counts the unanswered rows of one job. Reads the part files again if the receipt changes.

    Args:
        job: a finished job. With several models, a row needs an answer for each unsure model.
        answered: returns the photos that reviewers answered for a model, in any job.
    """

    def __init__(self, job: Job, answered: Callable[[Job], AnsweredPhotos]) -> None:
        self._job = job
        self._answered = [answered(question) for question in job.questions]
        self._receipt: object = None
        self._doubtful = _numbers(())

    def count(self, receipt: JobReceipt) -> int:
        """Number of rows that still need review. A photo without SHA-256 never has an answer. Raises JobError."""
        if not receipt.by_status.get(Status.REVIEW, 0):
            return 0
        if self._receipt != (receipt.job, receipt.retry):
            photos = _numbers(chain.from_iterable(_doubtful_photos(self._job)))
            self._doubtful, self._receipt = photos.reshape(-1, len(self._answered)), (receipt.job, receipt.retry)
        answered = [one.photos() for one in self._answered]
        questions = zip(self._doubtful.T, answered, strict=True)
        waits = [(photos != _NOT_IN_DOUBT) & ~np.isin(photos, known) for photos, known in questions]
        return int(np.any(waits, axis=0).sum())


def _numbers(photos: Iterable[str | None]) -> Photos:
    """The first 64 bits of each SHA-256. Returns 0 for None, and 1 for an empty text."""
    return np.fromiter(
        (_NOT_IN_DOUBT if photo is None else int(photo[:_DIGITS] or "1", 16) for photo in photos), np.uint64
    )


def _doubtful_photos(job: Job) -> Iterator[tuple[str | None, ...]]:
    """Yield each row for review, as a tuple with one item per model.

    An item is the photo's SHA-256, or an empty text if the SHA-256 is unknown. If the model's label needs no review,
    the item is None.
    """
    ended = [read_end_reviews(question) for question in job.questions]
    for chunk, key in sorted(job.part_keys().items()):
        parts = [question.part(chunk, key, ["status", "sha256"]) for question in job.questions]
        failed = reduce(pc.or_, (pc.equal(part.column("status"), Status.FAILED) for part in parts))
        photos = []
        for part, mine in zip(parts, ended, strict=True):
            reasons = mine.reasons_of(chunk * job.spec.chunk_rows, part.num_rows)
            doubted = pc.or_(pc.equal(part.column("status"), Status.REVIEW), reasons.is_valid())
            doubted = pc.and_not(doubted, failed)
            photos.append(pc.if_else(doubted, pc.fill_null(part.column("sha256"), ""), None).to_pylist())
        yield from (row for row in zip(*photos, strict=True) if any(photo is not None for photo in row))
