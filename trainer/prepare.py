"""From labelled photos to pixels with splits: what cannot be used is set aside, with the reason."""

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import DataError, ImageError
from models.photo import read_photo
from trainer.csv_file import write_rows
from trainer.dataset import Dataset, Exclusion, LabeledPhoto, Split, check_classes
from trainer.pixel_store import PixelStore
from trainer.splits import AssignedPhoto, assign_splits, count_leaks

__all__ = ["Advance", "Prepared", "decode_all", "prepare", "restore", "write_excluded"]

Advance = Callable[[int, int], None]
_HASH_THREADS: Final = 8


@dataclass(frozen=True)
class Prepared:
    """What training needs of the data.

    Attributes:
        photos: readable, with their splits.
        excluded: set aside.
        classes: names, sorted.
        notes: what a person should know, a line each.
    """

    photos: list[AssignedPhoto]
    excluded: list[Exclusion]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    def of(self, split: Split) -> list[AssignedPhoto]:
        """The photos of one split, in order."""
        return [photo for photo in self.photos if photo.split is split]


def prepare(dataset: Dataset, store: PixelStore, seed: int, on_photo: Advance) -> Prepared:
    """Decode what the store lacks, set the unreadable aside, and give every photo a split.

    Args:
        dataset: what was found on disk.
        store: where pixels are kept.
        seed: of the splits.
        on_photo: told (decoded, to decode).

    Raises:
        DataError: a class is left with too few photos.
    """
    readable, unread = decode_all(dataset.photos, store, on_photo)
    check_classes([photo for photo, _ in readable], dataset.classes)
    sha256s = [sha256 for _, sha256 in readable]
    groups = [store.pixel_digest(sha256) for sha256 in sha256s]
    photos = assign_splits([photo for photo, _ in readable], sha256s, groups, seed)
    excluded = [*dataset.excluded, *unread]
    return Prepared(photos, excluded, dataset.classes, tuple(_notes(photos, excluded)))


def decode_all(
    photos: Sequence[LabeledPhoto], store: PixelStore, on_photo: Advance
) -> tuple[list[tuple[LabeledPhoto, str]], list[Exclusion]]:
    """Decode what the store lacks.

    Args:
        photos: to decode.
        store: where pixels are kept.
        on_photo: told (decoded, to decode).

    Returns:
        The readable photos with the SHA-256 of their files, and the others.
    """
    hashed, unread = _hash_all(photos)
    files = {sha256: photo.path for photo, sha256 in hashed}
    store.add(files, len(os.sched_getaffinity(0)), _counter(on_photo, sum(map(store.lacks, files))))
    readable, faulty = _divide(hashed, store)
    return readable, [*unread, *faulty]


def restore(photos: Sequence[AssignedPhoto], store: PixelStore, on_photo: Advance) -> None:
    """Decode a run's photos again, where the cache has lost them since.

    Args:
        photos: of the run.
        store: where pixels are kept.
        on_photo: told (decoded, to decode).

    Raises:
        DataError: a photo that the cache lacks is gone, or is another one now.
    """
    lost = {photo.sha256: photo.path for photo in photos if store.lacks(photo.sha256)}
    for sha256, path in lost.items():
        if _sha256(path) != sha256:
            msg = f"{path} is gone or has changed since the run began, and its pixels are cached no more; train anew."
            raise DataError(msg)
    store.add(lost, len(os.sched_getaffinity(0)), _counter(on_photo, len(lost)))


def _counter(on_photo: Advance, total: int) -> Callable[[], None]:
    decoded = itertools.count(1)
    return lambda: on_photo(next(decoded), total)


def _hash_all(photos: Sequence[LabeledPhoto]) -> tuple[list[tuple[LabeledPhoto, str]], list[Exclusion]]:
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        answers = list(pool.map(_sha256, [photo.path for photo in photos]))
    hashed = [(photo, answer) for photo, answer in zip(photos, answers, strict=True) if isinstance(answer, str)]
    return hashed, [answer for answer in answers if isinstance(answer, Exclusion)]


def _sha256(path: Path) -> str | Exclusion:
    try:
        return hashlib.sha256(read_photo(path)).hexdigest()
    except ImageError as error:
        return Exclusion(path, error.fault.value, str(error))


def _divide(
    hashed: list[tuple[LabeledPhoto, str]], store: PixelStore
) -> tuple[list[tuple[LabeledPhoto, str]], list[Exclusion]]:
    readable, faulty = [], []
    for photo, sha256 in hashed:
        fault = store.fault(sha256)
        if fault is None:
            readable.append((photo, sha256))
        else:
            faulty.append(Exclusion(photo.path, fault.fault.value, str(fault)))
    return readable, faulty


def _notes(photos: list[AssignedPhoto], excluded: list[Exclusion]) -> list[str]:
    notes = []
    if excluded:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(e.reason for e in excluded).most_common())
        notes.append(f"{len(excluded)} files set aside ({kinds}): see excluded.csv")
    copies = len(photos) - len({photo.group for photo in photos})
    if copies:
        notes.append(f"{copies} photos are exact duplicates of another")
    disputed = _disputed(photos)
    if disputed:
        notes.append(f"{disputed} photos stand under two labels; find them by their group in splits.csv")
    leaks = count_leaks(photos)
    if leaks:
        notes.append(f"{leaks} validation and test photos are duplicates of a training photo: their figures flatter")
    notes.extend(_absent(photos))
    return notes


def _disputed(photos: list[AssignedPhoto]) -> int:
    labels: dict[str, set[str]] = {}
    for photo in photos:
        labels.setdefault(photo.group, set()).add(photo.label)
    return sum(len(names) > 1 for names in labels.values())


def _absent(photos: list[AssignedPhoto]) -> list[str]:
    classes = {photo.label for photo in photos}
    missing = {split: sorted(classes - {p.label for p in photos if p.split is split}) for split in Split}
    return [f"no {split} photos of {', '.join(names)}" for split, names in missing.items() if names]


def write_excluded(path: Path, excluded: Sequence[Exclusion]) -> None:
    """Write ``excluded.csv``."""
    write_rows(path, ("image", "reason", "message"), ((e.path, e.reason, e.message) for e in excluded))
