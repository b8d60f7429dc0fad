"""From "I want 98% precision" to a threshold for each class, proved on photos that the network has not learned from.

What is proved: of the rows that a target's thresholds let through, the target's share is right, and in at most 5% of
data sets that is not so (MISTRUST). The rows that count are those within the limit of the unknown score, the surest
first. The sets of the surest rows are tested in a fixed order, from a small one to all, each with an exact binomial
test, and the walk stops at the first that fails. The largest set that passed is proved, however many sets there are
(Angelopoulos et al., "Learn then Test", 2021, https://arxiv.org/abs/2110.01052, fixed sequence testing). To look for
the largest set whose bound holds is to look many times: that broke the promise in up to 28 of 100 data sets.

Where a walk begins is chosen by confidences alone: at the size at which the test would pass most likely, were each row
right as often as its confidence says. No label has a part in it, so that the order of the sets is still fixed when the
labels are looked at, and the choice costs nothing. (The confidences rest on one fitted number, the temperature, as the
order of the rows always has.) A confidence that is wrong costs coverage, never the promise.

A target may take the set of a stricter one. Its own walk then errs, or a stricter walk passed a set in which less than
the target is right. Of such a set with n rows that passes is less likely the larger n is, and n is at least the fewest
rows that prove the stricter target, of which all must be right: at most ``target ** fewest_rows(stricter)``. By
Bonferroni's inequality a walk gets what these, and the refusals of classes, leave of the 5% (``_budgets``).

Classes may be leaves of a tree. A row whose class is not sure enough gets the lowest node above it that is, and each
level keeps the promise by itself: so the whole does. Levels are walked in turn, from the classes up. The rows of a
level are those within the unknown limit that no lower level labels; they are ordered by the probability of the node
above their likeliest class, right if that node is above their true class, and tested as above. Half of the 5% goes to
the classes, the other half to the levels above, in equal parts; by Bonferroni's inequality one level or more breaks the
promise in at most 5% of data sets.

That the labels of the level below chose where a level begins costs nothing. With confidences given, a walk below ends
where it does because the rows that it labels were right often enough, which tells nothing of the others, and the next
ones were not. Rows that are wrong below are not righter above: what is known of them makes a pass less likely, never
more (Harris's inequality, 1960: an event that more right rows favour and one that fewer favour are not positively
correlated). Rows of a refused class are the exception: they were among those that passed, and go up. That they were
refused says more against them.

``benchmarks/promises.py`` shows how often promises are broken, and what they cover; ``benchmarks/trees.py`` the same of
trees.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from models.statistics.calibration import calibrated, fit_temperature
from models.statistics.confidence import TARGETS, Confidence, PrecisionTarget, Thresholds, UnknownLimit
from models.statistics.intervals import MISTRUST
from models.statistics.out_of_distribution import expected_within
from models.taxonomy import REVIEW, Taxonomy

__all__ = [
    "HeldOutLogits",
    "HeldOutRows",
    "automatic",
    "default_precision",
    "fewest_own_rows",
    "fewest_rows",
    "fit_confidence",
    "label_levels",
    "precision_targets",
    "proved_rows",
    "ruling_thresholds",
]

_DEFAULT: Final = 0.95
_STEPS: Final = 20
"""The sets that are tested differ by a twentieth of the rows."""
_WRONG_LABELS: Final = 0.25
"""What share of the errors that a target allows are taken for wrong labels, of which no confidence tells, where a walk
begins: so that one of them does not end it."""
_REFUSALS: Final = 0.001
"""How likely a class may be refused that is as right as the target, over all classes, sets and walks together."""
_OWN_MISTRUST: Final = 0.3
"""How likely the network's own rows may be wrong about a set that is proved on the rows of other networks, too."""

_OF_CLASSES: Final = 0.5
"""Of a tree, what share of the mistrust is that of its classes; the rest is that of all levels above them."""

Chosen = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.intp]


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
    validation: HeldOutLogits,
    unknown: UnknownLimit | None,
    folds: Sequence[HeldOutLogits],
    *,
    cv: bool = False,
    tree: Taxonomy | None = None,
) -> Confidence:
    """Fit the temperature, and find the thresholds of every target.

    It rests on what the network itself said of ``validation``, and on what networks said of ``folds`` that were trained
    without these photos; each of them has a temperature of its own. With ``cv`` the folds are full trainings: all rows
    together stand for the network's own, with one temperature. Coverages reckon with what the network's own limit,
    ``unknown``, is expected to send away of new photos: it was set on the ``validation`` rows, each fold's on its own.
    """
    within = expected_within(len(validation.labels)) if unknown else None
    out_of_fold = sum(len(fold.labels) for fold in folds)
    rows = len(validation.labels) + out_of_fold
    if cv and folds:
        parts = (*folds, validation)
        logits, labels, known = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "labels", "known")
        )
        validation, folds = HeldOutLogits(logits, labels, known), ()
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
    """Find the thresholds of every target in TARGETS, in that order; coverages are of the network's own rows.

    ``within`` is the share of new known rows that is expected within the limit of the unknown score. Of rows that the
    limit was set on, more are: to count them would promise too much coverage. None takes the share of the own rows.

    All classes share a threshold, but for those that are refused: a class of which the rows above it show that it is
    not as right as the target goes to review, so that the rows of large and easy classes do not vouch for it. Of a
    class by itself nothing is promised. A target covers no less than a stricter one. The nodes of each level of a
    ``tree`` do the same.

    Where other networks have judged rows as well (trained like it, on fewer photos or for a shorter time), the proof
    rests on all rows together, and so on the calibration of the other networks: that a row of which they are sure by so
    much is right as often as one of which the network itself is. The network's own rows must bear it out, each set's by
    themselves, with a mistrust of 30%. Where a network was far surer of wrong rows than its folds, 0.98 was broken in
    14% of simulated data sets then, and in 25% with a mistrust of 50%; where it was surer, in 2% and in 5%.
    """
    pool, classes = _pooled(own, others), own.probabilities.shape[1]
    leaves, share = _of_classes(pool), _shares(tree)[0]
    sizes: list[int] = []
    found: list[PrecisionTarget] = []
    for precision, mistrust in _budgets(share):
        sizes.append(leaves.proved(precision, mistrust, begin_by_own=False))
        choices = []
        for rows in sorted(set(sizes), reverse=True):
            thresholds = leaves.thresholds(rows, precision, classes, share)
            choices.append(_target(own, precision, thresholds, len(leaves.right), within))
        best = max(choices, key=lambda target: target.coverage)
        if tree is not None:
            best = _with_nodes(best, own, pool, tree, within)
            if found and _reach(found[-1]) > _reach(best):
                best = found[-1].model_copy(update={"precision": precision})
        found.append(best)
    return tuple(reversed(found))


def _reach(target: PrecisionTarget) -> tuple[float, float]:
    """What the better of two targets has more of: labels at any level, then labels of classes."""
    return target.coverage, target.level_coverage[0]


@dataclass(frozen=True)
class _Pool:
    """The rows of all networks within their unknown limits; ``own``: which are the network's, None if all are."""

    rows: HeldOutRows
    own: Chosen | None


def _pooled(own: HeldOutRows, others: Sequence[HeldOutRows]) -> _Pool:
    parts = (own, *others)
    probabilities = np.concatenate([part.probabilities[part.known] for part in parts])
    labels = np.concatenate([part.labels[part.known] for part in parts])
    is_own = np.arange(len(labels)) < int(own.known.sum()) if others else None
    return _Pool(HeldOutRows(probabilities, labels, np.ones(len(labels), np.bool_)), is_own)


@dataclass(frozen=True)
class _Level:
    """The rows that may be labelled at one level, the surest first.

    Attributes:
        kinds: the index of the class or node that each would be labelled with, ``(n,)``.
        right: whether that is true of it.
        confidence: its probability.
        own: whether it is the network's own row; None if all are.
    """

    kinds: Counts
    right: Chosen
    confidence: npt.NDArray[np.float32]
    own: Chosen | None

    def proved(self, precision: float, mistrust: float, *, begin_by_own: bool) -> int:
        """How many of them prove a precision; see :func:`proved_rows`."""
        return proved_rows(self.confidence, self.right, precision, mistrust, self.own, begin_by_own=begin_by_own)

    def thresholds(self, rows: int, precision: float, kinds: int, share: float) -> Thresholds:
        """Of each class or node: the last confidence of the rows that prove the precision, unless it is refused."""
        limit = min(1.0, float(self.confidence[rows - 1])) if rows else None
        refused = _refused(self.kinds[:rows], self.right[:rows], precision, kinds, share)
        return tuple(None if no else limit for no in refused)


def _sorted_level(
    pool: _Pool, chosen: Counts, kinds: Counts, right: Chosen, confidence: npt.NDArray[np.float32]
) -> _Level:
    """``chosen`` rows of the pool, with what they would be labelled with; sorted by confidence."""
    order = np.argsort(-confidence, kind="stable")
    own = None if pool.own is None else pool.own[chosen][order]
    return _Level(kinds[order], right[order], confidence[order], own)


def _of_classes(pool: _Pool) -> _Level:
    rows, guesses = pool.rows, pool.rows.probabilities.argmax(axis=1)
    confidence = rows.probabilities.max(axis=1, initial=0.0)
    return _sorted_level(pool, np.arange(len(guesses)), guesses, guesses == rows.labels, confidence)


def _with_nodes(
    target: PrecisionTarget, own: HeldOutRows, pool: _Pool, tree: Taxonomy, within: float | None
) -> PrecisionTarget:
    """The target with thresholds of the nodes above the classes as well, found level by level."""
    rows, guesses = pool.rows, pool.rows.probabilities.argmax(axis=1)
    share, budget = _shares(tree)[1], dict(_budgets(_shares(tree)[1]))[target.precision]
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
    """Which rows are labelled without review, ``bool (n,)``.

    ``probabilities`` are calibrated, ``float32 (n, classes)``; ``known``: the out-of-distribution score is within its
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
    """The level at which each row is labelled without review, ``(n,)``: 0 its likeliest class, 1 and up a node above.

    -1: it goes to review. ``probabilities`` and ``known`` are as in :func:`automatic`; a level whose ``nodes`` are not
    named labels nothing.
    """
    found = np.where(automatic(probabilities, known, thresholds), 0, REVIEW)
    if tree is None or not nodes:
        return found
    guesses, sums = probabilities.argmax(axis=1), tree.probabilities(probabilities)
    limits = np.array([np.inf if (limit := nodes.get(name)) is None else limit for name in tree.nodes], np.float32)
    for level in range(1, tree.top + 1):
        above = tree.above[guesses, level - 1]
        sure = sums[np.arange(len(guesses)), above] >= limits[above]
        found[(found == REVIEW) & known & (above >= 0) & sure] = level
    return found


def default_precision(targets: Sequence[PrecisionTarget]) -> float | None:
    """The default target: 0.95, or the highest below it that any row reaches, if any."""
    reached = [row.precision for row in targets if row.coverage > 0 and row.precision <= _DEFAULT]
    return max(reached, default=None)


def ruling_thresholds(confidence: Confidence, classes: int) -> Thresholds:
    """The thresholds of the model's own target; without a promise each is ``None``: every photo goes to review."""
    own = {row.precision: row.thresholds for row in confidence.targets}
    return (None,) * classes if confidence.precision is None else own[confidence.precision]


def fewest_rows(precision: float, *, tree: bool = False) -> int:
    """How many rows prove a target if all of them are right: 152 for 0.98, or 185 of classes that have a ``tree``."""
    return _fewest(precision, dict(_budgets(_OF_CLASSES if tree else 1.0))[precision])


def fewest_own_rows(precision: float) -> int:
    """How many rows of the network itself bear out what is proved with rows of others, if all of them are right."""
    return _fewest(precision, _OWN_MISTRUST)


def proved_rows(
    falling: npt.NDArray[np.floating],
    right: Chosen,
    precision: float,
    mistrust: float = MISTRUST,
    own: Chosen | None = None,
    *,
    begin_by_own: bool = False,
) -> int:
    """How many of the surest rows prove a precision: 0 if none do.

    Args:
        falling: the confidence of each row, the surest first, ``(n,)``.
        right: whether the row's likeliest class is the true one, ``(n,)``.
        precision: what is to be proved.
        mistrust: how often the promise may be broken.
        own: which rows the network itself judged, ``(n,)``: they must prove the precision by themselves, with a
            mistrust of 30%. None if no rows are of other networks.
        begin_by_own: whether the walk begins where both tests would pass most likely, and not that of all rows only. Of
            the rows that classes leave, few may be the network's own: the first sets could not pass.

    Returns:
        The size of the largest set that is proved. Rows of one confidence are in it or out of it together.
    """
    from scipy.stats import binom

    sizes = _sizes(falling, precision, mistrust, own if begin_by_own else None)
    if not len(sizes):
        return 0
    passed = np.logical_and.accumulate(binom.sf(np.cumsum(right)[sizes - 1] - 1, sizes, precision) <= mistrust)
    if own is not None:
        hits, count = (np.cumsum(which)[sizes - 1] for which in (right & own, own))
        passed &= binom.sf(hits - 1, count, precision) <= _OWN_MISTRUST
    return int(sizes[passed].max(initial=0))


def _sizes(falling: npt.NDArray[np.floating], precision: float, mistrust: float, own: Chosen | None) -> Counts:
    """The sizes of the sets that are tested, in rising order: chosen by confidences, and by which rows are ``own``."""
    from scipy.stats import binom

    total, fewest = len(falling), _fewest(precision, mistrust)
    if total < fewest:
        return np.zeros(0, np.intp)
    sizes = np.arange(fewest, total + 1)
    share = falling.cumsum(dtype=np.float64)[sizes - 1] / sizes
    expected = share.clip(max=1.0) * (1 - _WRONG_LABELS * (1 - precision))
    power = binom.sf(binom.isf(mistrust, sizes, precision), sizes, expected)
    if own is not None:
        count = np.cumsum(own)[sizes - 1]
        power *= binom.sf(binom.isf(_OWN_MISTRUST, count, precision), count, expected)
    start = int(sizes[power.argmax()])
    sizes = np.append(np.arange(start, total, max(1, total // _STEPS)), total)
    return np.unique(np.searchsorted(-falling, -falling[sizes - 1], side="right"))


def _shares(tree: Taxonomy | None) -> tuple[float, float]:
    """What share of the mistrust is that of the classes, and of each level above them."""
    return (_OF_CLASSES, (1 - _OF_CLASSES) / tree.top) if tree else (1.0, 0.0)


def _budgets(share: float) -> Iterator[tuple[float, float]]:
    """Each target with the mistrust of its walk, which has a share of the whole; the strictest first."""
    found: dict[float, float] = {}
    for precision in reversed(TARGETS):
        stricter = sum(precision ** _fewest(other, mistrust) for other, mistrust in found.items())
        found[precision] = share * (MISTRUST - _REFUSALS) - stricter
        yield precision, found[precision]


def _fewest(precision: float, mistrust: float) -> int:
    return math.ceil(math.log(mistrust) / math.log(precision))


def _refused(guesses: Counts, right: Chosen, precision: float, classes: int, share: float) -> Chosen:
    """Which classes or nodes, of rows above the threshold, are not as right as the target, ``bool (classes,)``.

    What is left of a proved set without them is as right as the whole, unless a class was refused that is as right as
    the target, which happens in a ``share`` of _REFUSALS of the data sets at most.
    """
    from scipy.stats import binom

    hits, counts = (np.bincount(found, minlength=classes) for found in (guesses[right], guesses))
    return np.asarray(binom.cdf(hits, counts, precision) < share * _REFUSALS / (classes * (_STEPS + 2) * len(TARGETS)))


def _target(
    own: HeldOutRows,
    precision: float,
    thresholds: Thresholds,
    proved_on: int,
    within: float | None,
    nodes: Mapping[str, float | None] = MappingProxyType({}),
    tree: Taxonomy | None = None,
) -> PrecisionTarget:
    """What share of rows like the network's own the thresholds cover, of which ``within`` keep the unknown limit."""
    classes, known = len(thresholds), float(own.known.mean()) if own.known.any() else 1.0
    times = 1.0 if within is None else within / known
    guesses = own.probabilities.argmax(axis=1)
    levels = label_levels(own.probabilities, own.known, thresholds, nodes, tree)
    chosen = levels != REVIEW
    counts, covered = (np.bincount(found, minlength=classes) for found in (guesses, guesses[chosen]))
    return PrecisionTarget(
        precision=precision,
        thresholds=thresholds,
        coverage=min(1.0, float(chosen.mean()) * times) if len(chosen) else 0.0,
        class_coverage=tuple(
            min(1.0, c / n * times) if n else None for c, n in zip(covered.tolist(), counts.tolist(), strict=True)
        ),
        rows=(proved_on,) * classes,
        nodes=dict(nodes),
        level_coverage=tuple(
            min(1.0, float((levels == level).mean()) * times) if len(levels) else 0.0 for level in range(tree.top + 1)
        )
        if tree
        else (),
    )
