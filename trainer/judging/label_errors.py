"""Label errors: photos whose label is likely wrong, by what is predicted for them without it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import keras
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from trainer.data.csv_files import path_in, write_rows
from trainer.judging.folds import assign_folds
from trainer.learning.predictions import features_of
from trainer.learning.training import Training, labels_of
from trainer.splits.assigned import AssignedPhoto

__all__ = [
    "FOLDS",
    "LEAST_ODDS",
    "LabelIssue",
    "find_label_issues",
    "label_issues_of",
    "out_of_fold",
    "write_label_issues",
]

LEAST_ODDS: Final = 9.0
"""How many times as likely as the label another class must be."""
FOLDS: Final = 5
_COLUMNS: Final = ("image", "split", "label", "suggested", "score", "label_probability", "suggested_probability")
_TOGETHER: Final = 20_000
"""The most photos that are compared with each other: their features are held in memory."""
_AGREED: Final = 0.5
"""If predictions agree with a smaller share of the labels, they say nothing of the others."""
_SHRINKAGE: Final = 0.3
"""Shrinkage of the covariance towards independent features: the best of 0.1, 0.3 and 0.6 on clothing photos."""
_TEMPERATURES: Final = (1.0, 100.0)
_TEMPERATURE_PHOTOS: Final = 5_000
_ROWS: Final = 4_096
_LEAST: Final = np.finfo(np.float32).tiny

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class LabelIssue:
    """A photo, a class that is more likely than its label, and the probabilities of both."""

    photo: AssignedPhoto
    suggested: str
    given_probability: float
    suggested_probability: float

    @property
    def score(self) -> float:
        """The suggestion's share of the two probabilities: from 0.9, for the least odds, to 1."""
        return self.suggested_probability / (self.given_probability + self.suggested_probability)


def label_issues_of(network: keras.Model, training: Training) -> list[LabelIssue]:
    """Ask a small classifier on the network's features, fitted without the photo in question; likeliest errors first.

    The features have seen the labels, but a network that is augmented and stopped in time remembers few of the wrong
    ones: its own features told more of them than those it had before it was fine-tuned (docs/measurements.md).
    """
    photos, classes, seed = [*training.photos, *training.held], training.args.classes, training.args.seed
    order = np.random.default_rng(seed).permutation(len(photos))
    issues: list[LabelIssue] = []
    for start in range(0, len(photos), _TOGETHER):
        part = [photos[i] for i in np.sort(order[start : start + _TOGETHER])]
        features = features_of(network, [photo.sha256 for photo in part], training.store)
        labels = labels_of(part, classes)
        guesses = out_of_fold(features, labels, [photo.group for photo in part], len(classes), seed)
        if (guesses.argmax(axis=1) == labels).mean() >= _AGREED:
            issues += find_label_issues(part, guesses, classes)
    return _ranked(issues)


def find_label_issues(
    photos: Sequence[AssignedPhoto], probabilities: npt.NDArray[np.float32], classes: Sequence[str]
) -> list[LabelIssue]:
    """Compare labels with predictions that were made without them; the most likely wrong come first.

    A label is doubted where another class is ``LEAST_ODDS`` times as likely, and issues are ranked by these odds. The
    thresholds of confident learning (Northcutt, Jiang & Chuang 2021: the mean probability that a class's own photos
    have of it) were tried instead: of labels shuffled among 3% of clothing photos they found 66% at a precision of
    0.20, the odds 80% at 0.35.

    The probabilities must be out of fold (see :func:`out_of_fold`): a model that has seen a wrong label repeats it, and
    finds little. Exactly 0 means that the class was not learned there: a photo is not judged where that is its label.
    """
    rows, likeliest = np.arange(len(photos)), probabilities.argmax(axis=1)
    own, best = probabilities[rows, labels_of(photos, classes)], probabilities[rows, likeliest]
    return _ranked(
        LabelIssue(photos[i], classes[likeliest[i]], float(own[i]), float(best[i]))
        for i in np.flatnonzero((own > 0) & (best >= LEAST_ODDS * own)).tolist()
    )


def _ranked(issues: Iterable[LabelIssue]) -> list[LabelIssue]:
    return sorted(issues, key=lambda issue: (issue.given_probability / issue.suggested_probability, issue.photo.path))


def write_label_issues(path: Path, issues: Sequence[LabelIssue], data: Path) -> None:
    """Write ``label_issues.csv``: a row an issue, in order; paths start at the data, a folder or a CSV."""
    rows = (
        (
            path_in(data, issue.photo.path),
            issue.photo.split,
            issue.photo.label,
            issue.suggested,
            *(f"{figure:.4f}" for figure in (issue.score, issue.given_probability, issue.suggested_probability)),
        )
        for issue in issues
    )
    write_rows(path, _COLUMNS, rows)


def out_of_fold(
    features: npt.NDArray[np.floating], labels: Indices, groups: Sequence[str], classes: int, seed: int
) -> Floats:
    """Predict each photo by linear discriminant analysis learned from the photos of other folds.

    The features are standardised after a signed square root (Perronnin et al. 2010); the covariance, which the classes
    share, is shrunk; one temperature (Guo et al. 2017) makes the probabilities those that the labels bear out. All of
    this is in closed form, so thousands of classes cost little more than two: n·D² + n·D·classes operations, and
    n·classes floats to hold.

    The network that made the features must not have learned from these labels, or the features remember them and the
    predictions are out of fold in name only. Features of a network with ImageNet weights that stay frozen are safe.
    Those of a network trained from scratch, or fine-tuned, on these very photos are not: they serve to doubt labels, as
    far as the network was kept from remembering them, and for no promise.

    ``features`` are ``(n, D)``, ``labels`` class indices ``(n,)``; photos of one group are in one fold; ``classes``
    counts those without photos too; ``seed`` is of the folds.

    Returns:
        ``float32 (n, classes)``. A class is exactly 0 where the other folds had no photo of it, as with one whose
        photos are all of one group, and above 0 wherever it was learned. Rows sum to 1, but for those predicted from no
        photo at all, which are 0 throughout.
    """
    logits = np.full((len(labels), classes), -np.inf, np.float32)
    if len(labels):
        _predict_folds(_standardised(features), labels, assign_folds(labels, groups, seed, FOLDS), logits)
    _temper(logits, labels, seed)
    return logits


def _standardised(features: npt.NDArray[np.floating]) -> Floats:
    """Signed square roots of features, with mean 0 and variance 1; no label is used, so all photos may count."""
    rooted = np.sign(features) * np.sqrt(np.abs(features.astype(np.float32)))
    spread = rooted.std(axis=0)
    standardised: Floats = (rooted - rooted.mean(axis=0)) / np.where(spread > 0, spread, 1.0).astype(np.float32)
    return standardised


def _predict_folds(features: Floats, labels: Indices, folds: Indices, logits: Floats) -> None:
    """Fill in each fold's rows of the logits ``(n, classes)``, by the photos of the other folds.

    Counts, sums and products are made once a fold: those of all other folds follow by subtraction.
    """
    classes, width = logits.shape[1], features.shape[1]
    counts, sums = np.zeros((FOLDS, classes)), np.zeros((FOLDS, classes, width))
    products = np.zeros((FOLDS, width, width))
    for fold in range(FOLDS):
        block, own = features[folds == fold].astype(np.float64), labels[folds == fold]
        counts[fold] = np.bincount(own, minlength=classes)
        np.add.at(sums[fold], own, block)
        products[fold] = block.T @ block
    for fold in range(FOLDS):
        others = counts.sum(axis=0) - counts[fold]
        places, learned = np.flatnonzero(folds == fold), np.flatnonzero(others)
        if len(places) and len(learned):
            means = (sums.sum(axis=0) - sums[fold])[learned] / others[learned, None]
            weights, biases = _discriminant(others[learned], means, products.sum(axis=0) - products[fold])
            logits[np.ix_(places, learned)] = features[places] @ weights + biases


def _discriminant(
    counts: npt.NDArray[np.float64], means: npt.NDArray[np.float64], products: npt.NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Weights ``(D, classes)`` and biases ``(classes,)`` (Hastie et al. 2009, section 4.3)."""
    width = means.shape[1]
    freedom = max(counts.sum() - len(counts), 1.0)
    within = (products - (means * counts[:, None]).T @ means) / freedom
    floor = _SHRINKAGE * max(np.trace(within) / width, 1e-6)
    weights = np.linalg.solve((1 - _SHRINKAGE) * within + floor * np.eye(width), means.T)
    biases = np.log(counts / counts.sum()) - 0.5 * (means.T * weights).sum(axis=0)
    return weights.astype(np.float32), biases.astype(np.float32)


def _temper(logits: Floats, labels: Indices, seed: int) -> None:
    """Make probabilities of logits, in their place, at the temperature under which the given labels are likeliest."""
    able = np.flatnonzero(np.isfinite(logits[np.arange(len(labels)), labels]))
    sample = np.random.default_rng(seed).permutation(able)[:_TEMPERATURE_PHOTOS]
    temperature = np.float32(_temperature(logits[sample], labels[sample]) if len(sample) else 1.0)
    for start in range(0, len(logits), _ROWS):
        rows = logits[start : start + _ROWS]
        learned = np.isfinite(rows)
        rows[~learned.any(axis=1)] = 0
        rows[:] = np.where(learned, np.maximum(softmax(rows / temperature, axis=1), _LEAST), 0)


def _temperature(logits: Floats, labels: Indices) -> float:
    def loss(log_temperature: float) -> float:
        likelihoods = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(likelihoods[np.arange(len(labels)), labels].mean(dtype=np.float64))

    found = minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))
