"""Photos whose label is likely wrong, by what a model that has not seen the label thinks of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.data.csv_file import write_rows
from trainer.data.path_cell import path_in
from trainer.splits.assigned import AssignedPhoto

__all__ = ["LEAST_ODDS", "LabelIssue", "find_label_issues", "ranked", "write_label_issues"]

LEAST_ODDS: Final = 9.0
"""How many times as likely as the label another class must be."""

_COLUMNS: Final = ("image", "split", "label", "suggested", "score", "label_probability", "suggested_probability")


@dataclass(frozen=True)
class LabelIssue:
    """A photo that is likely of another class than its label says.

    Attributes:
        photo: as it is labelled.
        given: its label.
        suggested: the likeliest class.
        given_probability: of the label.
        suggested_probability: of the suggestion.
        score: the suggestion's share of the two probabilities: from 0.9, for the least odds, to 1.
    """

    photo: AssignedPhoto
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float
    score: float


def find_label_issues(
    photos: Sequence[AssignedPhoto], probabilities: npt.NDArray[np.float32], classes: Sequence[str]
) -> list[LabelIssue]:
    """Compare labels with predictions that were made without them.

    A label is doubted where another class is ``LEAST_ODDS`` times as likely, and issues are ranked by these odds. The
    thresholds of confident learning (Northcutt, Jiang & Chuang 2021: the mean probability that a class's own photos
    have of it) were tried instead: of labels shuffled among 3% of clothing photos they found 66% at a precision of
    0.20, the odds 80% at 0.35.

    The probabilities must be out of fold, from networks or features that have not learned from these labels: a model
    that has seen a wrong label repeats it, and finds little. See :func:`trainer.judging.out_of_fold.out_of_fold`.

    Args:
        photos: with their labels.
        probabilities: ``float32 (n, classes)``. Exactly 0 means that the class was not learned there: a photo is
            not judged where that is its label.
        classes: names, in index order.

    Returns:
        The most likely wrong first.
    """
    if not photos:
        return []
    index = {name: place for place, name in enumerate(classes)}
    given = np.array([index[photo.label] for photo in photos], np.intp)
    rows = np.arange(len(photos))
    own, likeliest = probabilities[rows, given], probabilities.argmax(axis=1)
    best = probabilities[rows, likeliest]
    wrong = (own > 0) & (best >= LEAST_ODDS * own)
    issues = [
        _issue(photos[place], classes[likeliest[place]], float(own[place]), float(best[place]))
        for place in np.flatnonzero(wrong).tolist()
    ]
    return ranked(issues)


def ranked(issues: Iterable[LabelIssue]) -> list[LabelIssue]:
    """The most likely wrong first."""
    return sorted(issues, key=lambda issue: (issue.given_probability / issue.suggested_probability, issue.photo.path))


def _issue(photo: AssignedPhoto, suggested: str, own: float, best: float) -> LabelIssue:
    return LabelIssue(photo, photo.label, suggested, own, best, score=best / (own + best))


def write_label_issues(path: Path, issues: Sequence[LabelIssue], data: Path) -> None:
    """Write ``label_issues.csv``: a row an issue, in order; paths start at the data, a folder or a CSV."""
    write_rows(path, _COLUMNS, (_row(issue, data) for issue in issues))


def _row(issue: LabelIssue, data: Path) -> tuple[object, ...]:
    figures = (issue.score, issue.given_probability, issue.suggested_probability)
    image = path_in(data, issue.photo.path)
    return (image, issue.photo.split, issue.given, issue.suggested, *(f"{f:.4f}" for f in figures))
