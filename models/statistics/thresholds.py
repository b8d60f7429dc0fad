"""From "I want 98% precision" to a threshold for each class, proved on photos that the network has not learned from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt

from models.statistics.calibration import calibrated, fit_temperature
from models.statistics.confidence import TARGETS, Confidence, PrecisionTarget, Thresholds, UnknownLimit
from models.statistics.intervals import MISTRUST, lower_bound, upper_bound

__all__ = [
    "HeldOutLogits",
    "HeldOutRows",
    "automatic",
    "default_precision",
    "fewest_rows",
    "fit_confidence",
    "precision_targets",
    "proved_threshold",
    "ruling_thresholds",
]

_DEFAULT: Final = 0.95
_ENOUGH: Final = 10
"""A class gets a threshold of its own if it has this many times the rows that prove a precision when all are right.

With fewer it pays dearly for it, since few rows prove little. 3,400 simulated rows of 10 classes, accuracy 0.88, half a
percent of wrong labels: coverage at 0.95 and at 0.98, and share of classes whose own precision is below 0.95 (the
classes together reach it nearly always): 4 times: 58%, 33%, 2%; 10 times: 72%, 53%, 12%; 20 times: 75%, 53%, 28%.
"""
_STEPS: Final = 20
"""The sets that are tried differ by a twentieth of the rows."""
_LATE_START: Final = 0.3
_LATE_MARGIN: Final = 2

Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOutLogits:
    """What a network says of photos that it has not learned from.

    Attributes:
        logits: class logits, ``float32 (n, classes)``.
        labels: class indices ``(n,)``.
        known: whether the unknown score is within its limit, ``bool (n,)``.
    """

    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.intp]
    known: Chosen

    def write(self, file: BinaryIO) -> None:
        """Write the arrays as ``.npz``."""
        np.savez(file, logits=self.logits, labels=self.labels, known=self.known)

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            OSError, EOFError, ValueError, KeyError, BadZipFile: the file is damaged.
        """
        with np.load(file, allow_pickle=False) as arrays:
            return cls(arrays["logits"], arrays["labels"], arrays["known"])

    def fitted(self) -> "tuple[float, HeldOutRows]":
        """The temperature that fits these rows, and the rows with probabilities at it."""
        temperature = fit_temperature(self.logits, self.labels)
        return temperature, HeldOutRows(calibrated(self.logits, temperature), self.labels, self.known)


@dataclass(frozen=True)
class HeldOutRows:
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


def fit_confidence(
    validation: HeldOutLogits, unknown: UnknownLimit | None, folds: Sequence[HeldOutLogits]
) -> Confidence:
    """Fit the temperature, and find the thresholds of every target.

    It rests on what the network itself said of ``validation``, and on what networks said of ``folds`` that were trained
    without these photos; each of them has a temperature of its own.
    """
    temperature, own = validation.fitted()
    targets = precision_targets(own, [fold.fitted()[1] for fold in folds])
    out_of_fold = sum(len(fold.labels) for fold in folds)
    return Confidence(
        temperature=temperature,
        precision=default_precision(targets),
        targets=targets,
        unknown=unknown,
        rows=len(validation.labels) + out_of_fold,
        out_of_fold=out_of_fold,
    )


def precision_targets(own: HeldOutRows, others: Sequence[HeldOutRows] = ()) -> tuple[PrecisionTarget, ...]:
    """Find the thresholds of every target in TARGETS, in that order; coverages are of the network's own rows.

    A class that enough rows are taken for has a threshold of its own; if they cannot prove the target, it has none, and
    all of its rows go to review: the pool's threshold would hide what is known of it. The others share one, the pool's,
    which is found on their rows only: the rows of large and easy classes would prove a precision that the small ones do
    not have. While the pool has not rows enough, the smallest class that stands by itself joins it. Who is in the pool
    depends on how many rows each class has, never on how many are right, so that a bound stays a bound. Of a class in
    the pool nothing is promised by itself, only of the pool as a whole.

    Where other networks have judged rows as well (trained like it, on fewer photos or for a shorter time), each target
    is proved twice, with half of the error each: on the network's own rows, and on all rows together. Of the two proofs
    the one that covers more of the network's own rows counts, if those rows do not speak against it. The second rests
    on the calibration of the other networks: that a row of which they are sure by so much is right as often as one of
    which the network itself is.
    """
    if not others:
        return tuple(_proved_target(own, own, precision, MISTRUST) for precision in TARGETS)
    pooled = _joined([own, *others])
    return tuple(_better_of_two(own, pooled, precision) for precision in TARGETS)


def automatic(probabilities: npt.NDArray[np.float32], known: Chosen, thresholds: Thresholds) -> Chosen:
    """Which rows are labelled without review, ``bool (n,)``.

    ``probabilities`` are calibrated, ``float32 (n, classes)``; ``known``: the out-of-distribution score is within its
    limit.
    """
    limits = np.array([np.inf if limit is None else limit for limit in thresholds])
    guesses = probabilities.argmax(axis=1)
    return np.asarray(known & (probabilities.max(axis=1, initial=0.0).astype(np.float64) >= limits[guesses]))


def default_precision(targets: Sequence[PrecisionTarget]) -> float | None:
    """The default target: 0.95, or the highest below it that any row reaches, if any."""
    reached = [row.precision for row in targets if row.coverage > 0 and row.precision <= _DEFAULT]
    return max(reached, default=None)


def ruling_thresholds(confidence: Confidence, classes: int) -> Thresholds:
    """The thresholds of the model's own target; without a promise each is ``None``: every photo goes to review."""
    own = {row.precision: row.thresholds for row in confidence.targets}
    return (None,) * classes if confidence.precision is None else own[confidence.precision]


def fewest_rows(precision: float, mistrust: float = MISTRUST) -> int:
    """How many rows prove a precision if all of them are right: 149 for 0.98, for example."""
    return math.ceil(math.log(mistrust) / math.log(precision))


def proved_threshold(
    confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], precision: float, mistrust: float = MISTRUST
) -> float | None:
    """The lowest confidence down to which the precision is proved.

    Looking for the largest set whose one-sided 95% bound holds is looking many times, and one look in twenty may be
    wrong: where the truth lies just below the target at every confidence, that search broke its promise in up to 28 of
    100 data sets (14 when it looked at every twentieth of the rows only). Testing in a fixed order and stopping at the
    first failure breaks it in 5 at most, however many sets it looks at (Angelopoulos et al., "Learn then Test", 2021,
    https://arxiv.org/abs/2110.01052). From the surest rows on, though, the first sets are small, and one mislabelled
    photo among the surest ends it: with 1% of wrong labels it kept a coverage of 5% where 29% could be had. So there
    are two walks where the rows allow it, each with half of the error: one from the fewest rows that prove anything,
    one from the surest three tenths. Promises broken in 100 data sets, and coverage, for a precision of 0.98, 10
    classes and an accuracy of 0.86 (400 simulated data sets each):

    ======  =============  =================  ===============  ===================  ==============
    rows    labels wrong   largest, any cut   largest, grid    one walk             two walks
    ======  =============  =================  ===============  ===================  ==============
    340     0%             1, 19%             1, 18%           1, 18%               1, 18%
    340     1%             3, 4%              2, 4%            2, 4%                2, 4%
    3,400   0%             4, 54%             2, 51%           1, 51%               1, 51%
    3,400   1%             3, 34%             2, 29%           0, 5%                0, 18%
    3,400   2%             17, 3%             12, 2%           5, 0%                4, 0%
    3,400   just too bad   15, 5%             10, 3%           4, 0%                3, 1%
    ======  =============  =================  ===============  ===================  ==============

    Args:
        confidence: of each row, ``(n,)``.
        right: whether the row's likeliest class is the true one, ``(n,)``.
        precision: what is to be proved of the rows at or above the threshold.
        mistrust: how often the promise may be broken.

    Returns:
        The threshold, a confidence of one of the rows; None if nothing is proved. Rows of one confidence are above
        it or below it together.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    hits = np.cumsum(right[order].astype(np.intp))
    starts = _starts(len(falling), precision, mistrust)
    proved = [_walk(falling, hits, start, precision, mistrust / len(starts)) for start in starts]
    rows = max(proved, default=0)
    return float(falling[rows - 1]) if rows else None


def _starts(rows: int, precision: float, mistrust: float) -> list[int]:
    """How many rows the first set of each walk has. It depends on nothing else than how many there are."""
    late = int(rows * _LATE_START)
    if late >= _LATE_MARGIN * fewest_rows(precision, mistrust):
        return [fewest_rows(precision, mistrust / 2), late]
    return [fewest_rows(precision, mistrust)]


def _walk(
    falling: npt.NDArray[np.floating], hits: npt.NDArray[np.intp], start: int, precision: float, mistrust: float
) -> int:
    """The size of the last set before the first one that fails to prove the precision; 0 if the first one fails."""
    proved = 0
    step = max(1, len(falling) // _STEPS)
    for size in (*range(start, len(falling), step), *([len(falling)] if start <= len(falling) else ())):
        rows = int(np.searchsorted(-falling, -falling[size - 1], side="right"))
        if lower_bound(int(hits[rows - 1]), rows, mistrust) < precision:
            break
        proved = rows
    return proved


def _joined(parts: Sequence[HeldOutRows]) -> HeldOutRows:
    return HeldOutRows(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.known for part in parts]),
    )


def _better_of_two(own: HeldOutRows, pooled: HeldOutRows, precision: float) -> PrecisionTarget:
    alone, together = (_proved_target(own, rows, precision, MISTRUST / 2) for rows in (own, pooled))
    return together if together.coverage > alone.coverage and not _is_refuted(own, together) else alone


def _is_refuted(own: HeldOutRows, target: PrecisionTarget) -> bool:
    """Whether the network's own rows show that the thresholds do not keep the precision."""
    chosen = automatic(own.probabilities, own.known, target.thresholds)
    right = own.probabilities.argmax(axis=1) == own.labels
    return upper_bound(int(right[chosen].sum()), int(chosen.sum())) < target.precision


def _proved_target(own: HeldOutRows, rows: HeldOutRows, precision: float, mistrust: float) -> PrecisionTarget:
    """The thresholds that ``rows`` prove, and what share of the network's own rows they cover."""
    thresholds, proved_on = _proof(rows, precision, mistrust)
    guesses = own.probabilities.argmax(axis=1)
    classes = own.probabilities.shape[1]
    chosen = automatic(own.probabilities, own.known, thresholds)
    counts = np.bincount(guesses, minlength=classes)
    covered = np.bincount(guesses[chosen], minlength=classes)
    return PrecisionTarget(
        precision=precision,
        thresholds=thresholds,
        coverage=float(chosen.mean()) if len(chosen) else 0.0,
        class_coverage=tuple(float(c / n) if n else None for c, n in zip(covered, counts, strict=True)),
        rows=proved_on,
    )


def _proof(rows: HeldOutRows, precision: float, mistrust: float) -> tuple[Thresholds, tuple[int, ...]]:
    """Each class's threshold, and how many rows it was found on."""
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
    return tuple(limit for limit, _ in chosen), tuple(count for _, count in chosen)


def _groups(counts: npt.NDArray[np.intp], enough: int) -> npt.NDArray[np.intp]:
    """The group ``(classes,)`` that each class finds its threshold in: its own index, or -1 for the pool."""
    group_of = np.where(counts >= enough, np.arange(len(counts)), -1)
    for smallest in np.argsort(counts, kind="stable"):
        if (group_of >= 0).all() or counts[group_of < 0].sum() >= enough:
            break
        group_of[smallest] = -1
    return group_of
