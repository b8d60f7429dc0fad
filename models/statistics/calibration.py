"""Calibration: fits a temperature, and measures the difference between confidence and accuracy.

Sources: temperature scaling, Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
https://arxiv.org/abs/1706.04599; equal-mass bins, Nixon et al., "Measuring Calibration in Deep Learning", 2019,
https://arxiv.org/abs/1904.01685.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

BINS: Final = 15
COLDEST: Final = 0.05
HOTTEST: Final = 20.0
"""The lowest and the highest temperature."""


def class_logits(raw: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Logits with a column per class, ``(n, classes)``. A single logit ``z`` of two classes becomes ``[0, z]``."""
    return np.concatenate([np.zeros_like(raw), raw], axis=1) if raw.shape[1] == 1 else raw


def fit_temperature(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> float:
    """The temperature that maximizes the likelihood of the labels, between COLDEST and HOTTEST.

    Without rows, the result is 1. The negative log-likelihood has no minimum if all rows are right or all rows are
    wrong. So a prior, ``log(temperature) ** 2 / 2``, is added. With a handful of rows, this prior keeps the temperature
    near 1. With a hundred rows, it hardly matters.

    ``logits``: held-out rows, ``(n, classes)``. ``labels``: class indices, ``(n,)``.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if not len(labels):
        return 1.0
    margins = _in_double(logits)
    truths = margins[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        heat = np.exp(log_temperature)
        likelihoods = truths / heat - logsumexp(margins / heat, axis=1)
        return float(log_temperature**2 / 2 - likelihoods.sum())

    best = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(best.x))


def calibrated(logits: npt.NDArray[np.floating], temperature: float) -> npt.NDArray[np.float32]:
    """Softmax of the logits ``(n, classes)`` at a temperature above 0, ``float32``; rows sum to 1."""
    likelihoods = np.exp(_in_double(logits) / temperature)
    return np.asarray(likelihoods / likelihoods.sum(axis=1, keepdims=True), np.float32)


def _in_double(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Subtract each row's largest logit, in float64, so that no exponential overflows."""
    double = logits.astype(np.float64)
    double -= double.max(axis=1, keepdims=True)
    return double


@dataclass(frozen=True)
class ReliabilityBin:
    """The mean confidence and the accuracy of rows of similar confidence."""

    confidence: float
    accuracy: float
    count: int


def reliability(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.integer], bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram of the likeliest class. Bins have equal numbers of rows, by ascending confidence.

    Rows of equal confidence share a bin, so there may be fewer than ``bins`` bins. No bin is empty.
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
    """The expected calibration error: the mean difference between confidence and accuracy; 0 without rows."""
    parts = reliability(probabilities, labels, bins)
    total = sum(part.count for part in parts)
    return sum(part.count * abs(part.confidence - part.accuracy) for part in parts) / max(1, total)


def mass_bins(confidence: npt.NDArray[np.float64], bins: int = BINS) -> npt.NDArray[np.intp]:
    """The bin of each row, ``(n,)``. Bin 0 has the lowest confidences.

    Rows of equal confidence share a bin, because the order of the rows in the file must not change the result.
    """
    ranked = np.sort(confidence)
    ends = ranked[[len(ranked) * part // bins - 1 for part in range(1, bins + 1) if len(ranked) * part // bins]]
    return np.searchsorted(np.unique(ends), confidence, side="left")
