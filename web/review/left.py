"""How many rows of finished jobs wait for a person: those that went to review, and that nobody has answered yet."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from trainer.corrections.store import CorrectionStore
from web.review.questions import doubtful_photos
from worker.job.job import Job
from worker.job.parts import Status
from worker.job.receipt import JobReceipt

_DIGITS: Final = 16
"""Of a SHA-256, which are enough to tell photos apart: a number of 64 bits."""
_NOT_IN_DOUBT: Final = 0
Photos = npt.NDArray[np.uint64]


class Answered:
    """The photos that have an answer, whatever their job; none where the answers cannot be read, which a review says.

    Any thread may ask.

    Args:
        store: of the answers; it is read again when its files have changed.
    """

    def __init__(self, store: CorrectionStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen: object = None
        self._photos = _numbers(())

    def photos(self) -> Photos:
        """Their numbers; the same array until somebody answers."""
        with self._lock:
            stamp = self._store.stamp()
            if stamp != self._seen:
                self._photos, self._seen = _numbers(()), stamp
                with suppress(InputError):
                    self._photos = _numbers(self._store.photos())
            return self._photos


class RowsLeft:
    """What is left of one job, whose rows are read once for each of its receipts.

    Args:
        job: that is finished; with named models, a row waits until each question that doubts it has an answer.
        answered: gives the photos, of any job, that have an answer to a question.
    """

    def __init__(self, job: Job, answered: Callable[[Job], Answered]) -> None:
        self._job = job
        self._answered = [answered(question) for question in job.questions]
        self._receipt: object = None
        self._doubtful = _numbers(())
        self._counted: tuple[list[Photos], int] = ([], 0)

    def count(self, receipt: JobReceipt) -> int:
        """Rows to review that still wait for an answer; a photo that is known by its path only never has one.

        Raises:
            JobError: a part is damaged.
        """
        if not receipt.by_status.get(Status.REVIEW, 0):
            return 0
        if self._receipt != (receipt.job, receipt.retry):
            photos = _numbers(chain.from_iterable(doubtful_photos(self._job)))
            self._doubtful, self._receipt = photos.reshape(-1, len(self._answered)), (receipt.job, receipt.retry)
            self._counted = ([], 0)
        answered = [one.photos() for one in self._answered]
        if list(map(id, answered)) != list(map(id, self._counted[0])):
            asked = zip(self._doubtful.T, answered, strict=True)
            waits = [(photos != _NOT_IN_DOUBT) & ~np.isin(photos, said) for photos, said in asked]
            self._counted = (answered, int(np.any(waits, axis=0).sum()))
        return self._counted[1]


def _numbers(photos: Iterable[str | None]) -> Photos:
    """What :func:`doubtful_photos` gives, as numbers; no SHA-256 at all is 1, which nobody answers."""
    return np.fromiter(
        (_NOT_IN_DOUBT if photo is None else int(photo[:_DIGITS] or "1", 16) for photo in photos), np.uint64
    )
