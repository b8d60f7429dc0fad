"""From what champion and challenger say of the same test photos to the figures that a gate judges by. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from models.statistics.intervals import proportion_interval
from models.statistics.paired import Paired, compare_pairs, design_effect
from trainer.retrain.calibration import Surety, compare_calibration
from trainer.retrain.config import ClassMap
from trainer.retrain.records import (
    Automatic,
    Automation,
    Calibration,
    ClassComparison,
    Comparison,
    Footprint,
    TestChange,
)
from trainer.splits.assigned import AssignedPhoto

__all__ = [
    "MOST_CHANGES",
    "Answers",
    "ClassChange",
    "Contestant",
    "Judged",
    "Said",
    "change_classes",
    "check_class_map",
    "compare_answers",
    "compare_automation",
]


@dataclass(frozen=True)
class ClassChange:
    """The champion's classes against the challenger's.

    Attributes:
        today: the champion's name of each class → today's; several with one name of today are merged.
        new: names that only the challenger knows.
        vanished: names of the champion that the challenger does not know, and whose end nobody has asked for.
    """

    today: Mapping[str, str]
    new: tuple[str, ...]
    vanished: tuple[str, ...]

    @property
    def known(self) -> frozenset[str]:
        """Names of today that the champion knows."""
        return frozenset(self.today.values())


def change_classes(champion: Sequence[str], challenger: Sequence[str], classes: ClassMap) -> ClassChange:
    """Find the classes that both know, under the names of today.

    Args:
        champion: its labels.
        challenger: its labels.
        classes: what a person says became of the champion's.

    Raises:
        InputError: the map contradicts itself, or names what nobody knows.
    """
    check_class_map(classes, champion)
    today = {label: classes.rename.get(label, label) for label in champion}
    known = set(today.values())
    return ClassChange(
        today=today,
        new=tuple(label for label in challenger if label not in known),
        vanished=tuple(old for old, new in today.items() if new not in challenger and old not in classes.drop),
    )


def check_class_map(classes: ClassMap, champion: Sequence[str]) -> None:
    """Check a map against the champion's labels; cheap, so that nobody trains for hours before they hear of a typo.

    A map stays in its file when the renamed model is the champion, since photos may still lie in folders of the old
    name. So a rename whose new name the champion knows is taken for done, and so is a drop of what it does not know: a
    class that such a typo leaves behind is refused as vanished.

    Raises:
        InputError: a name is renamed twice over, or both renamed and dropped; or the champion knows neither the old
            name of a class nor its new one.
    """
    renamed = {old: new for old, new in classes.rename.items() if old != new}
    for old, new in renamed.items():
        if new in renamed:
            msg = f"Expected today's name for {old} in [classes], got {new}, which becomes {renamed[new]}; name that."
            raise InputError(msg)
        dropped = [name for name in (old, new) if name in classes.drop]
        if dropped:
            msg = f"Expected {dropped[0]} renamed or dropped in [classes], got both ({old} → {new}); do without one."
            raise InputError(msg)
    known = {renamed.get(label, label) for label in champion} | set(champion)
    for old, new in classes.rename.items():
        if old not in known and new not in known:
            names = ", ".join(sorted(champion))
            msg = f"Expected a class of the champion in [classes], got {old} → {new}; it knows {names}."
            raise InputError(msg)


Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Said:
    """A label a photo.

    Attributes:
        labels: names of today, ``(n,)``.
        confidence: of each, ``float64 (n,)``.
    """

    labels: npt.NDArray[np.str_]
    confidence: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """A model's probabilities, and what it makes of them.

    Attributes:
        labels: of the model; the position is the column.
        probabilities: ``float32 (n, classes)``.
        sure: whether it labels a photo by itself, without a person, ``(n,)``: with the thresholds of ``precision``.
        precision: how often it is to be right where it does so; none where it promises nothing.
        own_sure: the same with those that rule where a job asks for none, ``(n,)``.
        own_precision: and what these promise.
    """

    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    sure: npt.NDArray[np.bool_]
    precision: float | None
    own_sure: npt.NDArray[np.bool_]
    own_precision: float | None

    def said(self, today: Mapping[str, str]) -> Said:
        """The label of each photo, as it would be written today.

        The likeliest class is the one that the model would have labelled, and then gets its name of today; the
        confidence is the sum of all columns that have this name. So a merge changes no decision of the model's.

        Args:
            today: a name for each label; several may have the same.
        """
        names = np.array([today[label] for label in self.labels], dtype=np.str_)
        labels = names[self.probabilities.argmax(axis=1)]
        merged = names[None, :] == labels[:, None]
        return Said(labels, np.where(merged, self.probabilities.astype(np.float64), 0.0).sum(axis=1))


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


MOST_CHANGES: Final = 200


@dataclass(frozen=True)
class Contestant:
    """A model in a comparison.

    Attributes:
        name: as people say it.
        answers: what it says of the test photos, in their order.
        footprint: its size and speed.
    """

    name: str
    answers: Answers
    footprint: Footprint


def compare_answers(
    photos: Sequence[AssignedPhoto],
    champion: Contestant | None,
    challenger: Contestant,
    classes: ClassMap,
    unread: int = 0,
) -> Comparison:
    """Compare both on the photos of classes that the champion knows; on all others the challenger stands alone.

    A challenger that calls a photo of a class that both know by the name of a new class is wrong, and a champion that
    says the name of a dropped class is so, too. Intervals count photos of one group as far as they are worth it: see
    :mod:`models.statistics.paired`.

    Args:
        photos: the frozen test split, with their labels of today.
        champion: none for a first model.
        challenger: that may replace it.
        classes: what became of the champion's classes.
        unread: test photos that are left out, of both.

    Raises:
        InputError: the map contradicts itself, or names what nobody knows.
    """
    ends = challenger.answers.said({label: label for label in challenger.answers.labels})
    if champion is None:
        return _alone(photos, challenger, ends, unread)
    change = change_classes(champion.answers.labels, challenger.answers.labels, classes)
    match = _Match(photos, champion.answers.said(change.today), ends, change)
    both = match.pair(match.common)
    return Comparison(
        champion=champion.name,
        challenger=challenger.name,
        photos=int(match.common.sum()),
        champion_accuracy=both.champion if both else None,
        challenger_accuracy=both.challenger if both else 0.0,
        won=both.won if both else 0,
        lost=both.lost if both else 0,
        points=both.points if both else None,
        points_95=both.points_95 if both else None,
        smallest_points=both.smallest_points if both else None,
        challenger_all=_share(match.challenger_right),
        all_photos=len(photos),
        classes=match.classes(challenger.answers.labels),
        new_classes=change.new,
        vanished=change.vanished,
        calibration=match.calibration(),
        automation=match.automation(champion.answers, challenger.answers),
        champion_footprint=champion.footprint,
        challenger_footprint=challenger.footprint,
        changes=match.changes(),
        unread=unread,
    )


def _alone(photos: Sequence[AssignedPhoto], challenger: Contestant, said: Said, unread: int) -> Comparison:
    truths = _truths(photos)
    right = said.labels == truths
    return Comparison(
        champion=None,
        challenger=challenger.name,
        photos=len(photos),
        champion_accuracy=None,
        challenger_accuracy=_share(right),
        won=0,
        lost=0,
        points=None,
        points_95=None,
        smallest_points=None,
        challenger_all=_share(right),
        all_photos=len(photos),
        classes={name: _own(right[truths == name]) for name in sorted({*challenger.answers.labels, *truths.tolist()})},
        automation=compare_automation(None, Judged(challenger.answers, right), np.ones_like(right), _groups(photos)),
        challenger_footprint=challenger.footprint,
        unread=unread,
    )


def _truths(photos: Sequence[AssignedPhoto]) -> npt.NDArray[np.str_]:
    return np.array([photo.label for photo in photos], dtype=np.str_)


def _groups(photos: Sequence[AssignedPhoto]) -> npt.NDArray[np.str_]:
    return np.array([photo.group for photo in photos], dtype=np.str_)


def _share(right: npt.NDArray[np.bool_]) -> float:
    return float(right.mean()) if len(right) else 0.0


def _own(right: npt.NDArray[np.bool_]) -> ClassComparison:
    """A class on which the challenger has nothing to be compared with."""
    return ClassComparison(
        photos=len(right), champion=None, challenger=_share(right), won=0, lost=0, points=None, points_95=None
    )


class _Match:
    """Both models' labels of the test photos.

    Attributes:
        common: whether a photo is of a class that the champion knows, ``(n,)``.
        champion_right, challenger_right: whether each labels a photo right, ``(n,)``.
    """

    def __init__(self, photos: Sequence[AssignedPhoto], champion: Said, challenger: Said, change: ClassChange) -> None:
        self._photos = photos
        self._champion, self._challenger = champion, challenger
        self._change = change
        self._truths = _truths(photos)
        self._groups = _groups(photos)
        self.common = np.array([photo.label in change.known for photo in photos], dtype=np.bool_)
        self.champion_right = champion.labels == self._truths
        self.challenger_right = challenger.labels == self._truths

    def pair(self, of: npt.NDArray[np.bool_]) -> Paired | None:
        """Both on some of the photos."""
        return compare_pairs(self.champion_right[of], self.challenger_right[of], self._group_numbers(of))

    def classes(self, names: Sequence[str]) -> dict[str, ClassComparison]:
        """Every class of the challenger, and of a photo."""
        return {name: self._class(name) for name in sorted({*names, *self._truths.tolist()})}

    def _class(self, name: str) -> ClassComparison:
        of = self._truths == name
        found = self.pair(of) if name in self._change.known else None
        if found is None:
            return _own(self.challenger_right[of])
        return ClassComparison(
            photos=found.photos,
            champion=found.champion,
            challenger=found.challenger,
            won=found.won,
            lost=found.lost,
            points=found.points,
            points_95=found.points_95,
        )

    def calibration(self) -> Calibration | None:
        """Both on the photos that both know."""
        of = self.common
        return compare_calibration(
            Surety(self._champion.confidence[of], self.champion_right[of]),
            Surety(self._challenger.confidence[of], self.challenger_right[of]),
            self._group_numbers(of),
        )

    def automation(self, champion: Answers, challenger: Answers) -> Automation | None:
        """What both label without a person."""
        before, after = Judged(champion, self.champion_right), Judged(challenger, self.challenger_right)
        return compare_automation(before, after, self.common, self._groups)

    def changes(self) -> tuple[TestChange, ...]:
        """Photos that one of both labels right, the surest errors first."""
        places = np.flatnonzero(self.common & (self.champion_right != self.challenger_right)).tolist()
        places.sort(key=lambda at: (-self._surety_of_error(at), self._photos[at].sha256, str(self._photos[at].path)))
        return tuple(map(self._changed, places[:MOST_CHANGES]))

    def _surety_of_error(self, at: int) -> float:
        wrong = self._challenger if self.champion_right[at] else self._champion
        return float(wrong.confidence[at])

    def _changed(self, at: int) -> TestChange:
        return TestChange(
            image=str(self._photos[at].path),
            sha256=self._photos[at].sha256,
            truth=self._photos[at].label,
            champion=str(self._champion.labels[at]),
            champion_confidence=float(self._champion.confidence[at]),
            challenger=str(self._challenger.labels[at]),
            challenger_confidence=float(self._challenger.confidence[at]),
        )

    def _group_numbers(self, of: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        numbers: npt.NDArray[np.intp] = np.unique(self._groups[of], return_inverse=True)[1]
        return numbers.reshape(-1)
