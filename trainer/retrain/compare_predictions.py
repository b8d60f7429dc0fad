"""From both models' predictions on the same test photos to the figures that the gate judges by. Pure.

Photos of one group are worth less than one each: see :mod:`models.statistics.paired`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.statistics.calibration import mass_bins
from models.statistics.intervals import MISTRUST, RESAMPLES, proportion_interval
from models.statistics.paired import compare_pairs, design_effect
from trainer.retrain.config import ClassMap
from trainer.retrain.records import (
    AutomaticLabels,
    Automation,
    Calibration,
    ClassComparison,
    Comparison,
    Footprint,
    TestChange,
)
from trainer.splits.assigned import AssignedPhoto

__all__ = ["MOST_CHANGES", "ModelLabels", "ModelPredictions", "compare_calibration", "compare_predictions"]

MOST_CHANGES: Final = 200
_SEED: Final = 0
_CELLS_AT_ONCE: Final = 2_000_000

Mask = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.str_]


@dataclass(frozen=True)
class ModelLabels:
    """A model's label of each photo, by today's names, how sure it is, and whether it is right; ``(n,)`` each."""

    labels: npt.NDArray[np.str_]
    confidence: npt.NDArray[np.float64]
    right: Mask


@dataclass(frozen=True)
class ModelPredictions:
    """A model's predictions on the test photos, in their order.

    Attributes:
        name: of the model, such as ``shop@3``.
        labels: of the model; the position is the column.
        probabilities: ``float32 (n, classes)``.
        sure: whether it labels a photo without review, ``(n,)``, with the thresholds of ``precision``.
        precision: the share of these that must be right; None if it promises nothing.
        own_sure, own_precision: the same for jobs that ask for no precision.
        footprint: the model's size and speed.
    """

    name: str
    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    sure: Mask
    precision: float | None
    own_sure: Mask
    own_precision: float | None
    footprint: Footprint

    def labelled(self, today: Mapping[str, str], truths: npt.NDArray[np.str_]) -> ModelLabels:
        """The label of each photo, as it would be written today.

        The likeliest class is the one that the model would have labelled, and then gets its name of today; the
        confidence is the sum of all columns that have this name. So a merge changes no decision of the model's.

        Args:
            today: a name for each label; several may have the same.
            truths: what the photos show, ``(n,)``.
        """
        names = np.array([today[label] for label in self.labels], dtype=np.str_)
        labels = names[self.probabilities.argmax(axis=1)]
        merged = names[None, :] == labels[:, None]
        confidence = np.where(merged, self.probabilities.astype(np.float64), 0.0).sum(axis=1)
        return ModelLabels(labels, confidence, labels == truths)


def compare_predictions(
    photos: Sequence[AssignedPhoto],
    champion: ModelPredictions | None,
    challenger: ModelPredictions,
    classes: ClassMap,
    unread: int = 0,
) -> Comparison:
    """Compare both on the photos of classes that the champion knows; on all others the challenger stands alone.

    On a photo of a class that both know, a challenger that answers with a new class is wrong, and so is a champion that
    answers with a dropped class.

    Args:
        photos: the frozen test split, with their labels of today.
        champion: None for a first model.
        challenger: the model that may replace it.
        classes: what became of the champion's classes.
        unread: test photos that are left out, of both.

    Raises:
        InputError: the map contradicts itself, or names what nobody knows.
    """
    truths = np.array([photo.label for photo in photos], dtype=np.str_)
    groups = np.array([photo.group for photo in photos], dtype=np.str_)
    after = challenger.labelled({label: label for label in challenger.labels}, truths)
    alone = _alone(challenger, after, truths, groups, unread)
    if champion is None:
        return alone
    classes.check(champion.labels)
    today = {label: classes.name_of(label) for label in champion.labels}
    known = set(today.values())
    before = champion.labelled(today, truths)
    common = np.isin(truths, list(known))
    automation = _automation(challenger, after, common, groups)
    found = {
        "champion": champion.name,
        "photos": int(common.sum()),
        "challenger_accuracy": 0.0,
        "classes": {
            name: _class(truths == name, before.right, after.right, groups) if name in known else one
            for name, one in alone.classes.items()
        },
        "new_classes": tuple(label for label in challenger.labels if label not in known),
        "vanished": tuple(
            old for old, new in today.items() if new not in challenger.labels and old not in classes.drop
        ),
        "calibration": _calibration(before, after, common, groups),
        "automation": automation and _against(automation, champion, before, challenger, common, groups),
        "champion_footprint": champion.footprint,
        "changes": _changes(photos, before, after, common),
    }
    both = compare_pairs(before.right[common], after.right[common], _numbered(groups[common]))
    if both is not None:
        found |= {"champion_accuracy": both.champion, "challenger_accuracy": both.challenger}
        found |= {"won": both.won, "lost": both.lost, "points": both.points, "points_95": both.points_95}
        found |= {"smallest_points": both.smallest_points}
    return alone.model_copy(update=found)


def _alone(
    challenger: ModelPredictions, after: ModelLabels, truths: npt.NDArray[np.str_], groups: Groups, unread: int
) -> Comparison:
    """The challenger as a first model: on all photos, compared with nothing."""
    names = sorted({*challenger.labels, *truths.tolist()})
    return Comparison(
        challenger=challenger.name,
        photos=len(truths),
        challenger_accuracy=_share(after.right),
        challenger_all=_share(after.right),
        all_photos=len(truths),
        classes={name: _class_alone(after.right[truths == name]) for name in names},
        automation=_automation(challenger, after, np.ones_like(after.right), groups),
        challenger_footprint=challenger.footprint,
        unread=unread,
    )


def _share(right: Mask) -> float:
    return float(right.mean()) if len(right) else 0.0


def _numbered(groups: Groups) -> npt.NDArray[np.intp]:
    """Groups by number, from 0."""
    numbers: npt.NDArray[np.intp] = np.unique(groups, return_inverse=True)[1]
    return numbers.reshape(-1)


def _class_alone(right: Mask) -> ClassComparison:
    return ClassComparison(photos=len(right), challenger=_share(right))


def _class(chosen: Mask, champion: Mask, challenger: Mask, groups: Groups) -> ClassComparison:
    found = compare_pairs(champion[chosen], challenger[chosen], _numbered(groups[chosen]))
    return ClassComparison(**asdict(found)) if found else _class_alone(challenger[chosen])


def _automation(challenger: ModelPredictions, after: ModelLabels, common: Mask, groups: Groups) -> Automation | None:
    """How many photos the challenger labels without review, on photos of classes that both know."""
    if not common.any():
        return None
    return Automation(
        challenger_precision=challenger.precision,
        own_precision=challenger.own_precision,
        challenger=_automatic(challenger.sure & common, after.right, groups),
        own=_automatic(challenger.own_sure & common, after.right, groups),
        everywhere=_automatic(challenger.sure, after.right, groups),
    )


def _against(
    found: Automation,
    champion: ModelPredictions,
    before: ModelLabels,
    challenger: ModelPredictions,
    common: Mask,
    groups: Groups,
) -> Automation:
    """Add what the champion labels of the same photos, and the difference."""
    paired = compare_pairs(champion.sure[common], challenger.sure[common], _numbered(groups[common]))
    return found.model_copy(
        update={
            "champion_precision": champion.precision,
            "champion": _automatic(champion.sure & common, before.right, groups),
            "points": paired.points if paired else None,
            "points_95": paired.points_95 if paired else None,
        }
    )


def _automatic(chosen: Mask, right: Mask, groups: Groups) -> AutomaticLabels:
    photos, hits = int(chosen.sum()), int((chosen & right).sum())
    effect = design_effect(right[chosen].astype(np.float64), _numbered(groups[chosen])) if photos else 1.0
    return AutomaticLabels(
        photos=photos, wrong=photos - hits, right_95=proportion_interval(hits / effect, photos / effect)
    )


def _changes(
    photos: Sequence[AssignedPhoto], champion: ModelLabels, challenger: ModelLabels, common: Mask
) -> tuple[TestChange, ...]:
    """Photos that exactly one of the two labels right, the most confident errors first."""
    wrong = np.where(champion.right, challenger.confidence, champion.confidence)
    places = np.flatnonzero(common & (champion.right != challenger.right)).tolist()
    places.sort(key=lambda at: (-wrong[at], photos[at].sha256, str(photos[at].path)))
    return tuple(
        TestChange(
            image=str(photos[at].path),
            sha256=photos[at].sha256,
            truth=photos[at].label,
            champion=str(champion.labels[at]),
            champion_confidence=float(champion.confidence[at]),
            challenger=str(challenger.labels[at]),
            challenger_confidence=float(challenger.confidence[at]),
        )
        for at in places[:MOST_CHANGES]
    )


def _calibration(champion: ModelLabels, challenger: ModelLabels, common: Mask, groups: Groups) -> Calibration | None:
    both = [(one.confidence[common], one.right[common]) for one in (champion, challenger)]
    return compare_calibration(both[0], both[1], _numbered(groups[common]))


Surety = tuple[npt.NDArray[np.float64], Mask]
"""How sure a model is of its labels ``(n,)``, and whether they are right ``(n,)``."""


def compare_calibration(champion: Surety, challenger: Surety, groups: npt.NDArray[np.intp]) -> Calibration | None:
    """Expected calibration errors (15 bins that hold as many photos each), and their paired difference.

    The interval is a bootstrap over groups of photos (Efron, 1979), the same draws for both; bins stay those of the
    photos themselves. Resampling makes both errors larger, so the drawn differences are shifted to what was measured.

    Args:
        champion: on photos that both know.
        challenger: on the same.
        groups: number of each photo's group, ``(n,)``, from 0.

    Returns:
        The figures, the same each time; None without photos.
    """
    if not len(groups):
        return None
    sizes = np.bincount(groups)
    gaps = [_gaps(one, groups, len(sizes)) for one in (champion, challenger)]
    once = np.ones((1, len(sizes)), np.int64)
    before, after = (float(_errors(once, gap, sizes)[0]) for gap in gaps)
    rng, share = np.random.default_rng(_SEED), np.full(len(sizes), 1 / len(sizes))
    at_once = max(1, min(RESAMPLES, _CELLS_AT_ONCE // len(sizes)))
    parts = []
    for start in range(0, RESAMPLES, at_once):
        drawn = rng.multinomial(len(sizes), share, size=min(at_once, RESAMPLES - start))
        parts.append(_errors(drawn, gaps[1], sizes) - _errors(drawn, gaps[0], sizes))
    differences = np.concatenate(parts)
    low, high = np.quantile(differences - differences.mean() + after - before, (MISTRUST / 2, 1 - MISTRUST / 2))
    return Calibration(champion=before, challenger=after, difference_95=(float(low), float(high)))


def _gaps(surety: Surety, groups: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.float64]:
    """Confidence less hits of each group, bin by bin, ``(groups, bins)``."""
    confidence, right = surety
    bins = mass_bins(confidence)
    gaps = np.zeros((count, int(bins.max()) + 1))
    np.add.at(gaps, (groups, bins), confidence - right)
    return gaps


def _errors(
    drawn: npt.NDArray[np.int64], gaps: npt.NDArray[np.float64], sizes: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """The calibration error of each draw of groups, ``(draws,)``."""
    errors: npt.NDArray[np.float64] = np.abs(drawn @ gaps).sum(axis=1) / (drawn @ sizes)
    return errors
