"""How far confidence and accuracy are apart.

Source of the equal-mass bins: Nixon et al., "Measuring Calibration in Deep Learning", 2019,
https://arxiv.org/abs/1904.01685.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "ReliabilityBin", "expected_calibration_error", "mass_bins", "reliability"]

BINS: Final = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of like confidence: what the model said on average, and how often it was right."""

    confidence: float
    accuracy: float
    count: int


def reliability(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.integer], bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram of the likeliest class, in bins that hold as many rows each.

    Args:
        probabilities: ``float32 (n, classes)``.
        labels: class indices ``(n,)``.
        bins: how many at most; rows of one confidence share a bin, so there may be fewer.

    Returns:
        Bins in rising order of confidence, none of them empty; no bins where there are no rows.
    """
    confidence = probabilities.max(axis=1, initial=0.0).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    members = mass_bins(confidence, bins)
    return tuple(
        ReliabilityBin(float(confidence[rows].mean()), float(right[rows].mean()), int(rows.sum()))
        for rows in (members == number for number in range(members.max(initial=-1) + 1))
    )


def expected_calibration_error(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.integer], bins: int = BINS
) -> float:
    """Mean distance of confidence and accuracy over the rows, bin by bin; 0 where there are no rows."""
    found = reliability(probabilities, labels, bins)
    total = sum(part.count for part in found)
    return sum(part.count * abs(part.confidence - part.accuracy) for part in found) / max(1, total)


def mass_bins(confidence: npt.NDArray[np.float64], bins: int = BINS) -> npt.NDArray[np.intp]:
    """The number of each row's bin, ``(n,)``, from 0 in rising order of confidence.

    A bin ends where its share of the rows is full, but never between rows of one confidence: those would otherwise be
    told apart by their order in the file.
    """
    ranked = np.sort(confidence)
    ends = ranked[[len(ranked) * part // bins - 1 for part in range(1, bins + 1) if len(ranked) * part // bins]]
    return np.searchsorted(np.unique(ends), confidence, side="left")
