"""How far a figure measured on so many photos can be trusted: 95% intervals.

Proportions get the interval of Clopper and Pearson (Biometrika 26, 1934). Wilson's is shorter, but holds less often
than it says for proportions near 1, and those are the ones that matter here: this one never promises too much, and it
agrees with the one-sided bound that the thresholds are chosen by.

Figures that are no proportion get a bootstrap over rows (Efron, 1979).
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, norm

__all__ = [
    "MISTRUST",
    "RESAMPLES",
    "Interval",
    "bootstrap_interval",
    "difference_interval",
    "lower_bound",
    "proportion_interval",
    "upper_bound",
]

Interval = tuple[float, float]

MISTRUST: Final = 0.05
"""How often a bound or an interval may be wrong."""
RESAMPLES: Final = 1000
_CELLS_AT_ONCE: Final = 2_000_000


def proportion_interval(hits: float, rows: float) -> Interval:
    """The two-sided 95% interval of a proportion; from 0 to 1 where there are no rows.

    Rows that are not independent count for less than one each, in both.
    """
    low = beta.ppf(MISTRUST / 2, hits, rows - hits + 1) if hits else 0.0
    high = beta.ppf(1 - MISTRUST / 2, hits + 1, rows - hits) if hits < rows else 1.0
    return float(low), float(high)


def lower_bound(hits: int, rows: int, mistrust: float = MISTRUST) -> float:
    """What a proportion is at least: the one-sided lower Clopper-Pearson bound; 0 where there are no hits.

    Args:
        hits: rows that count.
        rows: all of them.
        mistrust: how often the bound may be wrong.
    """
    return float(beta.ppf(mistrust, hits, rows - hits + 1)) if hits else 0.0


def upper_bound(hits: int, rows: int, mistrust: float = MISTRUST) -> float:
    """What a proportion is at most: the one-sided upper Clopper-Pearson bound; 1 where every row counts.

    Args:
        hits: rows that count.
        rows: all of them.
        mistrust: how often the bound may be wrong.
    """
    return float(beta.ppf(1 - mistrust, hits + 1, rows - hits)) if hits < rows else 1.0


def difference_interval(more: float, less: float, rows: float) -> Interval:
    """The 95% interval of the difference of two proportions that were measured on the same rows.

    Half a row is added to each of the four cells (Agresti and Min, "Simple improved confidence intervals for comparing
    matched proportions", Statistics in Medicine 24, 2005), so that it has a width where both agree on every row.

    Args:
        more: rows that count for the first only.
        less: rows that count for the second only.
        rows: all of them, at least one. Rows that are not independent count for less than one each, in all three.

    Returns:
        Around ``(more - less) / rows``, drawn towards 0; within -1 and 1.
    """
    total = rows + 2
    middle = (more - less) / total
    spread = norm.ppf(1 - MISTRUST / 2) * math.sqrt((more + less + 1) / total - middle**2) / math.sqrt(total)
    return max(-1.0, float(middle - spread)), min(1.0, float(middle + spread))


def bootstrap_interval(
    counts: npt.NDArray[np.integer],
    figure: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.floating]],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Interval]:
    """The 95% intervals of figures between 0 and 1, by drawing the rows again with replacement.

    The resampled figures are shifted so that their mean is what was measured. A calibration error, say, is larger on
    resampled rows than on the rows themselves, and would otherwise lie outside its own interval.

    Args:
        counts: how many rows there are of each kind, ``(kinds,)``: rows of one kind look the same to the figures.
        figure: the figures ``(draws, figures)`` of counts ``(draws, kinds)``.
        seed: of the draws.
        resamples: how many draws.

    Returns:
        An interval a figure.
    """
    measured = figure(counts[None].astype(np.int64))[0]
    rng = np.random.default_rng(seed)
    total = counts.sum()
    at_once = max(1, min(resamples, _CELLS_AT_ONCE // len(counts)))
    parts = [
        figure(rng.multinomial(total, counts / total, size=min(at_once, resamples - start)))
        for start in range(0, resamples, at_once)
    ]
    drawn = np.concatenate(parts)
    ends: Any = np.quantile(drawn - drawn.mean(axis=0) + measured, (MISTRUST / 2, 1 - MISTRUST / 2), axis=0)
    lows, highs = np.clip(ends, 0.0, 1.0)
    return [
        (min(float(low), float(at)), max(float(high), float(at)))
        for low, high, at in zip(lows, highs, measured, strict=True)
    ]
