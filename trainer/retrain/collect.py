"""A cycle's first step: the photos that it learns from, with what reviewers have said of them."""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.errors import DataError
from models.whole_file import replace_file
from trainer.corrections.settle import Settled, settle
from trainer.corrections.store import CorrectionStore
from trainer.corrections.word import Word, ahead_sentence
from trainer.data.csv_file import write_rows
from trainer.data.dataset import OPEN, LabeledPhoto, read_dataset
from trainer.data.path_cell import path_cell
from trainer.retrain.config import ClassMap, RetrainConfig
from trainer.retrain.corrected import HashedPhoto, apply_corrections, relabeled, rename_words, renamed
from trainer.retrain.photo_hashes import PhotoHashes
from trainer.retrain.records import Collected
from trainer.splits.assigned import AssignedPhoto

__all__ = ["COLLECTED_FILE", "DATASET_FILE", "collect"]

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
    words, ahead = (store.words(), store.ahead()) if store else ((), ())
    with PhotoHashes(config.cycles / HASHES_FILE) as hashes:
        found = hashes.of((photo.path for photo in dataset.photos), on_photo)
        photos = [HashedPhoto(relabeled(p, p.label.strip()), _labelled_bytes(p, found[p.path])) for p in dataset.photos]
        settled, elsewhere = _settle(words, photos, config.classes, hashes)
    corrected = apply_corrections(photos, settled, elsewhere, config.classes)
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


def _settle(
    words: Sequence[Word], photos: Sequence[HashedPhoto], classes: ClassMap, hashes: PhotoHashes
) -> tuple[Settled, dict[Path, str]]:
    """What is agreed on of photos by their bytes, and the bytes of the files that words name beside the data."""
    of_data = {one.photo.path: one.sha256 for one in photos}
    known = {one.sha256 for one in photos}
    paths = {word.path for word in words if word.sha256 not in known and word.path not in of_data}
    elsewhere = hashes.of(sorted(path for path in paths if path is not None), lambda done, total: None)
    here = {**of_data, **elsewhere}
    by_bytes = [
        word if word.sha256 or word.path is None else replace(word, sha256=here.get(word.path, "")) for word in words
    ]
    return settle(rename_words(by_bytes, classes)), elsewhere


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
