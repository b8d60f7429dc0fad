"""Which photo is for training, for validation and for test."""

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from models.errors import DataError
from trainer.csv_file import write_rows
from trainer.dataset import LabeledPhoto, Split

__all__ = ["AssignedPhoto", "assign_splits", "count_leaks", "read_splits", "write_splits"]

HELD_OUT: Final = 0.1
"""Share of the photos that goes to validation, and to test."""


@dataclass(frozen=True)
class AssignedPhoto:
    """A readable photo with its split.

    Attributes:
        path: the file.
        label: its class.
        split: what it is used for.
        sha256: of the file.
        group: digest of its pixels; photos of one group are duplicates.
    """

    path: Path
    label: str
    split: Split
    sha256: str
    group: str


def assign_splits(
    photos: Sequence[LabeledPhoto], sha256s: Sequence[str], groups: Sequence[str], seed: int
) -> list[AssignedPhoto]:
    """Give every photo a split: the person's where there is one, else 80/10/10, stratified by class.

    Duplicates share a split, unless a person divided them. A person who gave no validation or no test split gets one
    cut from training.

    Args:
        photos: readable photos.
        sha256s: of each file.
        groups: of each photo; equal for duplicates.
        seed: same seed, same splits.

    Raises:
        DataError: a class has no training photo, or only some photos of a CSV have a split.
    """
    given = [photo.split for photo in photos]
    if None in given and any(given):
        msg = f"Expected a split for every photo or for none, got none for {photos[given.index(None)].path}."
        raise DataError(msg)
    assigned = [
        AssignedPhoto(photo.path, photo.label, photo.split or Split.TRAIN, sha256, group)
        for photo, sha256, group in zip(photos, sha256s, groups, strict=True)
    ]
    rng = np.random.default_rng(seed)
    wanted = [split for split in (Split.TEST, Split.VAL) if split not in given]
    for done, split in enumerate(wanted):
        assigned = _cut(assigned, split, HELD_OUT / (1 - done * HELD_OUT), rng)
    _check_training(assigned)
    return assigned


def _cut(photos: list[AssignedPhoto], split: Split, share: float, rng: np.random.Generator) -> list[AssignedPhoto]:
    """Move a share of each class's training groups into another split, at least one group."""
    by_class: defaultdict[str, dict[str, None]] = defaultdict(dict)
    seen: set[str] = set()
    for photo in photos:
        if photo.split is Split.TRAIN and photo.group not in seen:
            by_class[photo.label][photo.group] = None
            seen.add(photo.group)
    moved: set[str] = set()
    for _, groups in sorted(by_class.items()):
        names = sorted(groups)
        count = max(1, round(share * len(names))) if len(names) > 1 else 0
        moved.update(names[i] for i in rng.permutation(len(names))[:count])
    return [replace(p, split=split) if p.split is Split.TRAIN and p.group in moved else p for p in photos]


def _check_training(photos: list[AssignedPhoto]) -> None:
    trained = Counter(photo.label for photo in photos if photo.split is Split.TRAIN)
    untrained = sorted({photo.label for photo in photos} - set(trained))
    if untrained:
        msg = f"Expected training photos of every class, found none of {', '.join(untrained)}; add some."
        raise DataError(msg)


def count_leaks(photos: Sequence[AssignedPhoto]) -> int:
    """How many validation and test photos are duplicates of a training photo."""
    trained = {photo.group for photo in photos if photo.split is Split.TRAIN}
    return sum(photo.group in trained for photo in photos if photo.split is not Split.TRAIN)


_COLUMNS: Final = ("image", "label", "split", "sha256", "group")


def write_splits(path: Path, photos: Sequence[AssignedPhoto]) -> None:
    """Write ``splits.csv``."""
    write_rows(path, _COLUMNS, ((p.path, p.label, p.split, p.sha256, p.group) for p in photos))


def read_splits(path: Path) -> list[AssignedPhoto]:
    """Read ``splits.csv``.

    Raises:
        DataError: it is missing, or not as :func:`write_splits` wrote it.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return [
                AssignedPhoto(Path(r["image"]), r["label"], Split(r["split"]), r["sha256"], r["group"])
                for r in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        msg = f"Expected the splits of a run in {path}, could not read them ({error}); train anew."
        raise DataError(msg) from error
