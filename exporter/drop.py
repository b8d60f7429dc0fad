"""What a lighter variant costs: how many points of accuracy, and how sure that is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.statistics.intervals import Interval, difference_interval

__all__ = ["Drop", "drop"]


@dataclass(frozen=True)
class Drop:
    """How much less often a variant is right than float32 is, on the same photos.

    Attributes:
        photos: how many.
        accuracy: the variant's share of photos that are labelled right.
        reference: the same of float32.
        points: how much less that is, in hundredths; negative where it is more.
        points_95: the 95% interval of that.
        agreement: share of photos that both label the same, right or wrong.
    """

    photos: int
    accuracy: float
    reference: float
    points: float
    points_95: Interval
    agreement: float


def drop(reference: npt.NDArray[np.floating], got: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> Drop:
    """Compare a variant with float32.

    Args:
        reference: float32's probabilities or logits, ``(n, classes)``, of at least one photo.
        got: the variant's, of the same photos.
        labels: class indices ``(n,)``.
    """
    before, after = reference.argmax(axis=1), got.argmax(axis=1)
    right_before, right_after = before == labels, after == labels
    lost, won = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
    low, high = difference_interval(lost, won, len(labels))
    return Drop(
        photos=len(labels),
        accuracy=float(right_after.mean()),
        reference=float(right_before.mean()),
        points=100 * (lost - won) / len(labels),
        points_95=(100 * low, 100 * high),
        agreement=float((before == after).mean()),
    )
