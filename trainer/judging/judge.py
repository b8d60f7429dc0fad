"""What the best network of a training makes of validation and test, and how sure it may be of that."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from models.decision import Rules, Scores
from models.statistics.calibration import calibrated
from models.statistics.confidence import Confidence
from models.statistics.out_of_distribution import OutOfDistribution
from models.statistics.thresholds import HeldOut, fit_confidence, ruling_thresholds
from trainer.data.csv_files import path_in, write_rows
from trainer.data.dataset import Split
from trainer.judging.evaluate import Judged
from trainer.judging.folds import Fold, out_of_distribution_of
from trainer.learning.predictions import Answers, answer, images_per_s
from trainer.learning.training import Lesson, labels_of
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.prepare import Prepared

__all__ = ["Verdict", "judge", "write_predictions"]


@dataclass(frozen=True)
class Verdict:
    """What came of judging a network.

    Attributes:
        judged: validation, and test where there is one.
        confidence: how sure the network may be.
        out_of_distribution: what the products look like to it.
        images_per_s: photos that it judged in a second, decoding not counted.
        threads: that it judged them on.
    """

    judged: Mapping[Split, Judged]
    confidence: Confidence
    out_of_distribution: OutOfDistribution
    images_per_s: float
    threads: int


def judge(network: keras.Model, lesson: Lesson, prepared: Prepared, folds: Sequence[Fold]) -> Verdict:
    """Show a network the photos that it has not learned from.

    Args:
        network: the best of the training.
        lesson: that it was taught.
        prepared: the data.
        folds: what networks that were trained without a fold said of it.
    """
    photos = {split: found for split in (Split.VAL, Split.TEST) if (found := prepared.of(split))}
    answers = {split: answer(network, [p.sha256 for p in found], lesson.store) for split, found in photos.items()}
    out_of_distribution = out_of_distribution_of(network, lesson, answers[Split.VAL].features)
    classes = lesson.args.classes
    confidence = _know(answers[Split.VAL], photos[Split.VAL], classes, out_of_distribution, folds)
    judged = {
        split: _judged(found, answers[split], classes, out_of_distribution, confidence)
        for split, found in photos.items()
    }
    rate = images_per_s(network, [photo.sha256 for photo in photos[Split.VAL]], lesson.store)
    return Verdict(judged, confidence, out_of_distribution, rate, len(os.sched_getaffinity(0)))


def _know(
    said: Answers,
    photos: Sequence[AssignedPhoto],
    classes: Sequence[str],
    out_of_distribution: OutOfDistribution,
    folds: Sequence[Fold],
) -> Confidence:
    known = out_of_distribution.head.score(said.features) <= out_of_distribution.limit
    validation = HeldOut(said.logits, labels_of(photos, classes), known)
    return fit_confidence(validation, out_of_distribution.unknown, [fold.said for fold in folds])


def _judged(
    photos: Sequence[AssignedPhoto],
    said: Answers,
    classes: Sequence[str],
    out_of_distribution: OutOfDistribution,
    confidence: Confidence,
) -> Judged:
    return Judged(
        photos=photos,
        labels=labels_of(photos, classes),
        logits=said.logits,
        probabilities=calibrated(said.logits, confidence.temperature),
        unknown=out_of_distribution.head.score(said.features),
    )


_COLUMNS = ("image", "split", "label", "predicted", "confidence", "unknown", "status")


def write_predictions(
    path: Path, judged: Mapping[Split, Judged], confidence: Confidence, classes: Sequence[str], data: Path
) -> None:
    """Write a row a photo; ``status`` is what labelling would make of it at the precision that rules.

    Args:
        path: of the file.
        judged: what the network said.
        confidence: how sure it may be.
        classes: names, in index order.
        data: the folder or the CSV of the photos, where their paths start.
    """
    write_rows(
        path,
        _COLUMNS,
        (row for split, found in judged.items() for row in _rows(split, found, confidence, classes, data)),
    )


def _rows(
    split: Split, judged: Judged, confidence: Confidence, classes: Sequence[str], data: Path
) -> Iterator[Sequence[object]]:
    limit = confidence.unknown.limit if confidence.unknown else None
    rules = Rules(tuple(classes), ruling_thresholds(confidence, len(classes)), limit)
    decided = rules.decide(Scores(judged.probabilities, judged.unknown), top_k=1)
    for photo, found in zip(judged.photos, decided, strict=True):
        strange = "" if found.unknown is None else f"{found.unknown:.6g}"
        status = "review" if found.review else "labeled"
        yield (
            path_in(data, photo.path),
            split.value,
            photo.label,
            found.label,
            f"{found.confidence:.6f}",
            strange,
            status,
        )
