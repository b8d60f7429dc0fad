"""95% intervals of figures that were measured on some photos.

What is promised rests on Clopper and Pearson's interval (Biometrika 26, 1934), which never promises too much and agrees
with the one-sided bound behind the thresholds.

Figures other than proportions get a bootstrap over rows (Efron, 1979).
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

Interval = tuple[float, float]

MISTRUST: Final = 0.05
"""How often a bound or an interval may be wrong."""
RESAMPLES: Final = 1000
_HALVINGS: Final = 40
_Z: Final = NormalDist().inv_cdf(1 - MISTRUST / 2)


def proportion_interval(hits: float, rows: float) -> Interval:
    """The two-sided 95% interval of a proportion; from 0 to 1 without rows.

    Rows that are not independent count for less than 1 each, in ``hits`` and in ``rows``.
    """
    return lower_bound(hits, rows, MISTRUST / 2), upper_bound(hits, rows, MISTRUST / 2)


def lower_bound(hits: float, rows: float, mistrust: float = MISTRUST) -> float:
    """The one-sided lower Clopper-Pearson bound of a proportion, wrong with probability ``mistrust``; 0 if no hits."""
    from scipy.stats import beta

    return float(beta.ppf(mistrust, hits, rows - hits + 1)) if hits else 0.0


def upper_bound(hits: float, rows: float, mistrust: float = MISTRUST) -> float:
    """The one-sided upper Clopper-Pearson bound of a proportion, wrong with probability ``mistrust``; 1 if all hits."""
    from scipy.stats import beta

    return float(beta.ppf(1 - mistrust, hits + 1, rows - hits)) if hits < rows else 1.0


def exact_interval(hits: int, rows: int) -> Interval:
    """:func:`proportion_interval` of whole rows without SciPy, which the base install lacks; slow for many rows."""
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
    """The 95% interval of the difference of two proportions that were measured on the same rows, within -1 and 1.

    Half a row is added to each of the four cells (Agresti and Min, "Simple improved confidence intervals for comparing
    matched proportions", Statistics in Medicine 24, 2005), so that it has a width even where both agree on every row.

    ``more`` rows count for the first only, ``less`` for the second only, of ``rows``, at least one. Rows that are not
    independent count for less than one each, in all three.
    """
    total = rows + 2
    middle = (more - less) / total
    spread = _Z * math.sqrt((more + less + 1) / total - middle**2) / math.sqrt(total)
    return max(-1.0, float(middle - spread)), min(1.0, float(middle + spread))
