"""Proves a precision for as many rows as possible, by fixed sequence testing.

Rows are sorted by descending confidence. The first k rows form a set. Sets are tested from small to large, each with an
exact binomial test, until a set fails. The largest set that passed is proved, for any number of tests (Angelopoulos et
al., "Learn then Test", 2021, https://arxiv.org/abs/2110.01052). Without the stop at the first failure, the promise was
broken in up to 28 of 100 data sets.

Photos of one product form a group, as do copies of one photo. The test assumes the worst case: all rows of a group are
right, or all are wrong. Rows in groups of sizes m therefore count as ``sum(m) ** 2 / sum(m ** 2)`` independent rows
(Kish, "Survey Sampling", 1965). Without groups, all rows are independent.

The first tested set is the most likely to pass, according to the confidences. The proof stays valid, because labels do
not affect the choice of this set, except through the temperature. Wrong confidences lower the coverage, but never break
the promise.

A target may use the set that a stricter target has proved. The promise breaks only if this set is less precise than
the target. An imprecise set passes most easily if it is small. The smallest set that can pass has ``fewest(stricter)``
rows, all of them right. So the promise is broken with a probability of at most ``target ** fewest(stricter)``. This
probability is subtracted from the error probability of the target's own tests (Bonferroni's inequality).
:func:`budgets` also subtracts the probability of a wrong refusal.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from models.statistics.confidence import TARGETS
from models.statistics.intervals import MISTRUST

OWN_MISTRUST: Final = 0.3
"""The error probability of the separate test of rows that the network itself predicted."""
_STEPS: Final = 20
"""Each tested set is larger than the previous set by about 1/20 of all rows."""
_WRONG_LABELS: Final = 0.25
"""Errors expected beyond those that confidences predict, as a fraction of the allowed errors. Affects only the first
tested set."""
_REFUSALS: Final = 0.001
"""Probability that the tests refuse a class whose precision is at least the target."""

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
    """Prove a precision for as many rows as possible, from the highest confidence down.

    Args:
        falling: the confidence of each row, ``(n,)``, descending.
        right: whether the row's likeliest class is the true one, ``(n,)``.
        precision: the precision to prove.
        mistrust: the allowed error probability.
        own: which rows the network itself predicted, ``(n,)``. The network's own predictions must also pass a
            separate test, with an error probability of 30%. None if the network predicted all rows.
        groups: the group of each row, ``(n,)``. None if all rows are independent.
        begin_by_own: whether ``own`` affects the choice of the first tested set.

    Returns:
        The size of the largest proved set, or 0. Rows of equal confidence stay together.
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
    """The effective sample sizes of the ``chosen`` rows among the first 0, 1, ..., n rows."""
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
    """The probability that at least a ``share`` of the rows is right, if each is right with probability ``precision``.

    The upper tail of the binomial distribution, extended to fractional ``rows``.
    """
    from scipy.special import betainc

    return np.asarray(betainc(share * rows, (1 - share) * rows + 1, precision))


def budgets(share: float) -> Iterator[tuple[float, float]]:
    """The error probability of each target's tests, strictest target first.

    Each target breaks its promise with a probability of at most ``share * MISTRUST``.
    """
    mistrusts: dict[float, float] = {}
    for precision in reversed(TARGETS):
        stricter = sum(precision ** fewest(other, mistrust) for other, mistrust in mistrusts.items())
        mistrusts[precision] = share * (MISTRUST - _REFUSALS) - stricter
        yield precision, mistrusts[precision]


def fewest(precision: float, mistrust: float) -> int:
    """The smallest number of rows that proves a precision, if all labels are right."""
    return math.ceil(math.log(mistrust) / math.log(precision))


def refused(guesses: Counts, right: Chosen, groups: Counts, precision: float, classes: int, share: float) -> Chosen:
    """Which classes or nodes of a proved set are less precise than the target, ``bool (classes,)``.

    A class that is precise enough is refused in at most ``share * 0.1%`` of data sets. Without an imprecise class, the
    rest of the set is more precise.
    """
    wrong, counts = (np.bincount(labels, minlength=classes) for labels in (guesses[~right], guesses))
    (kinds, _), sizes = np.unique(np.stack([guesses, groups]), axis=1, return_counts=True)
    rows = counts**2 / np.bincount(kinds, sizes**2, minlength=classes).clip(min=1)
    chance = _chance(wrong / counts.clip(min=1), rows, 1 - precision)
    return np.asarray(chance < share * _REFUSALS / (classes * (_STEPS + 2) * len(TARGETS)))
