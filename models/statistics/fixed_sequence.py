"""How many of the surest rows prove a precision, by fixed sequence testing.

Sets of the surest rows are tested in a fixed order, from a small set to all rows, each with an exact binomial test. The
walk stops at the first set that fails, and the largest set that passed is proved, however many were to be tested
(Angelopoulos et al., "Learn then Test", 2021, https://arxiv.org/abs/2110.01052). To look for the largest set whose
bound holds instead is to look many times: that broke the promise in up to 28 of 100 data sets.

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

__all__ = ["OWN_MISTRUST", "budgets", "fewest", "proved_rows", "refused"]

OWN_MISTRUST: Final = 0.3
"""How often the network's own rows may be wrong about a set that is proved on the rows of other networks, too."""
_STEPS: Final = 20
"""The sets that are tested differ by a twentieth of the rows."""
_WRONG_LABELS: Final = 0.25
"""Share of the errors that a target allows which are taken for wrong labels when a walk's beginning is chosen: no
confidence tells of them, and one of them should not end the walk."""
_REFUSALS: Final = 0.001
"""How often a class that is as right as the target may be refused, over all classes, sets and walks together."""

Chosen = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.intp]


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
        begin_by_own: whether the walk begins where both tests would pass most likely, and not only that of all rows.
            Of the rows that classes leave, few may be the network's own: the first sets could not pass.

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
        passed &= binom.sf(hits - 1, count, precision) <= OWN_MISTRUST
    return int(sizes[passed].max(initial=0))


def _sizes(falling: npt.NDArray[np.floating], precision: float, mistrust: float, own: Chosen | None) -> Counts:
    """The sizes of the sets that are tested, in rising order: chosen by confidences, and by which rows are ``own``."""
    total, least = len(falling), fewest(precision, mistrust)
    if total < least:
        return np.zeros(0, np.intp)
    sizes = np.arange(least, total + 1)
    share = falling.cumsum(dtype=np.float64)[sizes - 1] / sizes
    expected = share.clip(max=1.0) * (1 - _WRONG_LABELS * (1 - precision))
    power = _power(sizes, precision, mistrust, expected)
    if own is not None:
        power *= _power(np.cumsum(own, dtype=np.intp)[sizes - 1], precision, OWN_MISTRUST, expected)
    start = int(sizes[power.argmax()])
    sizes = np.append(np.arange(start, total, max(1, total // _STEPS)), total)
    return np.unique(np.searchsorted(-falling, -falling[sizes - 1], side="right"))


def _power(
    sizes: Counts, precision: float, mistrust: float, expected: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How likely sets of these sizes pass the test if the ``expected`` share of each is right, ``(sizes,)``."""
    from scipy.stats import binom

    return np.asarray(binom.sf(binom.isf(mistrust, sizes, precision), sizes, expected))


def budgets(share: float) -> Iterator[tuple[float, float]]:
    """Each target with the mistrust of its own walk, the strictest first; all walks have a ``share`` of MISTRUST."""
    found: dict[float, float] = {}
    for precision in reversed(TARGETS):
        stricter = sum(precision ** fewest(other, mistrust) for other, mistrust in found.items())
        found[precision] = share * (MISTRUST - _REFUSALS) - stricter
        yield precision, found[precision]


def fewest(precision: float, mistrust: float) -> int:
    """How many rows prove a precision if all of them are right."""
    return math.ceil(math.log(mistrust) / math.log(precision))


def refused(guesses: Counts, right: Chosen, precision: float, classes: int, share: float) -> Chosen:
    """Which classes or nodes, by the rows of a proved set, are not as right as the target, ``bool (classes,)``.

    Without them what is left of the set is as right as the whole, unless a class was refused that is as right as the
    target. That happens in a ``share`` of 0.1% of the data sets at most.
    """
    from scipy.stats import binom

    hits, counts = (np.bincount(found, minlength=classes) for found in (guesses[right], guesses))
    return np.asarray(binom.cdf(hits, counts, precision) < share * _REFUSALS / (classes * (_STEPS + 2) * len(TARGETS)))
