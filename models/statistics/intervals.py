"""95% intervals of measured figures.

Proportions get Clopper-Pearson intervals (Biometrika 26, 1934). Other figures get bootstrap intervals (Efron, 1979).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]

MISTRUST: Final = 0.05
"""The error probability of a bound or an interval."""
RESAMPLES: Final = 1000
_HALVINGS: Final = 40
_Z: Final = NormalDist().inv_cdf(1 - MISTRUST / 2)


def proportion_interval(hits: float, rows: float) -> Interval:
    """The two-sided 95% interval of a proportion; (0, 1) without rows.

    ``hits`` and ``rows`` may be fractions, because dependent rows count less than 1 each.
    """
    return lower_bound(hits, rows, MISTRUST / 2), upper_bound(hits, rows, MISTRUST / 2)


def lower_bound(hits: float, rows: float, mistrust: float = MISTRUST) -> float:
    """One-sided lower Clopper-Pearson bound of a proportion, with error probability ``mistrust``; 0 for 0 hits."""
    from scipy.stats import beta

    return float(beta.ppf(mistrust, hits, rows - hits + 1)) if hits else 0.0


def upper_bound(hits: float, rows: float, mistrust: float = MISTRUST) -> float:
    """One-sided upper Clopper-Pearson bound of a proportion, with error probability ``mistrust``; 1 for all hits."""
    from scipy.stats import beta

    return float(beta.ppf(1 - mistrust, hits + 1, rows - hits)) if hits < rows else 1.0


def exact_interval(hits: int, rows: int) -> Interval:
    """Like :func:`proportion_interval`, but without SciPy, which the base install lacks.

    Slow for many rows.
    """
    half = MISTRUST / 2
    low = _solved(lambda rate: _at_least(hits, rows, rate) < half) if hits else 0.0
    high = _solved(lambda rate: 1 - _at_least(hits + 1, rows, rate) > half) if hits < rows else 1.0
    return low, high


def _at_least(hits: int, rows: int, rate: float) -> float:
    if not 0.0 < rate < 1.0:
        return float(rate >= 1.0)
    whole, inside, outside = math.lgamma(rows + 1), math.log(rate), math.log1p(-rate)
    return math.fsum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(rows - k + 1) + k * inside + (rows - k) * outside)
        for k in range(hits, rows + 1)
    )


def _solved(is_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def difference_interval(more: float, less: float, rows: float) -> Interval:
    """The 95% interval of the difference between two proportions of the same rows, clipped to [-1, 1].

    0.5 is added to each cell of the 2×2 table, so the width is above 0 even without any difference. Source: Agresti and
    Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24, 2005.

    ``more``: number of rows that count only for the first proportion. ``less``: only for the second. ``rows``: total
    number of rows, at least 1. The numbers may be fractions, because dependent rows count less than 1 each.
    """
    total = rows + 2
    middle = (more - less) / total
    spread = _Z * math.sqrt((more + less + 1) / total - middle**2) / math.sqrt(total)
    return max(-1.0, float(middle - spread)), min(1.0, float(middle + spread))


_SURE: Final = NormalDist().inv_cdf(1 - MISTRUST / 2)
_FOUND: Final = NormalDist().inv_cdf(0.8)

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Paired:
    """The accuracy of challenger and champion on the same photos. Points are percentage points.

    Attributes:
        won, lost: number of photos on which only the challenger, or only the champion, is right.
        points: accuracy of the challenger minus accuracy of the champion.
        smallest_points: the smallest difference that the test detects with a power of 80%.
    """

    photos: int
    champion: float
    challenger: float
    won: int
    lost: int
    points: float
    points_95: Interval
    smallest_points: float


def compare_pairs(champion: Right, challenger: Right, groups: npt.NDArray[np.intp]) -> Paired | None:
    """Compare two models' correct answers, ``bool (n,)``. None without photos. ``groups``: indices, from 0."""
    photos = len(champion)
    if not photos:
        return None
    won, lost = int((challenger & ~champion).sum()), int((champion & ~challenger).sum())
    effect = design_effect(challenger.astype(np.float64) - champion, groups)
    low, high = difference_interval(won / effect, lost / effect, photos / effect)
    smallest = smallest_difference(photos / effect, (won + lost) / effect)
    return Paired(
        photos=photos,
        champion=float(champion.mean()),
        challenger=float(challenger.mean()),
        won=won,
        lost=lost,
        points=100 * (won - lost) / photos,
        points_95=(100 * low, 100 * high),
        smallest_points=100 * smallest,
    )


def design_effect(differences: npt.NDArray[np.float64], groups: npt.NDArray[np.intp]) -> float:
    """The design effect: the number of photos, divided by the effective sample size.

    The design effect is 1 for independent photos, and at most the mean of the photos' group sizes.
    """
    sizes = np.bincount(groups)
    most = float((sizes**2).sum() / sizes.sum())
    apart = differences - differences.mean()
    variance = float((apart**2).sum())
    if not variance:
        return most
    return min(most, max(1.0, float((np.bincount(groups, apart) ** 2).sum()) / variance))


def smallest_difference(photos: float, discordant: float) -> float:
    """The smallest difference of two accuracies that McNemar's test (two-sided, 5%) detects with a power of 80%.

    Solves Connor's formula for the sample size ("Sample size for testing differences in proportions for the
    paired-sample design", Biometrics 43, 1987). As in :func:`difference_interval`, 0.5 is added to each cell of the 2×2
    table, so the result is above 0. ``photos``: number of independent photos. ``discordant``: number of photos on which
    exactly one model is right. The result is a fraction; 1 means too few photos to detect any difference.
    """
    from scipy.optimize import brentq

    seen = (discordant + 1) / (photos + 2)

    def lacking(difference: float) -> float:
        share = max(seen, difference)
        spread = _FOUND * math.sqrt(max(0.0, share - difference**2))
        return _SURE * math.sqrt(share) + spread - difference * math.sqrt(photos)

    return 1.0 if lacking(1.0) > 0 else float(brentq(lacking, 0.0, 1.0))
