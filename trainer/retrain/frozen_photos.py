"""The frozen test split of a run: the photos that champion and challenger are both judged on."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from trainer.data.dataset import Split
from trainer.data.hashing import holds
from trainer.data.pixel_store import PixelStore
from trainer.splits.assigned import AssignedPhoto, read_splits

__all__ = ["FrozenPhotos", "gone_photos", "read_frozen_photos"]


@dataclass(frozen=True)
class FrozenPhotos:
    """Test photos whose pixels every store has.

    Attributes:
        photos: that both models are judged on.
        unread: those that neither is, since a store lacks them and their file is gone, changed or cannot be read.
    """

    photos: list[AssignedPhoto]
    unread: list[AssignedPhoto]


def read_frozen_photos(
    splits: Path, stores: Sequence[PixelStore], on_photo: Callable[[int, int], None]
) -> FrozenPhotos:
    """Find the test photos of a run, and decode what the stores lack.

    A photo that one store cannot have is left out of both, so that the comparison stays paired; the gate refuses a
    challenger where these are many.

    Args:
        splits: ``splits.csv``.
        stores: of each model's preprocessing.
        on_photo: told (decoded, to decode).

    Raises:
        DataError: ``splits.csv`` is missing or damaged.
    """
    photos = [photo for photo in read_splits(splits) if photo.split is Split.TEST and photo.present]
    lost = [{photo.sha256: photo.path for photo in photos if store.lacks(photo.sha256)} for store in stores]
    there = {sha256: path for files in lost for sha256, path in files.items() if holds(path, sha256)}
    wanted = [{sha256: path for sha256, path in files.items() if sha256 in there} for files in lost]
    done, total = count(1), sum(map(len, wanted))
    for store, files in zip(stores, wanted, strict=True):
        store.add(files, len(os.sched_getaffinity(0)), lambda: on_photo(next(done), total))
    known = [all(not store.lacks(p.sha256) and store.fault(p.sha256) is None for store in stores) for p in photos]
    return FrozenPhotos(
        photos=[photo for photo, whole in zip(photos, known, strict=True) if whole],
        unread=[photo for photo, whole in zip(photos, known, strict=True) if not whole],
    )


def gone_photos(
    earlier: Sequence[AssignedPhoto], now: Sequence[AssignedPhoto], dropped: Sequence[str]
) -> list[AssignedPhoto]:
    """Test photos of earlier splits that are not among those of today, and whose class is still labelled."""
    there = {photo.sha256 for photo in now if photo.present and photo.split is Split.TEST}
    tests = [photo for photo in earlier if photo.present and photo.split is Split.TEST and photo.label not in dropped]
    return [photo for photo in tests if photo.sha256 not in there]
