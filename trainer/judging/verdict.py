"""What the best network of a training makes of validation and test, and how sure it may be of that."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras

from exporter.confidence.calibrate import calibrated
from exporter.confidence.knowing import HeldOut, Strangeness, know
from models.confidence import Confidence
from trainer.data.dataset import Split
from trainer.data.prepare import Prepared
from trainer.judging.folds import Fold, strangeness_of
from trainer.judging.judged import Judged
from trainer.learning.answers import Answers, answer, images_per_s
from trainer.learning.lesson import Lesson, labels_of
from trainer.splits.assigned import AssignedPhoto

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True)
class Verdict:
    """What came of judging a network.

    Attributes:
        judged: validation, and test where there is one.
        confidence: how sure the network may be.
        strangeness: what the products look like to it.
        images_per_s: photos that it judged in a second, decoding not counted.
        threads: that it judged them on.
    """

    judged: Mapping[Split, Judged]
    confidence: Confidence
    strangeness: Strangeness
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
    strangeness = strangeness_of(network, lesson, answers[Split.VAL].features)
    classes = lesson.args.classes
    confidence = _know(answers[Split.VAL], photos[Split.VAL], classes, strangeness, folds)
    judged = {
        split: _judged(found, answers[split], classes, strangeness, confidence) for split, found in photos.items()
    }
    rate = images_per_s(network, [photo.sha256 for photo in photos[Split.VAL]], lesson.store)
    return Verdict(judged, confidence, strangeness, rate, len(os.sched_getaffinity(0)))


def _know(
    said: Answers,
    photos: Sequence[AssignedPhoto],
    classes: Sequence[str],
    strangeness: Strangeness,
    folds: Sequence[Fold],
) -> Confidence:
    known = strangeness.head.score(said.features) <= strangeness.limit
    validation = HeldOut(said.logits, labels_of(photos, classes), known)
    return know(validation, strangeness.unknown, [fold.said for fold in folds])


def _judged(
    photos: Sequence[AssignedPhoto],
    said: Answers,
    classes: Sequence[str],
    strangeness: Strangeness,
    confidence: Confidence,
) -> Judged:
    return Judged(
        photos=photos,
        labels=labels_of(photos, classes),
        logits=said.logits,
        probabilities=calibrated(said.logits, confidence.temperature),
        unknown=strangeness.head.score(said.features),
    )
