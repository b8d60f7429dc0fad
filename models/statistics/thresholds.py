"""Finds, for each class, the threshold that keeps a target precision, on held-out photos.

The promise: labels above a target's thresholds have at least the target precision, in at least 95% of data sets. Rows
above the out-of-distribution limit go to review. For the remaining rows, :mod:`models.statistics.fixed_sequence` proves
the precision from the highest confidence down. The threshold is the lowest proved confidence.

Classes may be leaves of a tree. If a row's class is below its threshold, the row's label is the nearest ancestor that
reaches its own threshold. Levels are proved in order, from the classes up. A level is tested on the rows without a
label from lower levels. These rows are sorted by the probability of the node above their likeliest class. A row is
right if its true class is also under this node. The classes get half of the error probability of 5%. The levels above
the classes share the rest equally. By Bonferroni's inequality, at least one level breaks its promise in at most 5% of
data sets. If every level keeps its promise, all labels together keep the promise.

The labels of one level decide which rows are tested on the next level. This selection does not raise the error
probability. Wrong rows raise a level's thresholds, so that more rows reach the next level. By Harris's inequality
(1960), a wrong row is at most as likely as another row to be right on the next level. So errors and refused classes can
only make the next test harder to pass. Rows are independent, so labelled rows do not affect the next test.

``benchmarks/promises.py`` and ``benchmarks/trees.py`` measure the coverage, and how often the promise is broken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from models.statistics.calibration import calibrated, fit_temperature
from models.statistics.confidence import Confidence, PrecisionTarget, Thresholds, UnknownLimit
from models.statistics.fixed_sequence import OWN_MISTRUST, budgets, effective_rows, fewest, proved_rows, refused
from models.statistics.out_of_distribution import expected_within
from models.taxonomy import REVIEW, Taxonomy
from models.whole_file import read_arrays

_DEFAULT: Final = 0.95
_OF_CLASSES: Final = 0.5
"""In a tree, the classes get this fraction of the error probability."""

Chosen = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.intp]


@dataclass(frozen=True)
class HeldOutLogits:
    """A network's logits of held-out photos.

    Attributes:
        logits: class logits, ``float32 (n, classes)``.
        labels: class indices ``(n,)``.
        known: whether the out-of-distribution score is within the limit, ``bool (n,)``.
        groups: group index of each row, below n, ``(n,)``. Photos of one product share a group, as do copies of one
            photo.
    """

    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.intp]
    known: Chosen
    groups: Counts

    @classmethod
    def read(cls, path: Path, advice: str = "train again") -> Self:
        """Read an array file of :func:`write_arrays`. Raises InputError with ``advice`` for a damaged file."""
        what = "the predictions of a fold's network"
        return cls(**read_arrays(path, what, "logits", "labels", "known", "groups", advice=advice))

    def fitted(self) -> "tuple[float, HeldOutRows]":
        """Fit the temperature, and compute the rows' probabilities at this temperature."""
        temperature = fit_temperature(self.logits, self.labels)
        return temperature, HeldOutRows(calibrated(self.logits, temperature), self.labels, self.known, self.groups)


@dataclass(frozen=True)
class HeldOutRows:
    """A network's calibrated predictions of held-out photos.

    Attributes:
        probabilities: calibrated, ``float32 (n, classes)``.
        labels, groups: as in :class:`HeldOutLogits`.
        known: whether the out-of-distribution score is within the limit, ``bool (n,)``. Coverage counts all rows, but
            the proof leaves out rows above the limit.
    """

    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.integer]
    known: Chosen
    groups: Counts


def fit_confidence(
    validation: HeldOutLogits,
    unknown: UnknownLimit | None,
    folds: Sequence[HeldOutLogits],
    *,
    cv: bool = False,
    tree: Taxonomy | None = None,
) -> Confidence:
    """Fit the temperature, and find the thresholds of every target.

    ``validation``: predictions of the network itself. ``folds``: predictions of other networks, each trained without
    the photos that it predicts, and with its own temperature. ``cv``: whether the other networks were fully trained. If
    so, all rows share one temperature, and count as predictions of the network itself. ``unknown``: the
    out-of-distribution limit, computed from the ``validation`` rows.
    """
    within = expected_within(len(validation.labels)) if unknown else None
    out_of_fold = sum(len(fold.labels) for fold in folds)
    rows = len(validation.labels) + out_of_fold
    if cv and folds:
        parts = (*folds, validation)
        logits, labels, known = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "labels", "known")
        )
        validation, folds = HeldOutLogits(logits, labels, known, joined_groups(parts)), ()
    temperature, own = validation.fitted()
    targets = precision_targets(own, [fold.fitted()[1] for fold in folds], within, tree)
    return Confidence(
        temperature=temperature,
        precision=default_precision(targets),
        targets=targets,
        unknown=unknown,
        rows=rows,
        out_of_fold=out_of_fold,
    )


def precision_targets(
    own: HeldOutRows,
    others: Sequence[HeldOutRows] = (),
    within: float | None = None,
    tree: Taxonomy | None = None,
) -> tuple[PrecisionTarget, ...]:
    """Find the thresholds of every target in TARGETS, in that order.

    ``own``: rows that the network itself predicted. Coverage is measured on ``own``. ``within``: the expected share of
    new product photos within the out-of-distribution limit. Pass ``within`` if the limit was computed from ``own``;
    otherwise the share is measured on ``own``. All classes share a threshold. A class is refused if its precision above
    the threshold is significantly below the target. Otherwise large and easy classes would hide a bad class. All rows
    of a refused class go to review. The promise holds for all classes together, not for each class. A target covers at
    least as many rows as a stricter target. The same rules apply to the nodes of each level of a ``tree``.

    ``others``: rows from other networks, trained in the same way on fewer photos or for a shorter time. The proof uses
    ``own`` and ``others`` together. It assumes that equal confidence means equal accuracy in all networks. ``own`` must
    also pass a separate test, with an error probability of 30%. In simulations, the promise of 0.98 was broken in 14%
    of data sets for overconfident networks, and in 2% for slightly overconfident networks.
    """
    pool, classes = _pooled(own, others), own.probabilities.shape[1]
    leaves, share = _of_classes(pool), _shares(tree)[0]
    sizes: list[int] = []
    proved: list[PrecisionTarget] = []
    for precision, mistrust in budgets(share):
        sizes.append(leaves.proved(precision, mistrust, begin_by_own=False))
        choices = (leaves.thresholds(rows, precision, classes, share) for rows in sorted(set(sizes), reverse=True))
        targets = (_target(own, precision, thresholds, leaves.effective_rows, within) for thresholds in choices)
        best = max(targets, key=lambda target: target.coverage)
        if tree is not None:
            best = _with_nodes(best, own, pool, tree, within)
            if proved and _reach(proved[-1]) > _reach(best):
                best = proved[-1].model_copy(update={"precision": precision})
        proved.append(best)
    return tuple(reversed(proved))


def joined_groups(parts: Sequence[HeldOutLogits | HeldOutRows]) -> Counts:
    """The group indices of all ``parts`` in one array. No two parts share an index."""
    first = np.cumsum([0, *(len(part.groups) for part in parts)])
    return np.concatenate([part.groups + start for part, start in zip(parts, first[:-1], strict=True)])


def _reach(target: PrecisionTarget) -> tuple[float, float]:
    return target.coverage, target.level_coverage[0]


@dataclass(frozen=True)
class _Pool:
    """The rows of all networks within the out-of-distribution limit."""

    rows: HeldOutRows
    own: Chosen | None


def _pooled(own: HeldOutRows, others: Sequence[HeldOutRows]) -> _Pool:
    parts = (own, *others)
    probabilities = np.concatenate([part.probabilities[part.known] for part in parts])
    labels = np.concatenate([part.labels[part.known] for part in parts])
    groups = joined_groups(parts)[np.concatenate([part.known for part in parts])]
    is_own = np.arange(len(labels)) < int(own.known.sum()) if others else None
    return _Pool(HeldOutRows(probabilities, labels, np.ones(len(labels), np.bool_), groups), is_own)


@dataclass(frozen=True)
class _Level:
    """The rows to test on one level, by descending confidence.

    Attributes:
        kinds: the index of each row's class or node at this level, ``(n,)``.
        right: whether this class or node is correct.
        confidence: the probability of this class or node.
        own: whether the network itself predicted the row. None if the network predicted all rows.
    """

    kinds: Counts
    right: Chosen
    confidence: npt.NDArray[np.float32]
    groups: Counts
    own: Chosen | None

    @property
    def effective_rows(self) -> int:
        return int(effective_rows(self.groups, np.ones(len(self.groups), np.bool_))[-1]) if len(self.groups) else 0

    def proved(self, precision: float, mistrust: float, *, begin_by_own: bool) -> int:
        return proved_rows(
            self.confidence, self.right, precision, mistrust, self.own, groups=self.groups, begin_by_own=begin_by_own
        )

    def thresholds(self, rows: int, precision: float, kinds: int, share: float) -> Thresholds:
        """The threshold of each class or node: the lowest proved confidence. None for a refused class or node."""
        limit = min(1.0, float(self.confidence[rows - 1])) if rows else None
        out = refused(self.kinds[:rows], self.right[:rows], self.groups[:rows], precision, kinds, share)
        return tuple(None if no else limit for no in out)


def _sorted_level(
    pool: _Pool, chosen: Counts, kinds: Counts, right: Chosen, confidence: npt.NDArray[np.float32]
) -> _Level:
    order = np.argsort(-confidence, kind="stable")
    own = None if pool.own is None else pool.own[chosen][order]
    return _Level(kinds[order], right[order], confidence[order], pool.rows.groups[chosen][order], own)


def _of_classes(pool: _Pool) -> _Level:
    rows, guesses = pool.rows, pool.rows.probabilities.argmax(axis=1)
    confidence = rows.probabilities.max(axis=1, initial=0.0)
    return _sorted_level(pool, np.arange(len(guesses)), guesses, guesses == rows.labels, confidence)


def _with_nodes(
    target: PrecisionTarget, own: HeldOutRows, pool: _Pool, tree: Taxonomy, within: float | None
) -> PrecisionTarget:
    rows, guesses = pool.rows, pool.rows.probabilities.argmax(axis=1)
    share, budget = _shares(tree)[1], dict(budgets(_shares(tree)[1]))[target.precision]
    nodes: dict[str, float | None] = {}
    for level in range(1, tree.top + 1):
        above = tree.above[guesses, level - 1]
        left = label_levels(rows.probabilities, rows.known, target.thresholds, nodes, tree) == REVIEW
        chosen = np.flatnonzero(left & (above >= 0))
        right = tree.is_right(guesses[chosen], rows.labels[chosen], level)
        sums = tree.probabilities(rows.probabilities[chosen])[np.arange(len(chosen)), above[chosen]]
        here = _sorted_level(pool, chosen, above[chosen], right, sums)
        proved = here.thresholds(
            here.proved(target.precision, budget, begin_by_own=True), target.precision, len(tree.nodes), share
        )
        nodes |= {name: proved[place] for place, name in enumerate(tree.nodes) if tree.level[name] == level}
    return _target(own, target.precision, target.thresholds, target.rows[0], within, nodes, tree)


def automatic(probabilities: npt.NDArray[np.float32], known: Chosen, thresholds: Thresholds) -> Chosen:
    """Whether each row is labelled without review, ``bool (n,)``.

    ``probabilities`` are calibrated, ``float32 (n, classes)``. ``known``: the out-of-distribution score is within its
    limit.
    """
    limits = np.array([np.inf if limit is None else limit for limit in thresholds])
    guesses = probabilities.argmax(axis=1)
    return np.asarray(known & (probabilities.max(axis=1, initial=0.0).astype(np.float64) >= limits[guesses]))


def label_levels(
    probabilities: npt.NDArray[np.float32],
    known: Chosen,
    thresholds: Thresholds,
    nodes: Mapping[str, float | None],
    tree: Taxonomy | None,
) -> Counts:
    """The level of each row's label, ``(n,)``: 0 for a class, 1 and more for a node, -1 if the row goes to review.

    ``probabilities``, ``known``: see :func:`automatic`. ``nodes``: the threshold of each node.
    """
    levels = np.where(automatic(probabilities, known, thresholds), 0, REVIEW)
    if tree is None or not nodes:
        return levels
    guesses, sums = probabilities.argmax(axis=1), tree.probabilities(probabilities)
    limits = np.array([np.inf if (limit := nodes.get(name)) is None else limit for name in tree.nodes], np.float32)
    for level in range(1, tree.top + 1):
        above = tree.above[guesses, level - 1]
        sure = sums[np.arange(len(guesses)), above] >= limits[above]
        levels[(levels == REVIEW) & known & (above >= 0) & sure] = level
    return levels


def default_precision(targets: Sequence[PrecisionTarget]) -> float | None:
    """The default target: 0.95, or the next lower target that labels any rows. None if no target labels any rows."""
    reached = [row.precision for row in targets if row.coverage > 0 and row.precision <= _DEFAULT]
    return max(reached, default=None)


def fewest_rows(precision: float, *, tree: bool = False) -> int:
    """The fewest rows that can prove a target, if all are right.

    A target of 0.98 needs 152 rows. With a ``tree`` of labels, it needs 185 rows.
    """
    return fewest(precision, dict(budgets(_OF_CLASSES if tree else 1.0))[precision])


def fewest_own_rows(precision: float) -> int:
    """The fewest rows of the network itself that confirm the folds' proof of a target, if all are right."""
    return fewest(precision, OWN_MISTRUST)


def _shares(tree: Taxonomy | None) -> tuple[float, float]:
    return (_OF_CLASSES, (1 - _OF_CLASSES) / tree.top) if tree else (1.0, 0.0)


def _target(
    own: HeldOutRows,
    precision: float,
    thresholds: Thresholds,
    proved_on: int,
    within: float | None,
    nodes: Mapping[str, float | None] = MappingProxyType({}),
    tree: Taxonomy | None = None,
) -> PrecisionTarget:
    classes, known = len(thresholds), float(own.known.mean()) if own.known.any() else 1.0
    times = 1.0 if within is None else within / known
    guesses = own.probabilities.argmax(axis=1)
    levels = label_levels(own.probabilities, own.known, thresholds, nodes, tree)
    counts, covered = (np.bincount(labels, minlength=classes) for labels in (guesses, guesses[levels != REVIEW]))

    def expected(rows: int, among: int) -> float:
        return min(1.0, rows / among * times) if among else 0.0

    return PrecisionTarget(
        precision=precision,
        thresholds=thresholds,
        coverage=expected(int(covered.sum()), len(levels)),
        class_coverage=tuple(
            expected(c, n) if n else None for c, n in zip(covered.tolist(), counts.tolist(), strict=True)
        ),
        rows=(proved_on,) * classes,
        nodes=dict(nodes),
        level_coverage=tuple(expected(int((levels == level).sum()), len(levels)) for level in range(tree.top + 1))
        if tree
        else (),
    )
