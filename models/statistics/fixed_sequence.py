"""How many of the surest rows prove a precision, by fixed sequence testing.

Sets of the surest rows are tested in a fixed order, from a small set to all rows, each with an exact binomial test. The
walk stops at the first set that fails, and the largest set that passed is proved, however many were to be tested
(Angelopoulos et al., "Learn then Test", 2021, https://arxiv.org/abs/2110.01052). To look for the largest set whose
bound holds instead is to look many times: that broke the promise in up to 28 of 100 data sets.

Photos of one picture or product form a group. A network that errs on one of them likely errs on the others, so a set is
worth fewer rows than it has. The test takes the worst case, in which all rows of a group are right or all are wrong:
a set with groups of sizes m is worth ``sum(m) ** 2 / sum(m ** 2)`` rows (Kish, "Survey Sampling", 1965), and as large a
share of these is right. Without repeats that is the number of rows.

Confidences alone choose where a walk begins: at the size at which the test would pass most likely if each row were
right as often as its confidence says. Labels have no part in it. So the order of the sets is fixed before anybody looks
at a label, and the choice costs nothing. (Confidences rest on one number that was fitted to labels, the temperature, as
the order of the rows always has.) Confidences that are wrong cost coverage, never the promise.

A target may take the set that a stricter target has proved. That breaks the target's promise where the stricter walk
has passed a set in which less than the target is right. The larger such a set, the less likely it passes. The smallest
that can pass has the fewest rows that prove the stricter target, all of them right: the probability is at most
``target ** fewest(stricter)``. By Bonferroni's inequality these probabilities are taken from the mistrust of the
target's own walk, and so is what refusals of classes may cost (:func:`budgets`).
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from models.statistics.confidence import TARGETS
from models.statistics.intervals import MISTRUST

OWN_MISTRUST: Final = 0.3
"""How often the network's own rows may wrongly confirm a set that other networks' rows prove, too."""
_STEPS: Final = 20
"""The sets that are tested differ by a twentieth of the rows."""
_WRONG_LABELS: Final = 0.25
"""This share of the errors that a target allows counts as wrong labels in the choice of a walk's beginning: confidences
do not show them, and one of them should not end the walk."""
_REFUSALS: Final = 0.001
"""How often a class that is as right as the target may be refused, over all classes, sets and walks together."""

Chosen = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.intp]
Rows = npt.NDArray[np.float64]


def proved_rows(
    falling: npt.NDArray[np.floating],
    right: Chosen,
    precision: float,
    mistrust: float = MISTRUST,
    own: Chosen | None = None,
    *,
    groups: Counts | None = None,
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
        groups: the number of each row's group, ``(n,)``. None if no two rows show one picture or product.
        begin_by_own: whether the walk begins where both tests would pass most likely, not only the test of all rows.
            Above the classes, few rows may be the network's own: the first sets could not pass.

    Returns:
        The size of the largest set that is proved. Rows of one confidence are in it or out of it together.
    """
    groups = np.arange(len(falling)) if groups is None else groups
    of_all = effective_rows(groups, np.ones(len(falling), np.bool_))
    of_own = None if own is None else effective_rows(groups, own)
    sizes = _sizes(falling, precision, mistrust, of_all, of_own if begin_by_own else None)
    if not len(sizes):
        return 0
    hits = right.cumsum()[sizes - 1] / sizes
    passed = np.logical_and.accumulate(_chance(hits, of_all[sizes - 1], precision) <= mistrust)
    if own is not None and of_own is not None:
        hits, count = (which.cumsum()[sizes - 1] for which in (right & own, own))
        passed &= _chance(hits / count.clip(min=1), of_own[sizes - 1], precision) <= OWN_MISTRUST
    return int(sizes[passed].max(initial=0))


def effective_rows(groups: Counts, chosen: Chosen) -> Rows:
    """How many independent rows the ``chosen`` ones among the first 1, 2, ... n rows are worth, ``float64 (n,)``."""
    among = groups[chosen]
    order = np.argsort(among, kind="stable")
    _, first, place = np.unique(among[order], return_index=True, return_inverse=True)
    earlier = np.empty(len(among), np.intp)
    earlier[order] = np.arange(len(among)) - first[place]
    counts = np.arange(1, len(among) + 1)
    effective = np.append(0.0, counts**2 / (2 * earlier + 1).cumsum())
    return np.asarray(effective[chosen.cumsum()])


def _sizes(
    falling: npt.NDArray[np.floating], precision: float, mistrust: float, of_all: Rows, of_own: Rows | None
) -> Counts:
    """The sizes of the sets that are tested, in rising order: chosen by confidences, and by what each set is worth."""
    total = len(falling)
    sizes = np.flatnonzero(of_all >= fewest(precision, mistrust)) + 1
    if not len(sizes):
        return sizes
    share = falling.cumsum(dtype=np.float64)[sizes - 1] / sizes
    expected = share.clip(max=1.0) * (1 - _WRONG_LABELS * (1 - precision))
    power = _power(of_all[sizes - 1], precision, mistrust, expected)
    if of_own is not None:
        power *= _power(of_own[sizes - 1], precision, OWN_MISTRUST, expected)
    start = int(sizes[power.argmax()])
    sizes = np.append(np.arange(start, total, max(1, total // _STEPS)), total)
    return np.unique(np.searchsorted(-falling, -falling[sizes - 1], side="right"))


def _power(rows: Rows, precision: float, mistrust: float, expected: Rows) -> Rows:
    from scipy.stats import binom

    whole = np.floor(rows)
    return np.asarray(binom.sf(binom.isf(mistrust, whole, precision), whole, expected))


def _chance(share: Rows, rows: Rows, precision: float) -> Rows:
    """How likely this ``share`` of rows or more is right if each is with probability ``precision``.

    It is the binomial distribution's upper tail, written for parts of rows.
    """
    from scipy.special import betainc

    return np.asarray(betainc(share * rows, (1 - share) * rows + 1, precision))


def budgets(share: float) -> Iterator[tuple[float, float]]:
    """Each target with the mistrust of its own walk, the strictest first; all walks have a ``share`` of MISTRUST."""
    mistrusts: dict[float, float] = {}
    for precision in reversed(TARGETS):
        stricter = sum(precision ** fewest(other, mistrust) for other, mistrust in mistrusts.items())
        mistrusts[precision] = share * (MISTRUST - _REFUSALS) - stricter
        yield precision, mistrusts[precision]


def fewest(precision: float, mistrust: float) -> int:
    """How many rows prove a precision if all of them are right."""
    return math.ceil(math.log(mistrust) / math.log(precision))


def refused(guesses: Counts, right: Chosen, groups: Counts, precision: float, classes: int, share: float) -> Chosen:
    """Which classes or nodes, by the rows of a proved set, are not as right as the target, ``bool (classes,)``.

    Without them the rest of the set is as right as the whole, unless a refused class is as right as the target. That
    happens in a ``share`` of 0.1% of the data sets at most.
    """
    wrong, counts = (np.bincount(labels, minlength=classes) for labels in (guesses[~right], guesses))
    (kinds, _), sizes = np.unique(np.stack([guesses, groups]), axis=1, return_counts=True)
    rows = counts**2 / np.bincount(kinds, sizes**2, minlength=classes).clip(min=1)
    chance = _chance(wrong / counts.clip(min=1), rows, 1 - precision)
    return np.asarray(chance < share * _REFUSALS / (classes * (_STEPS + 2) * len(TARGETS)))
