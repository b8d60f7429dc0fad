"""Evaluates the best network of a training on validation and test photos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from models.statistics.calibration import calibrated, expected_calibration_error
from models.statistics.confidence import TARGETS, Confidence, PrecisionTarget
from models.statistics.out_of_distribution import OutOfDistribution
from models.statistics.thresholds import HeldOutLogits, fewest_own_rows, fit_confidence
from models.taxonomy import Taxonomy, level_name
from trainer.data.dataset import Split
from trainer.judging.figures import (
    AchievedPrecision,
    EvaluationRecord,
    Figures,
    OutlierFigures,
    SurestPhotos,
    distances,
    group_effect,
    outlier_figures,
    realised,
    score,
    surest_photos,
    unpromised_sentences,
    why_unproved,
)
from trainer.judging.folds import held_out, held_photos
from trainer.learning.training import Predictor, Training, labels_of
from trainer.splits.assigned import AssignedPhoto, group_numbers
from trainer.splits.prepare import Prepared

T = TypeVar("T")


class Judged(StrEnum):
    """The groups of photos that have figures in ``evaluation.json``."""

    VAL = "val"
    CV = "cv"
    TEST = "test"

    @property
    def word(self) -> str:
        """The name of the group in messages, such as "validation"."""
        return {"val": "validation", "cv": "out-of-fold", "test": "test"}[self.value]


class PerSplit(EvaluationRecord, Generic[T]):
    """A value for validation, test and out-of-fold photos (``cv``). None if there are no photos of the group."""

    val: T | None
    test: T | None
    cv: T | None = None

    def of(self, judged: Judged) -> T | None:
        """Return the field named ``judged``."""
        value: T | None = getattr(self, judged)
        return value


class UnknownFigures(EvaluationRecord):
    """The limit of the out-of-distribution score, and the share of each split's photos above the limit.

    ``outliers`` is None if no photo is labelled ``_none``.
    """

    score: str
    limit: float
    kept: float
    review: PerSplit[float]
    outliers: OutlierFigures | None = None


class CrossValidated(Figures):
    """Out-of-fold figures. Each of the ``folds`` networks predicts only photos that it was not trained on."""

    folds: int


class LevelRow(NamedTuple):
    """Expected and measured shares of photos labelled at one level of a tree, for a target precision."""

    precision: float
    level: str
    expected: float
    measured: AchievedPrecision | None


class Evaluation(PerSplit[Figures]):
    """The contents of ``evaluation.json``.

    Attributes:
        val, test: figures from calibrated probabilities.
        cv: figures from out-of-fold predictions. Test photos are excluded.
        ece_before: the expected calibration error before temperature scaling.
        coverage_at_precision: coverage and precision for each target precision, such as ``"0.98"``.
        surest: figures of the most confident predictions, only if no precision is promised.
        label_issues: number of rows in ``label_issues.csv``. unlisted: why label errors could not be found.
        distances: see :func:`trainer.judging.figures.distances`.
    """

    cv: CrossValidated | None = None
    temperature: float
    ece_before: PerSplit[float]
    thresholds: tuple[PrecisionTarget, ...]
    coverage_at_precision: dict[str, PerSplit[AchievedPrecision]]
    unknown: UnknownFigures | None
    distances: PerSplit[dict[int, int]] | None = None
    surest: SurestPhotos | None = None
    label_issues: int = 0
    unlisted: str | None = None

    @property
    def shown(self) -> Judged:
        """The group of photos that reports show: the larger of test and out-of-fold, otherwise validation."""
        counts = {one: figures.n for one in Judged if (figures := self.of(one))}
        return max(counts, key=lambda one: (one is not Judged.VAL, counts[one]), default=Judged.VAL)

    def unpromised(self, *, pooled: bool) -> list[str]:
        """Explain why no precision can be promised; see :func:`trainer.judging.figures.unpromised_sentences`."""
        word = (Judged.CV if self.cv else Judged.VAL).word
        own, own_word = (self.cv, word) if pooled and self.cv else (self.val, Judged.VAL.word)
        return unpromised_sentences(self.thresholds[0], own, self.surest, word, own_word)

    @property
    def folds_may_prove(self) -> bool:
        """Whether there are enough validation photos for folds to prove the lowest target precision."""
        return self.val is not None and self.val.n >= fewest_own_rows(TARGETS[0])

    def unproved(self, *, pooled: bool) -> dict[float, str]:
        """The reason for each precision that cannot be promised. ``pooled``: also use out-of-fold predictions."""
        own = self.cv if pooled else self.val
        return {one.precision: why_unproved(one, own) for one in self.thresholds if not one.coverage}

    def by_level(self, judged: Judged) -> list[LevelRow]:
        """A row for each level of the tree and each precision that can be promised. Empty without a tree."""
        rows = []
        for target in self.thresholds:
            figures = self.coverage_at_precision[f"{target.precision:.2f}"].of(judged)
            for level, expected in enumerate(target.level_coverage if target.coverage else ()):
                achieved = figures.levels[level] if figures and figures.levels else None
                rows.append(LevelRow(target.precision, level_name(level), expected, achieved))
        return rows


@dataclass(frozen=True)
class SplitPredictions:
    """One network's predictions for a split, or out-of-fold predictions for all photos except test photos.

    Attributes:
        labels: class indices ``(n,)``.
        logits: ``float32 (n, classes)``, before temperature scaling. ``probabilities`` are calibrated.
        unknown: the out-of-distribution score ``float32 (n,)``. None for folds: each fold has its own score.
        known: ``(n,)``, only for out-of-fold predictions: whether the score is within the predicting network's limit.
    """

    photos: Sequence[AssignedPhoto]
    labels: npt.NDArray[np.intp]
    logits: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    unknown: npt.NDArray[np.float32] | None
    known: npt.NDArray[np.bool_] | None = None

    @property
    def effect(self) -> float:
        """Design effect; see :func:`trainer.judging.figures.group_effect`."""
        return group_effect(self.probabilities, self.labels, group_numbers(self.photos))


@dataclass(frozen=True)
class CalibratedPredictions:
    """A network's predictions for validation photos, and for test photos if there are any.

    ``out_of_fold`` has out-of-fold predictions for all photos except test photos.
    """

    judged: Mapping[Judged, SplitPredictions]
    confidence: Confidence
    out_of_distribution: OutOfDistribution
    out_of_fold: SplitPredictions | None = None
    outliers: OutlierFigures | None = None


def is_better(one: Evaluation, other: Evaluation) -> bool:
    """Whether the loss of ``one`` is equal to or lower than the loss of ``other``.

    Compares out-of-fold losses if both evaluations have them, otherwise validation losses.
    """
    judged = Judged.CV if one.cv and other.cv else Judged.VAL
    ours, theirs = one.of(judged), other.of(judged)
    return ours is not None and theirs is not None and ours.loss <= theirs.loss


def judge(
    predictor: Predictor, training: Training, prepared: Prepared, folds: Sequence[HeldOutLogits]
) -> CalibratedPredictions:
    """Predict validation and test photos with a training's best network."""
    photos = {split: own_photos for split in (Split.VAL, Split.TEST) if (own_photos := prepared.of(split))}
    predictions = {
        split: predictor.predict([photo.sha256 for photo in own_photos]) for split, own_photos in photos.items()
    }
    validation, distance = held_out(predictor, training, photos[Split.VAL], predictions[Split.VAL])
    confidence = fit_confidence(
        validation, distance.unknown, folds, cv=training.args.pools_folds, tree=training.args.tree
    )
    judged = {
        Judged(split): SplitPredictions(
            photos=own,
            labels=labels_of(own, training.args.classes),
            logits=predictions[split].logits,
            probabilities=calibrated(predictions[split].logits, confidence.temperature),
            unknown=distance.head.score(predictions[split].features),
        )
        for split, own in photos.items()
    }
    out_of_fold = _out_of_fold(training, [*folds, validation], photos[Split.VAL], confidence) if folds else None
    if training.args.cv and out_of_fold:
        judged[Judged.CV] = out_of_fold
    outliers = [photo.sha256 for split in (Split.VAL, Split.TEST) for photo in prepared.outliers(split)]
    strange = distance.head.score(predictor.features(outliers))
    known = np.concatenate([distance.head.score(predicted.features) for predicted in predictions.values()])
    figures = outlier_figures(strange, known, distance.limit)
    return CalibratedPredictions(judged, confidence, distance, out_of_fold, figures)


def _out_of_fold(
    training: Training, parts: Sequence[HeldOutLogits], validation: Sequence[AssignedPhoto], confidence: Confidence
) -> SplitPredictions:
    logits = np.concatenate([part.logits for part in parts])
    return SplitPredictions(
        photos=[*held_photos(training), *validation],
        labels=np.concatenate([part.labels for part in parts]),
        logits=logits,
        probabilities=calibrated(logits, confidence.temperature),
        unknown=None,
        known=np.concatenate([part.known for part in parts]),
    )


def evaluate(
    classes: Sequence[str],
    confidence: Confidence,
    judged: Mapping[Judged, SplitPredictions],
    folds: int = 0,
    outliers: OutlierFigures | None = None,
    tree: Taxonomy | None = None,
) -> Evaluation:
    """Compute all figures of a training, for each group of photos in ``judged``. ``folds``: number of fold networks."""

    def known(split: SplitPredictions) -> npt.NDArray[np.bool_]:
        if split.known is not None:
            return split.known
        if split.unknown is None or confidence.unknown is None:
            return np.ones(len(split.labels), np.bool_)
        return np.asarray(split.unknown <= confidence.unknown.limit)

    def of_splits(figure: Callable[[SplitPredictions], T]) -> PerSplit[T]:
        values = {one.value: figure(judged[one]) for one in judged if len(judged[one].labels)}
        return PerSplit(val=values.get("val"), test=values.get("test"), cv=values.get("cv"))

    def realised_of(target: PrecisionTarget) -> Callable[[SplitPredictions], AchievedPrecision]:
        return lambda split: realised(split.probabilities, split.labels, known(split), target, tree, split.effect)

    limit, unknown = confidence.unknown, None
    if limit is not None:
        review = of_splits(lambda split: float(1 - known(split).mean()))
        unknown = UnknownFigures(
            score=limit.score, limit=limit.limit, kept=limit.kept, review=review, outliers=outliers
        )
    own = None if confidence.precision else judged.get(Judged.CV) or judged.get(Judged.VAL)
    figures = of_splits(lambda split: score(split.probabilities, split.labels, classes, split.effect))
    return Evaluation(
        val=figures.val,
        test=figures.test,
        cv=CrossValidated(**dict(figures.cv), folds=folds) if figures.cv else None,
        temperature=confidence.temperature,
        ece_before=of_splits(lambda split: expected_calibration_error(calibrated(split.logits, 1.0), split.labels)),
        thresholds=confidence.targets,
        coverage_at_precision={
            f"{target.precision:.2f}": of_splits(realised_of(target)) for target in confidence.targets
        },
        unknown=unknown,
        surest=surest_photos(own.probabilities, own.labels, known(own)) if own else None,
        distances=of_splits(lambda split: distances(split.probabilities, split.labels, tree)) if tree else None,
    )
