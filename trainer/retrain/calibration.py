"""Whether a challenger's confidence is further from the truth than the champion's."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.statistics.calibration import mass_bins
from models.statistics.intervals import MISTRUST, RESAMPLES
from trainer.retrain.records import Calibration

__all__ = ["Surety", "compare_calibration"]

_SEED: Final = 0
_CELLS_AT_ONCE: Final = 2_000_000


@dataclass(frozen=True)
class Surety:
    """How sure a model is of its labels ``(n,)``, and whether they are right ``(n,)``."""

    confidence: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]


def compare_calibration(champion: Surety, challenger: Surety, groups: npt.NDArray[np.intp]) -> Calibration | None:
    """Expected calibration errors (15 bins that hold as many photos each), and their paired difference.

    The interval is a bootstrap over groups of photos (Efron, 1979), the same draws for both; bins stay those of the
    photos themselves. Resampling makes both errors larger, so the drawn differences are shifted to what was measured.

    Args:
        champion: on photos that both know.
        challenger: on the same.
        groups: number of each photo's group, ``(n,)``, from 0.

    Returns:
        The figures, the same each time; none where there are no photos.
    """
    if not len(groups):
        return None
    sizes = np.bincount(groups)
    gaps = [_gaps(one, groups, len(sizes)) for one in (champion, challenger)]
    once = np.ones((1, len(sizes)), np.int64)
    before, after = (float(_errors(once, gap, sizes)[0]) for gap in gaps)
    rng = np.random.default_rng(_SEED)
    at_once = max(1, min(RESAMPLES, _CELLS_AT_ONCE // len(sizes)))
    parts = []
    for start in range(0, RESAMPLES, at_once):
        share = np.full(len(sizes), 1 / len(sizes))
        drawn = rng.multinomial(len(sizes), share, size=min(at_once, RESAMPLES - start))
        parts.append(_errors(drawn, gaps[1], sizes) - _errors(drawn, gaps[0], sizes))
    differences = np.concatenate(parts)
    low, high = np.quantile(differences - differences.mean() + after - before, (MISTRUST / 2, 1 - MISTRUST / 2))
    return Calibration(champion=before, challenger=after, difference_95=(float(low), float(high)))


def _gaps(surety: Surety, groups: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.float64]:
    """Confidence less hits of each group, bin by bin, ``(groups, bins)``."""
    bins = mass_bins(surety.confidence)
    gaps = np.zeros((count, int(bins.max()) + 1))
    np.add.at(gaps, (groups, bins), surety.confidence - surety.right)
    return gaps


def _errors(
    drawn: npt.NDArray[np.int64], gaps: npt.NDArray[np.float64], sizes: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """The calibration error of each draw of groups, ``(draws,)``."""
    errors: npt.NDArray[np.float64] = np.abs(drawn @ gaps).sum(axis=1) / (drawn @ sizes)
    return errors
