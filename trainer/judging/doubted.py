"""Photos of a run whose label is likely wrong, by its own network's features."""

from collections.abc import Sequence
from typing import Final

import keras
import numpy as np

from trainer.judging.label_issues import LabelIssue, find_label_issues, ranked
from trainer.judging.out_of_fold import out_of_fold
from trainer.learning.answers import features_of
from trainer.learning.lesson import Lesson, labels_of
from trainer.splits.assigned import AssignedPhoto

__all__ = ["doubted_labels"]

_TOGETHER: Final = 20_000
"""So many photos are compared with each other: their features are held in memory."""
_AGREED: Final = 0.5
"""Who is right about fewer labels than that has nothing to say of the others."""


def doubted_labels(network: keras.Model, lesson: Lesson) -> list[LabelIssue]:
    """Ask a small classifier on the network's features, fitted without the photo in question.

    The features have seen the labels, but a network that is augmented and stopped in time remembers few of the wrong
    ones: its own features told more of them than those it had before it was fine-tuned (docs/measurements.md).

    Args:
        network: taught.
        lesson: that it was taught; its training photos are judged, and those that were held back.

    Returns:
        The most likely wrong first.
    """
    photos = [*lesson.photos, *lesson.held]
    order = np.random.default_rng(lesson.args.seed).permutation(len(photos))
    parts = (np.sort(order[start : start + _TOGETHER]) for start in range(0, len(photos), _TOGETHER))
    return ranked(issue for part in parts for issue in _doubted(network, lesson, [photos[i] for i in part]))


def _doubted(network: keras.Model, lesson: Lesson, photos: Sequence[AssignedPhoto]) -> list[LabelIssue]:
    classes = lesson.args.classes
    features = features_of(network, [photo.sha256 for photo in photos], lesson.store)
    groups = [photo.group for photo in photos]
    labels = labels_of(photos, classes)
    guesses = out_of_fold(features, labels, groups, len(classes), lesson.args.seed)
    agreed = (guesses.argmax(axis=1) == labels).mean()
    return find_label_issues(photos, guesses, classes) if agreed >= _AGREED else []
