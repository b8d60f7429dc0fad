"""Judging the best network of a training on validation and test: its predictions, how sure it may be, its figures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from models.decision import Rules, Scores
from models.statistics.calibration import calibrated, expected_calibration_error
from models.statistics.confidence import Confidence, PrecisionTarget
from models.statistics.intervals import Interval, proportion_interval
from models.statistics.out_of_distribution import OutOfDistribution
from models.statistics.thresholds import HeldOutLogits, automatic, fit_confidence, ruling_thresholds
from trainer.data.csv_files import path_in, write_rows
from trainer.data.dataset import Split
from trainer.judging.figures import Figures, score
from trainer.judging.folds import held_out
from trainer.learning.predictions import predict
from trainer.learning.training import Training, labels_of
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.prepare import Prepared

__all__ = [
    "AchievedPrecision",
    "CalibratedPredictions",
    "Evaluation",
    "PerSplit",
    "SplitPredictions",
    "evaluate",
    "judge",
    "write_predictions",
]

_COLUMNS: Final = ("image", "split", "label", "predicted", "confidence", "unknown", "status")

T = TypeVar("T")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class AchievedPrecision(_Record):
    """What a target precision achieves on a split.

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


class PerSplit(_Record, Generic[T]):
    """A value for validation and one for test; None if the split has no photos."""

    val: T | None
    test: T | None

    def of(self, split: Split) -> T | None:
        """The value for a split; None if it has no photos."""
        return {Split.VAL: self.val, Split.TEST: self.test}[split]


class UnknownFigures(_Record):
    """The limit of "not one of my products", and the share of each split's photos that it sends to review."""

    score: str
    limit: float
    kept: float
    review: PerSplit[float]


class Evaluation(_Record):
    """The contents of ``evaluation.json``.

    Attributes:
        val, test: figures of calibrated probabilities.
        temperature: what the logits were divided by.
        ece_before: the calibration error without that.
        coverage_at_precision: target (``"0.98"``) → what it achieves.
    """

    val: Figures | None
    test: Figures | None
    temperature: float
    ece_before: PerSplit[float]
    thresholds: tuple[PrecisionTarget, ...]
    coverage_at_precision: dict[str, PerSplit[AchievedPrecision]]
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


@dataclass(frozen=True)
class CalibratedPredictions:
    """The result of judging a network on validation, and on test if there are such photos."""

    judged: Mapping[Split, SplitPredictions]
    confidence: Confidence
    out_of_distribution: OutOfDistribution


def judge(
    network: keras.Model, training: Training, prepared: Prepared, folds: Sequence[HeldOutLogits]
) -> CalibratedPredictions:
    """Judge a training's best network on the photos of validation and test, which it has not learned from."""
    photos = {split: found for split in (Split.VAL, Split.TEST) if (found := prepared.of(split))}
    predictions = {
        split: predict(network, [photo.sha256 for photo in found], training.store) for split, found in photos.items()
    }
    validation, score = held_out(network, training, photos[Split.VAL], predictions[Split.VAL])
    confidence = fit_confidence(validation, score.unknown, folds)
    judged = {
        split: SplitPredictions(
            photos=found,
            labels=labels_of(found, training.args.classes),
            logits=predictions[split].logits,
            probabilities=calibrated(predictions[split].logits, confidence.temperature),
            unknown=score.head.score(predictions[split].features),
        )
        for split, found in photos.items()
    }
    return CalibratedPredictions(judged, confidence, score)


def evaluate(classes: Sequence[str], confidence: Confidence, judged: Mapping[Split, SplitPredictions]) -> Evaluation:
    """All figures of a training, on validation, and on test if there is one."""

    def known(split: SplitPredictions) -> npt.NDArray[np.bool_]:
        if split.unknown is None or confidence.unknown is None:
            return np.ones(len(split.labels), np.bool_)
        return np.asarray(split.unknown <= confidence.unknown.limit)

    def of_splits(figure: Callable[[SplitPredictions], T]) -> PerSplit[T]:
        found = [judged.get(split) for split in (Split.VAL, Split.TEST)]
        val, test = (figure(one) if one and len(one.labels) else None for one in found)
        return PerSplit(val=val, test=test)

    def realised_of(target: PrecisionTarget) -> Callable[[SplitPredictions], AchievedPrecision]:
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


def _realised(split: SplitPredictions, known: npt.NDArray[np.bool_], target: PrecisionTarget) -> AchievedPrecision:
    chosen = automatic(split.probabilities, known, target.thresholds)
    count = int(chosen.sum())
    right = int((split.probabilities.argmax(axis=1) == split.labels)[chosen].sum())
    return AchievedPrecision(
        coverage=count / len(chosen),
        automatic=count,
        wrong=count - right,
        precision=right / count if count else None,
        precision_95=proportion_interval(right, count),
    )


def write_predictions(
    path: Path, judged: Mapping[Split, SplitPredictions], confidence: Confidence, classes: Sequence[str], data: Path
) -> None:
    """Write ``predictions.csv``: a row for each photo of validation and test, its path relative to the data.

    ``status`` is what labelling would say at the model's default precision.
    """
    limit = confidence.unknown.limit if confidence.unknown else None
    rules = Rules(tuple(classes), ruling_thresholds(confidence, len(classes)), limit)
    write_rows(path, _COLUMNS, (row for split, found in judged.items() for row in _rows(split, found, rules, data)))


def _rows(split: Split, judged: SplitPredictions, rules: Rules, data: Path) -> Iterator[Sequence[object]]:
    decided = rules.decide(Scores(judged.probabilities, judged.unknown), top_k=1)
    for photo, found in zip(judged.photos, decided, strict=True):
        image, unknown = path_in(data, photo.path), "" if found.unknown is None else f"{found.unknown:.6g}"
        status = "review" if found.review else "labeled"
        yield image, split.value, photo.label, found.label, f"{found.confidence:.6f}", unknown, status
