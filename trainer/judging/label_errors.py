"""Finds likely label errors: photos whose label contradicts an out-of-fold prediction."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from models.statistics.calibration import calibrated, fit_temperature
from trainer.judging.evaluate import SplitPredictions
from trainer.judging.folds import assign_folds
from trainer.learning.training import Predictor, Training, labels_of
from trainer.splits.assigned import AssignedPhoto

LEAST_ODDS: Final = 9.0
"""A label may be wrong if another class is at least this many times as likely."""
FOLDS: Final = 5
_TOGETHER: Final = 20_000
"""Photos are compared in parts of at most this many, so that their features fit in memory."""
_AGREED: Final = 0.5
"""Predictions that agree with a smaller share of the labels are too poor to find label errors."""
_SHRINKAGE: Final = 0.3
"""Shrinkage of the covariance towards independent features. On clothing photos, 0.1 and 0.6 were worse."""
_STRENGTH: Final = 0.01
"""Inverse penalty of the logistic regression."""
_NEIGHBOURS: Final = 20
_TEMPERATURE_PHOTOS: Final = 5_000
_LEAST: Final = np.finfo(np.float32).tiny
_NEVER: Final = -1e6

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class LabelIssue:
    """A photo that may have a wrong label, and a suggested class."""

    photo: AssignedPhoto
    suggested: str
    given_probability: float
    suggested_probability: float

    @property
    def score(self) -> float:
        """The suggested class's share of the two probabilities: from 0.9 to 1."""
        return self.suggested_probability / (self.given_probability + self.suggested_probability)


@dataclass(frozen=True)
class LabelErrors:
    """Likely label errors, likeliest first, or the reason why there is no list."""

    issues: Sequence[LabelIssue]
    unlisted: str | None = None


def find_label_errors(predictor: Predictor, training: Training, unseen: SplitPredictions | None) -> LabelErrors:
    """Find label errors, likeliest first. Small classifiers predict photos that they were not trained on.

    The classifiers use the network's features. The network was trained on these labels, but memorised few wrong
    labels. ``unseen``: out-of-fold predictions, averaged with the predictions of the classifiers.
    """
    photos, classes, seed = [*training.photos, *training.held], training.args.classes, training.args.seed
    counts = np.bincount(labels_of(photos, classes), minlength=len(classes))
    if counts[counts > 0].max(initial=0) < FOLDS:
        return LabelErrors([], f"no class has the {FOLDS} photos that the label classifiers need")
    by_folds = dict(zip(unseen.photos, unseen.probabilities, strict=True)) if unseen else {}
    order = np.random.default_rng(seed).permutation(len(photos))
    issues: list[LabelIssue] = []
    unlisted: str | None = "the label classifiers agree with fewer than half of the labels"
    for places in np.array_split(order, math.ceil(len(photos) / _TOGETHER)):
        part = [photos[place] for place in np.sort(places)]
        labels = labels_of(part, classes)
        guesses = out_of_fold(
            predictor.features([photo.sha256 for photo in part]),
            labels,
            [photo.group for photo in part],
            len(classes),
            seed,
            np.stack([by_folds[photo] for photo in part]) if by_folds.keys() >= set(part) else None,
        )
        if (guesses.argmax(axis=1) == labels).mean() >= _AGREED:
            issues += find_label_issues(part, guesses, classes)
            unlisted = None
    return LabelErrors(_ranked(issues), unlisted)


def find_label_issues(
    photos: Sequence[AssignedPhoto], probabilities: Floats, classes: Sequence[str]
) -> list[LabelIssue]:
    """Compare labels with out-of-fold ``probabilities``. The likeliest errors come first.

    The thresholds of confident learning (Northcutt, Jiang & Chuang 2021) found fewer errors. Photos whose
    label has the probability 0 are skipped: the classifiers were not trained on this class.
    """
    likeliest, best = probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0)
    own = probabilities[np.arange(len(photos)), labels_of(photos, classes)]
    doubted = np.flatnonzero((own > 0) & (best >= LEAST_ODDS * own))
    return _ranked(
        LabelIssue(photos[i], classes[likeliest[i]], float(own[i]), float(best[i])) for i in doubted.tolist()
    )


def _ranked(issues: Iterable[LabelIssue]) -> list[LabelIssue]:
    return sorted(issues, key=lambda issue: (issue.given_probability / issue.suggested_probability, issue.photo.path))


def out_of_fold(
    features: npt.NDArray[np.floating],
    labels: Indices,
    groups: Sequence[str],
    classes: int,
    seed: int,
    unseen: Floats | None = None,
) -> Floats:
    """Predict each photo with the mean of three small classifiers that were trained on the other folds.

    The classifiers are linear discriminant analysis, logistic regression and nearest neighbours. The features are
    standardised after a signed square root (Perronnin et al. 2010). Each classifier has its own temperature (Guo et al.
    2017). If the network was trained on these photos, the predictions can find label errors, but cannot prove a
    precision.

    ``features``: ``(n, D)``. ``labels``: class indices ``(n,)``. Photos of one group are in the same fold. ``unseen``:
    out-of-fold probabilities ``(n, classes)`` of networks, to include in the mean.

    Returns:
        ``float32 (n, classes)``. The probability of a class is 0 only if the other folds had no photo of it.
    """
    folds, standard = assign_folds(labels, groups, seed, FOLDS), _standardised(features)
    voices = np.zeros((3, len(labels), classes), np.float32)
    learned = np.zeros((len(labels), classes), np.bool_)
    with threadpool_limits(1):  # one thread is faster: the matrices are small
        for fold in range(FOLDS):
            held = folds == fold
            present, own = np.unique(labels[~held], return_inverse=True)
            if held.any() and len(own):
                cells = np.ix_(held, present)
                learned[cells] = True
                for voice, fold_voice in zip(voices, _voices(standard[~held], own, standard[held]), strict=True):
                    voice[cells] = fold_voice
    sample = np.random.default_rng(seed).permutation(np.flatnonzero(learned[np.arange(len(labels)), labels]))
    sample = sample[:_TEMPERATURE_PHOTOS]
    opinions = [] if unseen is None else [unseen]
    for voice in voices:
        logits = np.where(learned, np.log(np.maximum(voice, _LEAST)), _NEVER)
        opinions.append(calibrated(logits, fit_temperature(logits[sample], labels[sample])))
    mean = np.where(learned, np.maximum(np.mean(opinions, axis=0), _LEAST), 0)
    return np.asarray(mean / np.maximum(mean.sum(axis=1, keepdims=True), _LEAST), np.float32)


def _standardised(features: npt.NDArray[np.floating]) -> Floats:
    rooted = np.sign(features) * np.sqrt(np.abs(features.astype(np.float32)))
    spread = rooted.std(axis=0)
    standardised: Floats = (rooted - rooted.mean(axis=0)) / np.where(spread > 0, spread, 1.0).astype(np.float32)
    return standardised


def _voices(features: Floats, labels: Indices, unseen: Floats) -> Sequence[npt.NDArray[np.floating]]:
    counts = np.bincount(labels)
    if len(counts) == 1:
        return [np.ones((len(unseen), 1))] * 3
    near = min(_NEIGHBOURS, len(labels))
    neighbours = KNeighborsClassifier(near).fit(normalize(features), labels).predict_proba(normalize(unseen))
    # with more classes, gradients are smaller and need a smaller tolerance
    regression = LogisticRegression(C=_STRENGTH, max_iter=1_000, tol=0.1 / len(counts)).fit(features, labels)
    return [
        _discriminant(features, labels, counts, unseen),
        regression.predict_proba(unseen),
        (near * neighbours + counts / len(labels)) / (near + 1),
    ]


def _discriminant(features: Floats, labels: Indices, counts: Indices, unseen: Floats) -> Floats:
    """Closed form (Hastie et al. 2009, section 4.3). scikit-learn's version takes a minute for 20,000 photos."""
    width, means = features.shape[1], np.zeros((len(counts), features.shape[1]), np.float32)
    np.add.at(means, labels, features)
    means /= counts[:, None]
    within = features - means[labels]
    covariance = within.T @ within / len(features)
    floor = _SHRINKAGE * max(np.trace(covariance) / width, 1e-6)
    weights = np.linalg.solve((1 - _SHRINKAGE) * covariance + floor * np.eye(width), means.T)
    biases = np.log(counts / counts.sum()) - 0.5 * (means.T * weights).sum(axis=0)
    return np.asarray(softmax(unseen @ weights + biases, axis=1), np.float32)
