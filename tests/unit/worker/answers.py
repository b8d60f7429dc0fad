"""Results of photos, as a model would give them."""

import hashlib
from dataclasses import replace

from models.decision import ReviewReason
from models.errors import ImageError, ImageFault
from tests.row_results import RowResult, failed_row
from worker.job.parts import Status

PHOTO = "5" * 64
MODEL = "shop/1/float32@aaaaaaaaaaaa"


def photo(row: int) -> str:
    """The SHA-256 of the photo of a row."""
    return hashlib.sha256(str(row).encode()).hexdigest()


def sure(label: str, confidence: float = 0.75, *others: tuple[str, float]) -> RowResult:
    """A photo that is labeled by itself; ``others`` are the classes after it."""
    return _result(label, confidence, others, None)


def unsure(
    label: str,
    confidence: float = 0.5,
    *others: tuple[str, float],
    reason: ReviewReason = ReviewReason.THRESHOLD,
    unknown: float | None = None,
) -> RowResult:
    """A photo that goes to review by itself."""
    return replace(_result(label, confidence, others, reason), unknown=unknown)


def failed(message: str = "It is no image.") -> RowResult:
    """A photo that cannot be read."""
    return failed_row(ImageError(message, ImageFault.UNREADABLE), None, MODEL)


def _result(
    label: str, confidence: float, others: tuple[tuple[str, float], ...], reason: ReviewReason | None
) -> RowResult:
    status = Status.REVIEW if reason else Status.LABELED
    best = ((label, confidence), *others)
    return RowResult(label, confidence, status, None, None, best, PHOTO, MODEL, reason)
