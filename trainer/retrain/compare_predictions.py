"""Compares both models' predictions on the same test photos.

They are all figures of the gate, except size, speed and the catalogue.

Photos of one product or picture are not independent; see :mod:`models.statistics.intervals`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.statistics.calibration import mass_bins
from models.statistics.intervals import MISTRUST, RESAMPLES, compare_pairs, design_effect, proportion_interval
from trainer.retrain.config import ClassMap
from trainer.retrain.cycle_folder import (
    AutomaticLabels,
    Automation,
    Brier,
    Calibration,
    Comparison,
    Footprint,
    PairedAccuracy,
    TestChange,
)
from trainer.splits.assigned import AssignedPhoto, group_numbers

MOST_CHANGES: Final = 200
_SEED: Final = 0

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.intp]
"""The index of each photo's group, ``(n,)``."""


@dataclass(frozen=True)
class ModelPredictions:
    """A model's predictions, in the order of the test photos.

    Attributes:
        labels: the classes of the columns of ``probabilities``.
        probabilities: ``float32 (n, classes)``.
        sure: ``(n,)``, whether the model labels each photo without review at ``precision``.
        own_precision: the model's default precision. own_sure: like ``sure``, at this precision.
    """

    name: str
    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    sure: Mask
    precision: float | None
    own_sure: Mask
    own_precision: float | None
    footprint: Footprint

    def answers(self, today: Mapping[str, str], truths: npt.NDArray[np.str_]) -> "ModelAnswers":
        """The current name of each photo's most likely class.

        The confidence is the sum over all classes with this name. ``today``: label → current name. ``truths`` are the
        true labels, ``(n,)``.
        """
        names, places = np.unique([today[label] for label in self.labels], return_inverse=True)
        merged = self.probabilities.astype(np.float64) @ np.eye(len(names))[places]
        chosen = places[self.probabilities.argmax(axis=1)]
        brier = (merged**2).sum(axis=1) + 1 - 2 * np.where(names == truths[:, None], merged, 0.0).sum(axis=1)
        return ModelAnswers(self, names[chosen], merged[np.arange(len(truths)), chosen], names[chosen] == truths, brier)


@dataclass(frozen=True)
class ModelAnswers:
    """A model's label for each photo, as a current class name. All arrays are ``(n,)``.

    Attributes:
        confidence: the probability of the label.
        brier: squared distance between the probabilities and the one-hot true class, from 0 to 2.
    """

    model: ModelPredictions
    labels: npt.NDArray[np.str_]
    confidence: Floats
    right: Mask
    brier: Floats


def compare_predictions(
    photos: Sequence[AssignedPhoto],
    champion: ModelPredictions | None,
    challenger: ModelPredictions,
    classes: ClassMap,
    unread: int = 0,
    chosen_on: Collection[str] | None = None,
) -> Comparison:
    """Compare both models on photos of the champion's classes. Photos of new classes test only the challenger.

    On a photo of a shared class, predicting a new or dropped class is wrong. ``unread`` is the number of test photos
    that are left out. ``chosen_on``: SHA-256 of each photo that was used to choose the champion, or None if unknown.
    """
    truths = np.array([photo.label for photo in photos], dtype=np.str_)
    after = challenger.answers({label: label for label in challenger.labels}, truths)
    alone = _challenger_alone(after, truths, group_numbers(photos), unread)
    if champion is None:
        return alone
    classes.check(champion.labels)
    return alone.model_copy(update=_against(champion, photos, truths, after, classes, chosen_on, alone.classes))


def _challenger_alone(after: ModelAnswers, truths: npt.NDArray[np.str_], groups: Groups, unread: int) -> Comparison:
    challenger, names = after.model, sorted({*after.model.labels, *truths.tolist()})
    return Comparison(
        challenger=challenger.name,
        photos=len(truths),
        challenger_accuracy=_share(after.right),
        challenger_all=_share(after.right),
        all_photos=len(truths),
        classes={name: _alone(truths == name, after) for name in names},
        automation=_automation(None, after, np.ones_like(after.right), groups),
        challenger_footprint=challenger.footprint,
        unread=unread,
    )


def _against(
    champion: ModelPredictions,
    photos: Sequence[AssignedPhoto],
    truths: npt.NDArray[np.str_],
    after: ModelAnswers,
    classes: ClassMap,
    chosen_on: Collection[str] | None,
    alone: Mapping[str, PairedAccuracy],
) -> dict[str, Any]:
    groups, labels = group_numbers(photos), after.model.labels
    today = {label: classes.name_of(label) for label in champion.labels}
    known = set(today.values())
    before, common = champion.answers(today, truths), np.isin(truths, list(known))
    newer = common & np.array([photo.sha256 not in (chosen_on or ()) for photo in photos], np.bool_)
    whole = compare_pairs(before.right[common], after.right[common], groups[common])
    figures = asdict(whole) if whole else {"photos": 0, "champion": None, "challenger": 0.0}
    accuracies = {f"{one}_accuracy": figures.pop(one) for one in ("champion", "challenger")}
    return {
        **figures,
        **accuracies,
        "champion": champion.name,
        "brier": compare_brier(before.brier[common], after.brier[common], groups[common]),
        "newer": None if chosen_on is None else _pairs(newer, before, after, groups),
        "classes": {**alone, **{name: _pairs(truths == name, before, after, groups) for name in known & {*alone}}},
        "new_classes": tuple(label for label in labels if label not in known),
        "vanished": tuple(old for old, new in today.items() if new not in labels and old not in classes.drop),
        "calibration": compare_calibration(_surety(before, common), _surety(after, common), groups[common]),
        "automation": _automation(before, after, common, groups),
        "champion_footprint": champion.footprint,
        "changes": _changes(photos, before, after, common),
    }


def _share(right: Mask) -> float:
    return float(right.mean()) if len(right) else 0.0


def _alone(chosen: Mask, after: ModelAnswers) -> PairedAccuracy:
    return PairedAccuracy(photos=int(chosen.sum()), challenger=_share(after.right[chosen]))


def _pairs(chosen: Mask, before: ModelAnswers, after: ModelAnswers, groups: Groups) -> PairedAccuracy:
    paired = compare_pairs(before.right[chosen], after.right[chosen], groups[chosen])
    return PairedAccuracy(**asdict(paired)) if paired else _alone(chosen, after)


def compare_brier(champion: Floats, challenger: Floats, groups: Groups) -> Brier | None:
    """A paired z-test of two models' Brier scores ``(n,)``. Returns None for fewer than two photos.

    The test is more sensitive than a test of accuracy, because it uses the probabilities of all photos.
    """
    photos, gained = len(groups), champion - challenger
    if photos < 2:  # noqa: PLR2004 - a standard deviation needs two values
        return None
    spread = float(gained.std(ddof=1)) * np.sqrt(design_effect(gained, groups) / photos)
    z = float(gained.mean()) / spread if spread else 0.0
    return Brier(champion=float(champion.mean()), challenger=float(challenger.mean()), z=z)


def _automation(before: ModelAnswers | None, after: ModelAnswers, common: Mask, groups: Groups) -> Automation | None:
    challenger, photos = after.model, np.flatnonzero(common)
    if not len(photos):
        return None
    automation = Automation(
        challenger_precision=challenger.precision,
        own_precision=challenger.own_precision,
        challenger=_automatic(challenger.sure & common, after.right, groups),
        own=_automatic(challenger.own_sure & common, after.right, groups),
        everywhere=_automatic(challenger.sure, after.right, groups),
    )
    if before is None:
        return automation
    champion = _automatic(before.model.sure & common, before.right, groups)
    surest = np.zeros_like(common)
    surest[photos[np.argsort(-after.confidence[photos], kind="stable")[: champion.photos]]] = True
    paired = compare_pairs(before.model.sure[common], challenger.sure[common], groups[common])
    return automation.model_copy(
        update={
            "champion_precision": before.model.precision,
            "champion": champion,
            "surest": _automatic(surest, after.right, groups),
            "points": paired and paired.points,
            "points_95": paired and paired.points_95,
        }
    )


def _automatic(chosen: Mask, right: Mask, groups: Groups) -> AutomaticLabels:
    photos, hits = int(chosen.sum()), int((chosen & right).sum())
    effect = design_effect(right[chosen].astype(np.float64), groups[chosen]) if photos else 1.0
    return AutomaticLabels(
        photos=photos, wrong=photos - hits, right_95=proportion_interval(hits / effect, photos / effect)
    )


def _changes(
    photos: Sequence[AssignedPhoto], champion: ModelAnswers, challenger: ModelAnswers, common: Mask
) -> tuple[TestChange, ...]:
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


Surety = tuple[Floats, Mask]
"""Two arrays ``(n,)``: a model's confidence in each label, and whether the label is right."""


def _surety(answers: ModelAnswers, common: Mask) -> Surety:
    return answers.confidence[common], answers.right[common]


def compare_calibration(champion: Surety, challenger: Surety, groups: Groups) -> Calibration | None:
    """Expected calibration errors (15 bins of equal size), and their paired difference.

    The interval is a bootstrap over groups of photos (Efron, 1979), with the same samples for both models. Resampling
    increases both errors, so the interval is centred on the measured difference.
    """
    if not len(groups):
        return None
    groups = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(groups)
    gaps = [_gaps(one, groups) for one in (champion, challenger)]

    def errors(drawn: npt.NDArray[np.int64]) -> Floats:
        """``drawn`` is the weight of each group."""
        return np.array([np.abs(drawn @ gap).sum() / (drawn @ sizes) for gap in gaps])

    rng, count = np.random.default_rng(_SEED), len(sizes)
    draws = (np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(RESAMPLES))
    differences = np.array([np.diff(errors(drawn))[0] for drawn in draws])
    before, after = errors(np.ones_like(sizes)).tolist()
    low, high = np.quantile(differences - differences.mean() + after - before, (MISTRUST / 2, 1 - MISTRUST / 2))
    return Calibration(champion=before, challenger=after, difference_95=(float(low), float(high)))


def _gaps(surety: Surety, groups: Groups) -> Floats:
    confidence, right = surety
    bins = mass_bins(confidence)
    gaps = np.zeros((groups.max() + 1, bins.max() + 1))
    np.add.at(gaps, (groups, bins), confidence - right)
    return gaps
