"""Which classes are in which split: what is not trained on is set aside, and what is missing is said."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.errors import DataError
from models.text import number_of
from trainer.check.relations import Relations, is_placeholder
from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import Applicant, AssignedPhoto, Assignment, take_out

__all__ = ["Unlearnable", "count_leaks", "drop_training_twins", "find_unlearnable", "keep_trained"]


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


def count_leaks(photos: Sequence[AssignedPhoto]) -> Counter[Split]:
    """How many photos of each split are of a group that more is learned from."""
    ranks: dict[str, int] = {}
    used = [photo for photo in photos if photo.present]
    for photo in used:
        ranks[photo.group] = min(photo.split.rank, ranks.get(photo.group, photo.split.rank))
    return Counter(photo.split for photo in used if ranks[photo.group] < photo.split.rank)


def drop_training_twins(
    photos: Sequence[AssignedPhoto], earlier_groups: Collection[str] = ()
) -> tuple[list[AssignedPhoto], list[Exclusion]]:
    """Of each group in several splits, keep what least is learned from: test photos, else validation photos.

    Args:
        photos: with their splits; those that are not present neither leak nor go.
        earlier_groups: the groups of an earlier training; what is dropped of them keeps its row, as not present.

    Returns:
        The photos that are left, and those dropped.
    """
    held_out: defaultdict[str, dict[Split, AssignedPhoto]] = defaultdict(dict)
    for photo in photos:
        if photo.present and photo.split is not Split.TRAIN:
            held_out[photo.group].setdefault(photo.split, photo)
    dropped = {}
    for place, photo in enumerate(photos):
        twin = _twin(photo, held_out.get(photo.group, {}))
        if twin is not None:
            dropped[place] = Exclusion(photo.path, "leak", f"It belongs with {twin.path} in {twin.split}, which stays")
    return take_out(photos, dropped, earlier_groups), list(dropped.values())


def _twin(photo: AssignedPhoto, held_out: Mapping[Split, AssignedPhoto]) -> AssignedPhoto | None:
    """The photo that this one makes way for."""
    stays = held_out.get(Split.TEST) or held_out.get(Split.VAL)
    if stays is None or not photo.present or photo.split in {Split.TEST, stays.split}:
        return None
    return stays


@dataclass(frozen=True)
class Unlearnable:
    """What must not be learned from.

    Attributes:
        excluded: place → why.
        kept: photos under two labels that stay, since they are in validation or test already.
    """

    excluded: dict[int, Exclusion]
    kept: int


def find_unlearnable(applicants: Sequence[Applicant], relations: Relations) -> Unlearnable:
    """Say which photos cannot be learned from.

    A picture under two labels goes altogether while its split is still to be decided. Where some of its photos have a
    split, and agree, the others go; where those disagree, the training photos go.

    Args:
        applicants: photos, those of an earlier training too.
        relations: of these photos; its places are theirs.
    """
    excluded: dict[int, Exclusion] = {}
    kept = 0
    disputed = list(relations.conflicts)
    for group in relations.placeholders:
        present = [place for place in group if applicants[place].present]
        labels = len({applicants[place].label for place in present})
        if labels > 1 and is_placeholder(len(present), labels):
            excluded.update(_placeholders(applicants, present))
        else:
            disputed.append(group)
    for group in disputed:
        present = [place for place in group if applicants[place].present]
        going = _disputed(applicants, present)
        kept += sum(place not in going for place in present) if _disagree(applicants, set(present) - going) else 0
        for place in sorted(going):
            other = next(p for p in present if applicants[p].label != applicants[place].label)
            excluded[place] = _conflict(applicants[place], applicants[other])
    return Unlearnable(excluded, kept)


def _placeholders(applicants: Sequence[Applicant], group: Sequence[int]) -> dict[int, Exclusion]:
    message = f"One picture under {len(group)} rows of several labels: it shows no product."
    return {place: Exclusion(applicants[place].path, "placeholder", message) for place in group}


def _disputed(applicants: Sequence[Applicant], present: Sequence[int]) -> set[int]:
    """The photos of one picture that go."""
    if not _disagree(applicants, present):
        return set()
    decided = [place for place in present if applicants[place].split is not None]
    undecided = set(present) - set(decided)
    if not decided:
        return undecided
    if _disagree(applicants, decided):
        return undecided | {place for place in decided if applicants[place].split is Split.TRAIN}
    label = applicants[decided[0]].label
    return {place for place in undecided if applicants[place].label != label}


def _disagree(applicants: Sequence[Applicant], places: Sequence[int] | set[int]) -> bool:
    return len({applicants[place].label for place in places}) > 1


def _conflict(photo: Applicant, other: Applicant) -> Exclusion:
    message = f"The same picture is {photo.label} here and {other.label} at {other.path}; remove the wrong one."
    return Exclusion(photo.path, "label_conflict", message)
