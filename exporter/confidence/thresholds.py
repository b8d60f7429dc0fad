"""From "I want 98% precision" to a threshold for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from exporter.confidence.intervals import MISTRUST, upper_bound
from exporter.confidence.proof import fewest_rows, proved_threshold
from models.confidence import TARGETS, Confidence, PrecisionTarget, Thresholds

__all__ = [
    "HeldRows",
    "automatic",
    "default_precision",
    "precision_targets",
    "ruling_thresholds",
]

_DEFAULT: Final = 0.95
_ENOUGH: Final = 10
"""A class stands by itself with so many times the rows that prove a precision when all of them are right.

With fewer it pays dearly for it, since few rows prove little. 3,400 simulated rows of 10 classes, accuracy 0.88, half a
percent of wrong labels: coverage at 0.95 and at 0.98, and share of classes whose own precision is below 0.95 (the
classes together reach it nearly always): 4 times: 58%, 33%, 2%; 10 times: 72%, 53%, 12%; 20 times: 75%, 53%, 28%.
"""

Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HeldRows:
    """Rows that a network has not learned from, as it judges them.

    Attributes:
        probabilities: calibrated, ``float32 (n, classes)``.
        labels: class indices ``(n,)``.
        known: whether the row's unknown score is within the limit, ``bool (n,)``. The others go to review whatever
            their confidence is: they count for coverage, and nowhere else.
    """

    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.integer]
    known: Chosen


def precision_targets(own: HeldRows, others: Sequence[HeldRows] = ()) -> tuple[PrecisionTarget, ...]:
    """Find the thresholds of every target.

    A class that enough rows are taken for has a threshold of its own; if they cannot prove the target, it has none, and
    all of its rows go to review: the pool's threshold would hide what is known of it. The others share one, the pool's,
    which is found on their rows only: the rows of large and easy classes would prove a precision that the small ones do
    not have. While the pool has not rows enough, the smallest class that stands by itself joins it. Who is in the pool
    depends on how many rows each class has, never on how many are right, so that a bound stays a bound. Of a class in
    the pool nothing is promised by itself, only of the pool as a whole.

    Where other networks have judged rows besides, each target is proved twice, with half of the error each: on the
    network's own rows, and on all rows together. Of the two proofs the one that covers more of the network's own rows
    counts, if those rows do not speak against it. The second rests on the calibration of the other networks: that a
    row of which they are sure by so much is right as often as one of which the network itself is.

    Args:
        own: what the network itself says.
        others: what networks that were trained like it, on fewer photos or for a shorter time, say of rows that they
            have not learned from.

    Returns:
        A target for each of TARGETS, in that order. Coverages are of the network's own rows.
    """
    if not others:
        return tuple(_covering(own, _proof(own, precision, MISTRUST)) for precision in TARGETS)
    pooled = _joined([own, *others])
    return tuple(_better_of_two(own, pooled, precision) for precision in TARGETS)


def automatic(probabilities: npt.NDArray[np.float32], known: Chosen, target: PrecisionTarget) -> Chosen:
    """Which rows are labelled by themselves, ``(n,)``; the others go to review.

    Args:
        probabilities: calibrated, ``float32 (n, classes)``.
        known: whether the row's unknown score is within the limit, ``(n,)``.
        target: whose thresholds count.
    """
    return _reaching(probabilities, known, target.thresholds)


def default_precision(targets: Sequence[PrecisionTarget]) -> float | None:
    """The target that rules where a person names none.

    Returns:
        0.95, or the highest target below it that any row reaches; none where there is no such target.
    """
    reached = [row.precision for row in targets if row.coverage > 0 and row.precision <= _DEFAULT]
    return max(reached, default=None)


def ruling_thresholds(confidence: Confidence, classes: int) -> Thresholds:
    """The thresholds that rule where a person names no precision.

    Args:
        confidence: what was learned of the model.
        classes: how many there are.

    Returns:
        Those of the model's own target. Without a promise each is ``None``, so every photo goes to review.
    """
    own = {row.precision: row.thresholds for row in confidence.targets}
    return (None,) * classes if confidence.precision is None else own[confidence.precision]


@dataclass(frozen=True)
class _Proof:
    """Thresholds that keep a precision, and how many rows each class's was found on."""

    precision: float
    thresholds: Thresholds
    rows: tuple[int, ...]


def _better_of_two(own: HeldRows, pooled: HeldRows, precision: float) -> PrecisionTarget:
    alone, together = (_covering(own, _proof(rows, precision, MISTRUST / 2)) for rows in (own, pooled))
    return together if together.coverage > alone.coverage and not _is_refuted(own, together) else alone


def _joined(parts: Sequence[HeldRows]) -> HeldRows:
    return HeldRows(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.known for part in parts]),
    )


def _is_refuted(own: HeldRows, target: PrecisionTarget) -> bool:
    """Whether the network's own rows show that the thresholds do not keep the precision."""
    chosen = _reaching(own.probabilities, own.known, target.thresholds)
    right = own.probabilities.argmax(axis=1) == own.labels
    return upper_bound(int(right[chosen].sum()), int(chosen.sum())) < target.precision


def _proof(rows: HeldRows, precision: float, mistrust: float) -> _Proof:
    guesses = rows.probabilities.argmax(axis=1)
    confidence = rows.probabilities.max(axis=1, initial=0.0)
    classes = rows.probabilities.shape[1]
    enough = _ENOUGH * fewest_rows(precision, mistrust)
    group_of = _groups(np.bincount(guesses[rows.known], minlength=classes), enough)
    found: dict[int, tuple[float | None, int]] = {}
    for group in np.unique(group_of):
        members = rows.known & (group_of[guesses] == group)
        right = guesses[members] == rows.labels[members]
        limit = proved_threshold(confidence[members], right, precision, mistrust)
        found[int(group)] = (None if limit is None else min(1.0, limit), int(members.sum()))
    chosen = [found[int(group)] for group in group_of]
    return _Proof(precision, tuple(limit for limit, _ in chosen), tuple(count for _, count in chosen))


def _covering(rows: HeldRows, proof: _Proof) -> PrecisionTarget:
    """What a proof means for rows."""
    guesses = rows.probabilities.argmax(axis=1)
    classes = rows.probabilities.shape[1]
    chosen = _reaching(rows.probabilities, rows.known, proof.thresholds)
    counts = np.bincount(guesses, minlength=classes)
    covered = np.bincount(guesses[chosen], minlength=classes)
    return PrecisionTarget(
        precision=proof.precision,
        thresholds=proof.thresholds,
        coverage=float(chosen.mean()) if len(chosen) else 0.0,
        class_coverage=tuple(float(c / n) if n else None for c, n in zip(covered, counts, strict=True)),
        rows=proof.rows,
    )


def _groups(counts: npt.NDArray[np.intp], enough: int) -> npt.NDArray[np.intp]:
    """The group ``(classes,)`` that each class finds its threshold in: its own index, or -1 for the pool."""
    group_of = np.where(counts >= enough, np.arange(len(counts)), -1)
    for smallest in np.argsort(counts, kind="stable"):
        if (group_of >= 0).all() or counts[group_of < 0].sum() >= enough:
            break
        group_of[smallest] = -1
    return group_of


def _reaching(probabilities: npt.NDArray[np.float32], known: Chosen, thresholds: Sequence[float | None]) -> Chosen:
    limits = np.array([np.inf if limit is None else limit for limit in thresholds])
    guesses = probabilities.argmax(axis=1)
    return np.asarray(known & (probabilities.max(axis=1, initial=0.0).astype(np.float64) >= limits[guesses]))
