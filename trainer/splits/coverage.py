"""Which classes are in which split: what is not trained on is set aside, and what is missing is said."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Final

from models.errors import DataError
from models.text import number_of
from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import AssignedPhoto, Assignment, take_out

__all__ = ["keep_trained"]

LISTED: Final = 3
"""More classes than these share a note."""


def keep_trained(photos: Sequence[AssignedPhoto], earlier_groups: Collection[str] = ()) -> Assignment:
    """Set aside the photos of classes that have none in training, and say which classes validation and test lack.

    Args:
        photos: with their splits; those that are not present count for nothing.
        earlier_groups: the groups of an earlier training; what is set aside of them keeps its row, as not present.

    Raises:
        DataError: fewer than two classes can be trained on, or no validation photo is left.
    """
    trained = {photo.label for photo in photos if photo.present and photo.split is Split.TRAIN}
    untrained = {
        place: Exclusion(photo.path, "class_not_trained", f"No photo of {photo.label} is for training")
        for place, photo in enumerate(photos)
        if photo.present and photo.label not in trained
    }
    lost = Counter(photos[place].label for place in untrained)
    kept = take_out(photos, untrained, earlier_groups)
    _check(kept, trained, lost)
    notes = [
        f"{label} is not learned: none of its {number_of(n, 'photo')} is for training"
        for label, n in sorted(lost.items())
    ]
    return Assignment(kept, list(untrained.values()), (*notes, *_absences(kept)))


def _check(photos: Sequence[AssignedPhoto], trained: Collection[str], lost: Counter[str]) -> None:
    if len(trained) < 2:  # noqa: PLR2004
        found = f"of {next(iter(trained))} only" if trained else "none"
        others = f" of {', '.join(sorted(lost))}" if lost else ""
        msg = f"Expected training photos of at least two classes, found {found}; add training photos{others}."
        raise DataError(msg)
    if not any(photo.present and photo.split is Split.VAL for photo in photos):
        msg = (
            f"Expected validation photos, found none and none to spare: each of {', '.join(sorted(trained))} has one "
            f"picture or product in training, or only such as are in another split, too; add photos."
        )
        raise DataError(msg)


def _absences(photos: Sequence[AssignedPhoto]) -> list[str]:
    sizes: Counter[str] = Counter()
    groups: defaultdict[str, set[str]] = defaultdict(set)
    splits: defaultdict[str, set[Split]] = defaultdict(set)
    for photo in photos:
        if photo.present:
            sizes[photo.label] += 1
            groups[photo.label].add(photo.group)
            splits[photo.label].add(photo.split)
    notes = []
    for split in (Split.VAL, Split.TEST):
        lacking = [label for label in sorted(sizes) if split not in splits[label]]
        why = {label: _reason(sizes[label], len(groups[label]), split) for label in lacking}
        notes.extend(_absence(split.word, why, len(sizes)))
    return notes


def _absence(word: str, why: dict[str, str], classes: int) -> list[str]:
    if len(why) == classes:
        return [f"no {word} photos of any class"]
    if len(why) > LISTED:
        listed = ", ".join(list(why)[:LISTED])
        return [f"no {word} photos of {len(why)} classes: {listed} and {len(why) - LISTED} more"]
    return [f"no {word} photos of {label}: {reason}" for label, reason in why.items()]


def _reason(size: int, groups: int, split: Split) -> str:
    """Why a class is not in a split: one of its groups goes to training, a second to validation."""
    if groups > list(Split).index(split):
        return f"its {number_of(size, 'photo')} are in other splits"
    if size == groups:
        return "it has one photo" if size == 1 else "it has two photos"
    return f"its {size} photos show {'one picture or product' if groups == 1 else 'two pictures or products'}"
