"""How many rows of finished jobs wait for a person: those that went to review, and that nobody has answered yet."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from trainer.corrections.store import CorrectionStore
from web.review.questions import doubtful_photos
from worker.job import Job
from worker.receipt import Receipt
from worker.results import Status

__all__ = ["Answered", "RowsLeft"]

_DIGITS: Final = 16
"""Of a SHA-256, which are enough to tell photos apart: a number of 64 bits."""
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
        job: that is finished.
        answered: photos of any job.
    """

    def __init__(self, job: Job, answered: Answered) -> None:
        self._job, self._answered = job, answered
        self._receipt: object = None
        self._doubtful = _numbers(())
        self._counted: tuple[Photos | None, int] = (None, 0)

    def count(self, receipt: Receipt) -> int:
        """Rows to review on whose photo nobody has spoken; a photo that is known by its path only does not count.

        Raises:
            JobError: a part is damaged.
        """
        rows = receipt.by_status.get(Status.REVIEW, 0)
        if not rows:
            return 0
        if self._receipt != (receipt.job, receipt.retry):
            self._doubtful, self._receipt = _numbers(doubtful_photos(self._job)), (receipt.job, receipt.retry)
            self._counted = (None, 0)
        answered = self._answered.photos()
        if self._counted[0] is not answered:
            self._counted = (answered, int(np.isin(self._doubtful, answered).sum()))
        return rows - self._counted[1]


def _numbers(photos: Iterable[str]) -> Photos:
    return np.array([int(sha256[:_DIGITS], 16) for sha256 in photos], np.uint64)
