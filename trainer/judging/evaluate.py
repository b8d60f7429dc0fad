"""The contents of ``evaluation.json``: what a network came to, and how sure it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.statistics.calibration import calibrated, expected_calibration_error
from models.statistics.confidence import Confidence, PrecisionTarget
from models.statistics.intervals import Interval, proportion_interval
from models.statistics.thresholds import automatic
from trainer.judging.figures import ClassFigures, Figures, confusion, score
from trainer.splits.assigned import AssignedPhoto

__all__ = [
    "ClassFigures",
    "Evaluation",
    "Figures",
    "Judged",
    "OfSplits",
    "Predictions",
    "Realised",
    "UnknownFigures",
    "confusion",
    "evaluate",
    "score",
]


T = TypeVar("T")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Realised(_Record):
    """What a target precision came to on a split.

    Attributes:
        coverage: share of the photos that were labelled by themselves.
        automatic: how many these are.
        wrong: how many of these were wrong.
        precision: share of these that were right; none where there are none.
        precision_95: its interval.
    """

    coverage: float
    automatic: int
    wrong: int
    precision: float | None
    precision_95: Interval


class OfSplits(_Record, Generic[T]):
    """Something of validation and of test; none where there are no such photos."""

    val: T | None
    test: T | None


class UnknownFigures(_Record):
    """The limit of "not one of my products", and the share of each split's photos that it sends to review."""

    score: str
    limit: float
    kept: float
    review: OfSplits[float]


class Evaluation(_Record):
    """The contents of ``evaluation.json``.

    Attributes:
        val: figures on validation, calibrated.
        test: figures on test, calibrated.
        temperature: what the logits were divided by.
        ece_before: the calibration error without that.
        thresholds: what can be asked for.
        coverage_at_precision: for each target (``"0.98"``), what it came to.
        unknown: none where there is no unknown score.
    """

    val: Figures | None
    test: Figures | None
    temperature: float
    ece_before: OfSplits[float]
    thresholds: tuple[PrecisionTarget, ...]
    coverage_at_precision: dict[str, OfSplits[Realised]]
    unknown: UnknownFigures | None


@dataclass(frozen=True)
class Predictions:
    """What a network says of a split's photos.

    Attributes:
        logits: a column a class, before any temperature, ``(n, classes)``.
        labels: class indices ``(n,)``.
        unknown: scores ``(n,)``; none where there is no unknown score.
    """

    logits: npt.NDArray[np.floating]
    labels: npt.NDArray[np.integer]
    unknown: npt.NDArray[np.floating] | None = None


def evaluate(
    classes: Sequence[str], confidence: Confidence, val: Predictions | None, test: Predictions | None
) -> Evaluation:
    """All figures of a training.

    Args:
        classes: names, in index order.
        confidence: what was learned of how sure the network is.
        val: what the network says of validation photos.
        test: what it says of test photos.
    """
    figures = _of_splits(val, test, lambda split: score(_calibrated(split, confidence), split.labels, classes))
    return Evaluation(
        val=figures.val,
        test=figures.test,
        temperature=confidence.temperature,
        ece_before=_of_splits(val, test, _uncalibrated_error),
        thresholds=confidence.targets,
        coverage_at_precision={
            f"{target.precision:.2f}": _of_splits(val, test, partial(_realised, confidence, target))
            for target in confidence.targets
        },
        unknown=_unknown(confidence, val, test),
    )


def _of_splits(val: Predictions | None, test: Predictions | None, figure: Callable[[Predictions], T]) -> OfSplits[T]:
    found = [figure(split) if split and len(split.labels) else None for split in (val, test)]
    return OfSplits(val=found[0], test=found[1])


def _calibrated(split: Predictions, confidence: Confidence) -> npt.NDArray[np.float32]:
    return calibrated(split.logits, confidence.temperature)


def _uncalibrated_error(split: Predictions) -> float:
    return expected_calibration_error(calibrated(split.logits, 1.0), split.labels)


def _known(split: Predictions, confidence: Confidence) -> npt.NDArray[np.bool_]:
    if split.unknown is None or confidence.unknown is None:
        return np.ones(len(split.labels), np.bool_)
    return np.asarray(split.unknown <= confidence.unknown.limit)


def _realised(confidence: Confidence, target: PrecisionTarget, split: Predictions) -> Realised:
    probabilities = _calibrated(split, confidence)
    chosen = automatic(probabilities, _known(split, confidence), target.thresholds)
    count = int(chosen.sum())
    right = int((probabilities.argmax(axis=1) == split.labels)[chosen].sum())
    return Realised(
        coverage=count / len(chosen),
        automatic=count,
        wrong=count - right,
        precision=right / count if count else None,
        precision_95=proportion_interval(right, count),
    )


def _unknown(confidence: Confidence, val: Predictions | None, test: Predictions | None) -> UnknownFigures | None:
    if confidence.unknown is None:
        return None
    limit = confidence.unknown
    review = _of_splits(val, test, lambda split: float(1 - _known(split, confidence).mean()))
    return UnknownFigures(score=limit.score, limit=limit.limit, kept=limit.kept, review=review)


@dataclass(frozen=True)
class Judged:
    """One split as the best network sees it.

    Attributes:
        photos: n of them.
        labels: class indices ``(n,)``.
        logits: class logits ``float32 (n, classes)``, before the temperature.
        probabilities: calibrated, ``float32 (n, classes)``.
        unknown: the unknown score ``float32 (n,)``.
    """

    photos: Sequence[AssignedPhoto]
    labels: NDArray[np.intp]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    unknown: NDArray[np.float32]
