"""Labelled photos with what reviewers agree on, and with the names that classes have now. Reads nothing."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.corrections.settle import Agreed, Conflict, Settled
from trainer.corrections.word import Word, word_cells
from trainer.data.dataset import LabeledPhoto
from trainer.data.path_cell import path_cell
from trainer.retrain.config import ClassMap
from trainer.retrain.records import Correction

__all__ = ["Corrected", "HashedPhoto", "apply_corrections", "relabeled", "rename_words", "renamed"]


@dataclass(frozen=True)
class HashedPhoto:
    """A labelled photo, and the SHA-256 of its file; empty where no file can be read."""

    photo: LabeledPhoto
    sha256: str


@dataclass(frozen=True)
class Corrected:
    """What is learned from.

    Attributes:
        photos: with today's labels.
        corrections: what became of each word that counts.
        dropped: photos of classes that are labelled no more, by class.
    """

    photos: tuple[HashedPhoto, ...]
    corrections: tuple[Correction, ...]
    dropped: dict[str, int]


def renamed(label: str, classes: ClassMap) -> str:
    """What a class is called now; one that is dropped keeps its name, so that it can be told."""
    return label if label in classes.drop else classes.rename.get(label, label)


def relabeled(photo: LabeledPhoto, label: str) -> LabeledPhoto:
    """The photo under a label; most have it already, and there may be a million."""
    return photo if photo.label == label else replace(photo, label=label)


def rename_words(words: Sequence[Word], classes: ClassMap) -> list[Word]:
    """Words with today's names of classes: reviewers who said ``boots`` and ``shoes`` agree once both are one."""
    return [replace(word, label=renamed(word.label, classes)) for word in words]


def apply_corrections(
    photos: Sequence[HashedPhoto], settled: Settled, elsewhere: Mapping[Path, str], classes: ClassMap
) -> Corrected:
    """Give photos the labels that reviewers agree on, and add those that only reviewers have labelled.

    Args:
        photos: of the data.
        settled: words whose labels are today's names.
        elsewhere: path → SHA-256 of the files that words name and the data do not have.
        classes: what became of old ones.
    """
    by_sha256 = _by_sha256(photos)
    said = {agreed.words[0].sha256: agreed.label for agreed in settled.agreed if agreed.words[0].sha256}
    places = {agreed: _place(agreed, elsewhere) for agreed in settled.agreed if agreed.words[0].sha256 not in by_sha256}
    added = [
        HashedPhoto(LabeledPhoto(place, agreed.label, open=True), agreed.words[0].sha256)
        for agreed, place in places.items()
        if place is not None
    ]
    labelled = [
        HashedPhoto(relabeled(one.photo, said.get(one.sha256) or renamed(one.photo.label, classes)), one.sha256)
        for one in photos
    ]
    together = [*labelled, *sorted(added, key=lambda one: one.photo.path)]
    corrections = [_of_agreed(agreed, by_sha256, places.get(agreed), classes) for agreed in settled.agreed]
    conflicts = [correction for conflict in settled.conflicts for correction in _of_conflict(conflict, by_sha256)]
    return Corrected(
        tuple(one for one in together if one.photo.label not in classes.drop),
        (*corrections, *conflicts),
        dict(sorted(Counter(one.photo.label for one in together if one.photo.label in classes.drop).items())),
    )


def _by_sha256(photos: Sequence[HashedPhoto]) -> dict[str, list[LabeledPhoto]]:
    found: defaultdict[str, list[LabeledPhoto]] = defaultdict(list)
    for one in photos:
        if one.sha256:
            found[one.sha256].append(one.photo)
    return dict(found)


def _place(agreed: Agreed, elsewhere: Mapping[Path, str]) -> Path | None:
    """Where the photo is, as the latest word that still holds says."""
    paths = [word.path for word in agreed.words if word.path is not None]
    return next((path for path in paths if elsewhere.get(path) == agreed.words[0].sha256 != ""), None)


def _of_agreed(
    agreed: Agreed, by_sha256: Mapping[str, Sequence[LabeledPhoto]], place: Path | None, classes: ClassMap
) -> Correction:
    word, reviewers = agreed.words[0], ", ".join(agreed.reviewers)
    photos = by_sha256.get(word.sha256, [])
    if not photos:
        outcome = "not_found" if place is None else "dropped" if agreed.label in classes.drop else "added"
        return Correction(image=_name(word), label=agreed.label, was=None, reviewer=reviewers, outcome=outcome)
    names = [renamed(photo.label, classes) for photo in photos]
    other = next((place for place, name in enumerate(names) if name != agreed.label), None)
    first = photos[other or 0]
    outcome = "dropped" if agreed.label in classes.drop else "agrees" if other is None else "applied"
    return Correction(
        image=path_cell(first.path), label=agreed.label, was=names[other or 0], reviewer=reviewers, outcome=outcome
    )


def _of_conflict(conflict: Conflict, by_sha256: Mapping[str, Sequence[LabeledPhoto]]) -> list[Correction]:
    photos = by_sha256.get(conflict.words[0].sha256, [])
    return [
        Correction(
            image=path_cell(photos[0].path) if photos else _name(word),
            label=word.label,
            was=photos[0].label if photos else None,
            reviewer=word.reviewer,
            outcome="conflict",
        )
        for word in conflict.words
    ]


def _name(word: Word) -> str:
    return word_cells(word)[0] or word.sha256
