"""A cycle's first step: the photos that it learns from, with what reviewers have said of them."""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from models.errors import DataError
from models.whole_file import replace_file
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import PhotoVotes, Resolved, Vote, ahead_sentence, resolve, vote_cells
from trainer.data.csv_files import path_cell, write_rows
from trainer.data.dataset import OPEN, LabeledPhoto, read_dataset
from trainer.retrain.config import ClassMap, RetrainConfig
from trainer.retrain.photo_hashes import PhotoHashes
from trainer.retrain.records import Collected, Correction
from trainer.splits.assigned import AssignedPhoto

__all__ = [
    "COLLECTED_FILE",
    "DATASET_FILE",
    "Corrected",
    "HashedPhoto",
    "apply_corrections",
    "collect",
    "collected_notes",
    "relabeled",
    "rename_votes",
    "renamed",
]


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
        corrections: what became of each vote that counts.
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


def rename_votes(votes: Sequence[Vote], classes: ClassMap) -> list[Vote]:
    """Words with today's names of classes: reviewers who said ``boots`` and ``shoes`` agree once both are one."""
    return [replace(vote, label=renamed(vote.label, classes)) for vote in votes]


def apply_corrections(
    photos: Sequence[HashedPhoto], resolved: Resolved, elsewhere: Mapping[Path, str], classes: ClassMap
) -> Corrected:
    """Give photos the labels that reviewers agree on, and add those that only reviewers have labelled.

    Args:
        photos: of the data.
        resolved: votes whose labels are today's names.
        elsewhere: path → SHA-256 of the files that votes name and the data do not have.
        classes: what became of old ones.
    """
    by_sha256 = _by_sha256(photos)
    said = {agreed.votes[0].sha256: agreed.label for agreed in resolved.agreed if agreed.votes[0].sha256}
    places = {
        agreed: _place(agreed, elsewhere) for agreed in resolved.agreed if agreed.votes[0].sha256 not in by_sha256
    }
    added = [
        HashedPhoto(LabeledPhoto(place, agreed.label, open=True), agreed.votes[0].sha256)
        for agreed, place in places.items()
        if place is not None
    ]
    labelled = [
        HashedPhoto(relabeled(one.photo, said.get(one.sha256) or renamed(one.photo.label, classes)), one.sha256)
        for one in photos
    ]
    together = [*labelled, *sorted(added, key=lambda one: one.photo.path)]
    corrections = [_of_agreed(agreed, by_sha256, places.get(agreed), classes) for agreed in resolved.agreed]
    conflicts = [correction for conflict in resolved.conflicts for correction in _of_conflict(conflict, by_sha256)]
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


def _place(agreed: PhotoVotes, elsewhere: Mapping[Path, str]) -> Path | None:
    """Where the photo is, as the latest vote that still holds says."""
    paths = [vote.path for vote in agreed.votes if vote.path is not None]
    return next((path for path in paths if elsewhere.get(path) == agreed.votes[0].sha256 != ""), None)


def _of_agreed(
    agreed: PhotoVotes, by_sha256: Mapping[str, Sequence[LabeledPhoto]], place: Path | None, classes: ClassMap
) -> Correction:
    vote, reviewers = agreed.votes[0], ", ".join(agreed.reviewers)
    photos = by_sha256.get(vote.sha256, [])
    if not photos:
        outcome = "not_found" if place is None else "dropped" if agreed.label in classes.drop else "added"
        return Correction(image=_name(vote), label=agreed.label, was=None, reviewer=reviewers, outcome=outcome)
    names = [renamed(photo.label, classes) for photo in photos]
    other = next((place for place, name in enumerate(names) if name != agreed.label), None)
    first = photos[other or 0]
    outcome = "dropped" if agreed.label in classes.drop else "agrees" if other is None else "applied"
    return Correction(
        image=path_cell(first.path), label=agreed.label, was=names[other or 0], reviewer=reviewers, outcome=outcome
    )


def _of_conflict(conflict: PhotoVotes, by_sha256: Mapping[str, Sequence[LabeledPhoto]]) -> list[Correction]:
    photos = by_sha256.get(conflict.votes[0].sha256, [])
    return [
        Correction(
            image=path_cell(photos[0].path) if photos else _name(vote),
            label=vote.label,
            was=photos[0].label if photos else None,
            reviewer=vote.reviewer,
            outcome="conflict",
        )
        for vote in conflict.votes
    ]


def _name(vote: Vote) -> str:
    return vote_cells(vote)[0] or vote.sha256


DATASET_FILE: Final = "dataset.csv"
COLLECTED_FILE: Final = "collected.json"
HASHES_FILE: Final = "hashes.sqlite"
_COLUMNS: Final = ("image", "label", "split", "group", "sha256")

_Labels = Mapping[str, set[str]]
"""SHA-256 → the labels under which a photo stands."""


def collect(
    config: RetrainConfig,
    folder: Path,
    earlier: Path | None,
    known: Sequence[AssignedPhoto],
    on_photo: Callable[[int, int], None],
) -> Collected:
    """Bring together the labelled photos and what reviewers agree on; leave ``dataset.csv``, then ``collected.json``.

    A correction is of every photo with its bytes. One of a photo that the data lack adds it, where its file is at the
    place that the correction names, and still has its bytes.

    Args:
        config: of the retraining; SHA-256s of files that have not changed are kept in its folder of cycles.
        folder: of the cycle.
        earlier: folder of the last finished cycle, to be compared with; none for a first one.
        known: photos of the splits that are extended, to be compared with where there is no earlier cycle.
        on_photo: told (read, of all).

    Raises:
        InputError: the corrections cannot be read.
        DataError: the data cannot be, or nothing is left of them.
    """
    dataset = read_dataset(config.data)
    store = CorrectionStore(config.corrections) if config.corrections else None
    votes, ahead = (store.votes(), store.ahead()) if store else ((), ())
    with PhotoHashes(config.cycles / HASHES_FILE) as hashes:
        found = hashes.of((photo.path for photo in dataset.photos), on_photo)
        photos = [HashedPhoto(relabeled(p, p.label.strip()), _labelled_bytes(p, found[p.path])) for p in dataset.photos]
        resolved, elsewhere = _resolve(votes, photos, config.classes, hashes)
    corrected = apply_corrections(photos, resolved, elsewhere, config.classes)
    if not corrected.photos:
        msg = f"Expected photos in {config.data}, all are of classes that [classes] drop names; name fewer."
        raise DataError(msg)
    now, before = _labels(corrected.photos), _before(earlier, known, config.classes)
    collected = Collected(
        fingerprint=_fingerprint(corrected.photos),
        photos=dict(sorted(Counter(one.photo.label for one in corrected.photos).items())),
        new=len(now.keys() - before.all.keys()),
        gone=len(before.present - now.keys()),
        relabeled=sum(not labels & before.all[sha256] for sha256, labels in now.items() if sha256 in before.all),
        corrections=corrected.corrections,
        dropped=corrected.dropped,
        ahead=ahead_sentence(ahead, store.path) if store and ahead else "",
    )
    write_rows(folder / DATASET_FILE, _COLUMNS, _rows(corrected.photos))
    replace_file(folder / COLLECTED_FILE, collected.model_dump_json(indent=1).encode())
    return collected


def _labelled_bytes(photo: LabeledPhoto, found: str) -> str:
    """The SHA-256 that the row names, else the file's. The training leaves the row out if the file has other bytes."""
    return (photo.sha256 or found) if found else found


def _resolve(
    votes: Sequence[Vote], photos: Sequence[HashedPhoto], classes: ClassMap, hashes: PhotoHashes
) -> tuple[Resolved, dict[Path, str]]:
    """What is agreed on of photos by their bytes, and the bytes of the files that votes name beside the data."""
    of_data = {one.photo.path: one.sha256 for one in photos}
    known = {one.sha256 for one in photos}
    paths = {vote.path for vote in votes if vote.sha256 not in known and vote.path not in of_data}
    elsewhere = hashes.of(sorted(path for path in paths if path is not None), lambda done, total: None)
    here = {**of_data, **elsewhere}
    by_bytes = [
        vote if vote.sha256 or vote.path is None else replace(vote, sha256=here.get(vote.path, "")) for vote in votes
    ]
    return resolve(rename_votes(by_bytes, classes)), elsewhere


class _Before:
    """What was learned from before.

    Attributes:
        all: labels of each photo that is known.
        present: SHA-256s of those that were there.
    """

    def __init__(self, rows: Iterable[tuple[str, str, bool]], classes: ClassMap) -> None:
        labels: defaultdict[str, set[str]] = defaultdict(set)
        self.present: set[str] = set()
        for sha256, label, present in rows:
            if sha256:
                labels[sha256].add(renamed(label, classes))
                self.present.update([sha256] if present else [])
        self.all: _Labels = dict(labels)


def _before(earlier: Path | None, known: Sequence[AssignedPhoto], classes: ClassMap) -> _Before:
    if earlier is None:
        return _Before(((photo.sha256, photo.label, photo.present) for photo in known), classes)
    with (earlier / DATASET_FILE).open(encoding="utf-8", newline="") as file:
        return _Before(((row["sha256"], row["label"], True) for row in csv.DictReader(file)), classes)


def _labels(photos: Iterable[HashedPhoto]) -> _Labels:
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for one in photos:
        if one.sha256:
            labels[one.sha256].add(one.photo.label)
    return dict(labels)


def _fingerprint(photos: Iterable[HashedPhoto]) -> str:
    """Of all photos, labels and products, in no order; a copy of a photo under its own label is nothing new."""
    facts = {(one.sha256, one.photo.label, one.photo.product or "") for one in photos if one.sha256}
    digest = hashlib.sha256()
    for fact in sorted(facts):
        digest.update("\0".join(fact).encode() + b"\n")
    return digest.hexdigest()


def _rows(photos: Sequence[HashedPhoto]) -> Iterable[tuple[str, ...]]:
    """Photos whose split nobody has said are left open where that of others is said."""
    some_given = any(one.photo.split for one in photos)
    for one in photos:
        photo = one.photo
        split = photo.split or (OPEN if some_given and photo.open else "")
        yield (path_cell(photo.path), photo.label, str(split), photo.product or "", one.sha256)


_OUTCOMES: Final = ("applied", "added", "agrees", "conflict", "not_found")
_FIRST: Final = 3


def collected_notes(collected: Collected, before: Collection[str]) -> list[str]:
    """Lines for the console: what became of corrections, and which classes nobody has known.

    Args:
        collected: what the cycle learns from.
        before: classes of the champion and of earlier data, by today's names; none for a first model, whose classes
            are all new.
    """
    ahead = [f"Corrections: {collected.ahead}"] if collected.ahead else []
    return [*_of_corrections(collected), *ahead, *_of_classes(collected, before)]


def _of_corrections(collected: Collected) -> list[str]:
    if not collected.corrections:
        return []
    counts = Counter(correction.outcome for correction in collected.corrections)
    lines = ["Corrections: " + ", ".join(f"{name} {counts[name]:,}" for name in _OUTCOMES if counts[name])]
    lost = list(dict.fromkeys(one.image for one in collected.corrections if one.outcome == "not_found"))
    if lost:
        more = f" and {len(lost) - _FIRST:,} more" if len(lost) > _FIRST else ""
        lines.append(
            f"Not found: {', '.join(lost[:_FIRST])}{more}. Put them among the data, or import the corrections again "
            "with the right --image-root."
        )
    return lines


def _of_classes(collected: Collected, before: Collection[str]) -> list[str]:
    new = {label: count for label, count in collected.photos.items() if before and label not in before}
    if not new:
        return []
    listed = ", ".join(f"{label} ({count:,} photo{'s' * (count != 1)})" for label, count in new.items())
    return [f"New class{'es' * (len(new) > 1)}: {listed}"]
