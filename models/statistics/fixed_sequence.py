"""Proves a precision for as many rows as possible, by fixed sequence testing.

Rows are sorted by falling confidence. The first k rows are a set. Sets are tested from small to large, each with an
exact binomial test, until a set fails. These tests are called a walk. The largest set that passed is proved, for any
number of tests (Angelopoulos et al., "Learn then Test", 2021, https://arxiv.org/abs/2110.01052). Testing all sets and
using the largest that passes (multiple testing) broke the promise in up to 28 of 100 data sets.

Photos of one picture or product form a group. The test assumes the worst case: all rows of a group are right, or all
are wrong. Then a set with groups of sizes m is worth ``sum(m) ** 2 / sum(m ** 2)`` independent rows (Kish, "Survey
Sampling", 1965), and the same fraction of these rows is right. Without groups, all rows are independent.

A walk begins at the set that would most likely pass if each row were right with its confidence as probability. This
choice uses only confidences, never labels, and so does not weaken the proof. (Only the temperature, one number, was
fitted to labels.) Wrong confidences lower the coverage, but never break the promise.

A target may use the set that a stricter target has proved. This breaks the target's promise only if the stricter walk
has passed a set whose precision is below the target. Of such sets, larger sets pass less often than smaller sets. The
smallest set that can pass has the fewest rows that prove the stricter target, and all of its rows are right. So the
probability of a broken promise is at most ``target ** fewest(stricter)``. These probabilities are subtracted from the
error probability of the target's own walk (Bonferroni's inequality). The probability that refused classes break the
promise is also subtracted (:func:`budgets`).
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from models.statistics.confidence import TARGETS
from models.statistics.intervals import MISTRUST

OWN_MISTRUST: Final = 0.3
"""Error probability of the additional test on the network's own rows, if rows of other networks prove a set."""
_STEPS: Final = 20
"""Each tested set is larger than the previous set by about 1/20 of all rows."""
_WRONG_LABELS: Final = 0.25
"""Added to the expected errors when a walk's first set is chosen, as a fraction of the allowed errors."""
_REFUSALS: Final = 0.001
"""Probability that a walk refuses a class whose precision is at least the target."""

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
    """The largest number of rows, from the highest confidence down, that prove a precision; 0 without a proof.

    Args:
        falling: the confidence of each row, ``(n,)``, in falling order.
        right: whether the row's likeliest class is the true one, ``(n,)``.
        precision: the precision to prove.
        mistrust: the error probability of the promise.
        own: which rows the network itself predicted, ``(n,)``. These rows must also prove the precision alone, with an
            error probability of 30%. None if the network predicted all rows.
        groups: the group of each row, ``(n,)``. None if every row shows a different picture and product.
        begin_by_own: begin the walk where both the test of all rows and the test of own rows are most likely to pass.
            By default, only the test of all rows counts.

    Returns:
        The size of the largest proved set. All rows of equal confidence are in the set, or none.
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
    """For each k from 0 to n: the effective number of independent rows among the ``chosen`` of the first k rows."""
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
    """Target → error probability of its walk, strictest target first.

    ``share`` is the part of MISTRUST that all targets spend together.
    """
    mistrusts: dict[float, float] = {}
    for precision in reversed(TARGETS):
        stricter = sum(precision ** fewest(other, mistrust) for other, mistrust in mistrusts.items())
        mistrusts[precision] = share * (MISTRUST - _REFUSALS) - stricter
        yield precision, mistrusts[precision]


def fewest(precision: float, mistrust: float) -> int:
    """The smallest number of rows that proves a precision, if all of the rows are right."""
    return math.ceil(math.log(mistrust) / math.log(precision))


def refused(guesses: Counts, right: Chosen, groups: Counts, precision: float, classes: int, share: float) -> Chosen:
    """Whether each class or node of a proved set is less precise than the target, ``bool (classes,)``.

    Without the refused classes, the set is at least as precise as before, unless a class was refused by mistake. Such a
    mistake happens in at most ``share`` times 0.1% of the data sets.
    """
    wrong, counts = (np.bincount(labels, minlength=classes) for labels in (guesses[~right], guesses))
    (kinds, _), sizes = np.unique(np.stack([guesses, groups]), axis=1, return_counts=True)
    rows = counts**2 / np.bincount(kinds, sizes**2, minlength=classes).clip(min=1)
    chance = _chance(wrong / counts.clip(min=1), rows, 1 - precision)
    return np.asarray(chance < share * _REFUSALS / (classes * (_STEPS + 2) * len(TARGETS)))
