"""What models label without a person, and how often that is wrong. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.statistics.intervals import proportion_interval
from models.statistics.paired import compare_pairs, design_effect
from trainer.retrain.answers import Answers
from trainer.retrain.records import Automatic, Automation

__all__ = ["Judged", "compare_automation"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """What a model says of each photo, and whether that is right ``(n,)``."""

    answers: Answers
    right: Mask


def compare_automation(
    champion: Judged | None, challenger: Judged, common: Mask, groups: npt.NDArray[np.str_]
) -> Automation | None:
    """Compare how much both label without a person.

    Args:
        champion: none for a first model.
        challenger: that may replace it.
        common: whether a photo is of a class that both know, ``(n,)``; of a first model all are.
        groups: each photo's group, ``(n,)``.

    Returns:
        The figures; none where there are no such photos.
    """
    if not common.any():
        return None
    after, right = challenger.answers, challenger.right
    paired, precision, before = None, None, None
    if champion is not None:
        paired = compare_pairs(champion.answers.sure[common], after.sure[common], _numbered(groups[common]))
        precision = champion.answers.precision
        before = _automatic(champion.answers.sure, champion.right, common, groups)
    return Automation(
        champion_precision=precision,
        challenger_precision=after.precision,
        own_precision=after.own_precision,
        champion=before,
        challenger=_automatic(after.sure, right, common, groups),
        own=_automatic(after.own_sure, right, common, groups),
        everywhere=_automatic(after.sure, right, np.ones_like(common), groups),
        points=paired.points if paired else None,
        points_95=paired.points_95 if paired else None,
    )


def _automatic(sure: Mask, right: Mask, of: Mask, groups: npt.NDArray[np.str_]) -> Automatic:
    """Photos of one group are worth less than one each: see :mod:`models.statistics.paired`."""
    chosen = sure & of
    photos, hits = int(chosen.sum()), int((chosen & right).sum())
    effect = design_effect(right[chosen].astype(np.float64), _numbered(groups[chosen])) if photos else 1.0
    return Automatic(photos=photos, wrong=photos - hits, right_95=proportion_interval(hits / effect, photos / effect))


def _numbered(groups: npt.NDArray[np.str_]) -> npt.NDArray[np.intp]:
    """Groups by number, from 0."""
    numbers: npt.NDArray[np.intp] = np.unique(groups, return_inverse=True)[1]
    return numbers.reshape(-1)
