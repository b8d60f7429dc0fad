"""Chooses photos to exclude: wrong labels, leaks, classes without training photos."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from models.errors import DataError
from models.photo import NONE
from models.text import brief, number_of
from trainer.check.relations import Relations, is_placeholder
from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import AssignedPhoto, Assignment, Candidate

LISTED: Final = 3
"""Notes name at most this many classes."""


def find_unlearnable(candidates: Sequence[Candidate], relations: Relations) -> tuple[dict[int, Exclusion], int]:
    """Find photos to exclude. Also count the photos that are kept although a copy has another label.

    If copies have different labels and no split, all are excluded. A photo without a split is excluded if a copy has
    a split and another label. If copies with splits have different labels, the copies in training are excluded, too.
    """
    excluded: dict[int, Exclusion] = {}
    kept = 0
    disputed = list(relations.conflicts)
    for group in relations.placeholders:
        present = [place for place in group if candidates[place].present]
        labels = len({candidates[place].label for place in present})
        if labels > 1 and is_placeholder(len(present), labels):
            message = f"{len(present)} rows with several labels show this picture: it is a placeholder."
            excluded.update({place: Exclusion(candidates[place].path, "placeholder", message) for place in present})
        else:
            disputed.append(group)
    for group in disputed:
        present = [place for place in group if candidates[place].present]
        going = _disputed(candidates, present)
        staying = set(present) - going
        kept += len(staying) if _disagree(candidates, staying) else 0
        for place in sorted(going):
            photo = candidates[place]
            other = next(candidates[p] for p in present if candidates[p].label != photo.label)
            message = (
                f"This photo has the label {photo.label}, but its copy {other.path} has the label {other.label}; "
                "remove the wrong file."
            )
            excluded[place] = Exclusion(photo.path, "label_conflict", message)
    return excluded, kept


def _disputed(candidates: Sequence[Candidate], present: Sequence[int]) -> set[int]:
    if not _disagree(candidates, present):
        return set()
    decided = [place for place in present if candidates[place].split is not None]
    undecided = set(present) - set(decided)
    if not decided:
        return undecided
    if _disagree(candidates, decided):
        return undecided | {place for place in decided if candidates[place].split is Split.TRAIN}
    return {place for place in undecided if candidates[place].label != candidates[decided[0]].label}


def _disagree(candidates: Sequence[Candidate], places: Collection[int]) -> bool:
    return len({candidates[place].label for place in places}) > 1


def count_leaks(photos: Sequence[AssignedPhoto]) -> Counter[Split]:
    """Count photos by split if their group is also in an earlier split (order: train, val, test)."""
    ranks: dict[str, int] = {}
    used = [photo for photo in photos if photo.present]
    for photo in used:
        ranks[photo.group] = min(photo.split.rank, ranks.get(photo.group, photo.split.rank))
    return Counter(photo.split for photo in used if ranks[photo.group] < photo.split.rank)


def drop_training_twins(
    photos: Sequence[AssignedPhoto], earlier_groups: Collection[str] = ()
) -> tuple[list[AssignedPhoto], list[Exclusion]]:
    """Drop photos whose group also has photos in a later split (train, val, test).

    Dropped photos of ``earlier_groups`` are returned with ``present`` false.
    """
    held_out: defaultdict[str, dict[Split, AssignedPhoto]] = defaultdict(dict)
    for photo in photos:
        if photo.present and photo.split is not Split.TRAIN:
            held_out[photo.group].setdefault(photo.split, photo)
    dropped = {}
    for place, photo in enumerate(photos):
        twins = held_out.get(photo.group, {})
        twin = twins.get(Split.TEST) or twins.get(Split.VAL)
        if twin is not None and photo.present and photo.split not in {Split.TEST, twin.split}:
            dropped[place] = Exclusion(
                photo.path, "leak", f"Another photo of its group is in {twin.split}: {twin.path}"
            )
    return _take_out(photos, dropped, earlier_groups), list(dropped.values())


def _take_out(
    photos: Sequence[AssignedPhoto], places: Collection[int], earlier_groups: Collection[str]
) -> list[AssignedPhoto]:
    return [
        replace(photo, present=False) if place in places else photo
        for place, photo in enumerate(photos)
        if place not in places or photo.group in earlier_groups
    ]


def keep_trained(photos: Sequence[AssignedPhoto], earlier_groups: Collection[str] = ()) -> Assignment:
    """Exclude photos of classes without training photos. Notes name the classes without validation or test photos.

    Raises DataError unless two classes and a validation photo remain. Excluded photos of ``earlier_groups`` are
    kept in the result, with ``present`` false.
    """
    products = [photo for photo in photos if photo.present and photo.label != NONE]
    trained = {photo.label for photo in products if photo.split is Split.TRAIN}
    untrained = {
        place: Exclusion(photo.path, "class_not_trained", f"{brief(photo.label)} has no training photos")
        for place, photo in enumerate(photos)
        if photo.present and photo.label not in {*trained, NONE}
    }
    lost = Counter(photos[place].label for place in untrained)
    kept = _take_out(photos, untrained, earlier_groups)
    if len(trained) < 2:  # noqa: PLR2004
        actual = f"of {brief(next(iter(trained)))} only" if trained else "none"
        others = f" of {', '.join(map(brief, sorted(lost)))}" if lost else ""
        msg = f"Expected training photos of at least two classes, found {actual}; add training photos{others}."
        raise DataError(msg)
    if not any(photo.split is Split.VAL and photo.label in trained for photo in products):
        msg = (
            f"Expected validation photos of the trained classes ({', '.join(map(brief, sorted(trained)))}), found "
            "none; add validation photos, or more pictures or products of a class."
        )
        raise DataError(msg)
    notes = [
        f"{brief(label)} is left out: it has {number_of(n, 'photo')}, but no training photo"
        for label, n in sorted(lost.items())
    ]
    return Assignment(kept, list(untrained.values()), (*notes, *_absences(kept)))


def _absences(photos: Sequence[AssignedPhoto]) -> list[str]:
    by_class: defaultdict[str, list[AssignedPhoto]] = defaultdict(list)
    for photo in photos:
        if photo.present and photo.label != NONE:
            by_class[photo.label].append(photo)
    notes = []
    for split in (Split.VAL, Split.TEST):
        lacking = [label for label in sorted(by_class) if all(photo.split is not split for photo in by_class[label])]
        if len(lacking) == len(by_class):
            notes.append(f"no {split.word} photos")
        elif lacking:
            shown = [f"{brief(label)} ({_size(by_class[label])})" for label in lacking[:LISTED]]
            more = f" and {len(lacking) - LISTED} more" if len(lacking) > LISTED else ""
            notes.append(f"no {split.word} photos of {', '.join(shown)}{more}")
    return notes


def _size(photos: Sequence[AssignedPhoto]) -> str:
    groups = number_of(len({photo.group for photo in photos}), "picture or product", "pictures or products")
    return f"{number_of(len(photos), 'photo')} of {groups}"
