"""Two models on the same photos: which is right more often, how sure that is, and the smallest visible difference.

Photos of one group show the same picture, or one product: where a model errs on one of them it likely errs on the
others. So the photos are not taken for more than they are worth: all counts are divided by the design effect before the
interval is made of them (Rao and Scott, "A simple method for the analysis of clustered binary data", Biometrics 48,
1992). It is the variance of the difference with groups as units against that with photos as units, at least 1; where
every photo is its own group it is 1, and the interval is the usual one.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from models.statistics.intervals import MISTRUST, Interval, difference_interval

_SURE: Final = NormalDist().inv_cdf(1 - MISTRUST / 2)
_FOUND: Final = NormalDist().inv_cdf(0.8)

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Paired:
    """Challenger against champion: the share that each labels right; points are hundredths.

    Attributes:
        won, lost: photos that only the challenger, or only the champion, labels right.
        points: challenger's accuracy less the champion's.
        smallest_points: the difference that a test like this finds in four of five cases.
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
    """Compare who is right, ``(n,)`` each; None if there are no photos. ``groups`` is each photo's group, from 0."""
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
    """How many photos count as one independent photo.

    It is 1 where photos are independent, up to the mean size of a photo's group; that too where nothing differs.
    """
    sizes = np.bincount(groups)
    most = float((sizes**2).sum() / sizes.sum())
    apart = differences - differences.mean()
    variance = float((apart**2).sum())
    if not variance:
        return most
    return min(most, max(1.0, float((np.bincount(groups, apart) ** 2).sum()) / variance))


def smallest_difference(photos: float, discordant: float) -> float:
    """The smallest difference of two accuracies that McNemar's test would find, two-sided at 5%, in four of five cases.

    Sample size formula of Connor, "Sample size for testing differences in proportions for the paired-sample design",
    Biometrics 43, 1987, solved for the difference at the discordance that was seen. Half a photo is added to each cell,
    as for the interval, so that it is more than nothing where both agree on every photo; and no difference is larger
    than the discordance behind it.

    ``photos`` is how many there are, or what they are worth; one of both labels ``discordant`` photos right, the other
    wrong. It is a share, and 1 where so few photos would find no difference at all.
    """
    from scipy.optimize import brentq

    seen = (discordant + 1) / (photos + 2)

    def lacking(difference: float) -> float:
        share = max(seen, difference)
        spread = _FOUND * math.sqrt(max(0.0, share - difference**2))
        return _SURE * math.sqrt(share) + spread - difference * math.sqrt(photos)

    return 1.0 if lacking(1.0) > 0 else float(brentq(lacking, 0.0, 1.0))
