"""The contents of ``evaluation.json``: what a network came to, and how sure it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from models.statistics.calibration import calibrated, expected_calibration_error
from models.statistics.confidence import Confidence, PrecisionTarget
from models.statistics.intervals import Interval, proportion_interval
from models.statistics.thresholds import automatic
from trainer.data.dataset import Split
from trainer.judging.figures import Figures, score
from trainer.splits.assigned import AssignedPhoto

__all__ = ["Evaluation", "OfSplits", "Realised", "SplitPredictions", "UnknownFigures", "evaluate"]

T = TypeVar("T")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Realised(_Record):
    """What a target precision came to on a split.

    Attributes:
        coverage: share of the photos that were labelled by themselves.
        automatic, wrong: how many these are, and how many of them were wrong.
        precision: share of these that were right, with its interval; None if there are none.
    """

    coverage: float
    automatic: int
    wrong: int
    precision: float | None
    precision_95: Interval


class OfSplits(_Record, Generic[T]):
    """Something of validation and of test; None if there are no such photos."""

    val: T | None
    test: T | None

    def of(self, split: Split) -> T | None:
        """What was measured on a split; None if it has no photos."""
        return {Split.VAL: self.val, Split.TEST: self.test}[split]


class UnknownFigures(_Record):
    """The limit of "not one of my products", and the share of each split's photos that it sends to review."""

    score: str
    limit: float
    kept: float
    review: OfSplits[float]


class Evaluation(_Record):
    """The contents of ``evaluation.json``.

    Attributes:
        val, test: figures of calibrated probabilities.
        temperature: what the logits were divided by.
        ece_before: the calibration error without that.
        coverage_at_precision: for each target (``"0.98"``), what it came to.
        unknown: None if there is no unknown score.
    """

    val: Figures | None
    test: Figures | None
    temperature: float
    ece_before: OfSplits[float]
    thresholds: tuple[PrecisionTarget, ...]
    coverage_at_precision: dict[str, OfSplits[Realised]]
    unknown: UnknownFigures | None


@dataclass(frozen=True)
class SplitPredictions:
    """One split as the best network sees it.

    Attributes:
        labels: class indices ``(n,)``.
        logits: class logits ``float32 (n, classes)``, before the temperature.
        probabilities: calibrated, ``float32 (n, classes)``.
        unknown: the out-of-distribution score ``float32 (n,)``; None if there is no such score.
    """

    photos: Sequence[AssignedPhoto]
    labels: npt.NDArray[np.intp]
    logits: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    unknown: npt.NDArray[np.float32] | None


def evaluate(classes: Sequence[str], confidence: Confidence, judged: Mapping[Split, SplitPredictions]) -> Evaluation:
    """All figures of a training, on validation, and on test where there is one."""

    def known(split: SplitPredictions) -> npt.NDArray[np.bool_]:
        if split.unknown is None or confidence.unknown is None:
            return np.ones(len(split.labels), np.bool_)
        return np.asarray(split.unknown <= confidence.unknown.limit)

    def of_splits(figure: Callable[[SplitPredictions], T]) -> OfSplits[T]:
        found = [judged.get(split) for split in (Split.VAL, Split.TEST)]
        val, test = (figure(one) if one and len(one.labels) else None for one in found)
        return OfSplits(val=val, test=test)

    def realised_of(target: PrecisionTarget) -> Callable[[SplitPredictions], Realised]:
        return lambda split: _realised(split, known(split), target)

    limit, unknown = confidence.unknown, None
    if limit is not None:
        review = of_splits(lambda split: float(1 - known(split).mean()))
        unknown = UnknownFigures(score=limit.score, limit=limit.limit, kept=limit.kept, review=review)
    figures = of_splits(lambda split: score(split.probabilities, split.labels, classes))
    return Evaluation(
        val=figures.val,
        test=figures.test,
        temperature=confidence.temperature,
        ece_before=of_splits(lambda split: expected_calibration_error(calibrated(split.logits, 1.0), split.labels)),
        thresholds=confidence.targets,
        coverage_at_precision={
            f"{target.precision:.2f}": of_splits(realised_of(target)) for target in confidence.targets
        },
        unknown=unknown,
    )


def _realised(split: SplitPredictions, known: npt.NDArray[np.bool_], target: PrecisionTarget) -> Realised:
    chosen = automatic(split.probabilities, known, target.thresholds)
    count = int(chosen.sum())
    right = int((split.probabilities.argmax(axis=1) == split.labels)[chosen].sum())
    return Realised(
        coverage=count / len(chosen),
        automatic=count,
        wrong=count - right,
        precision=right / count if count else None,
        precision_95=proportion_interval(right, count),
    )
