"""The photos that models are judged on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import InputError
from models.photo import walk_files
from models.preprocess import IMAGE_SUFFIXES

__all__ = ["PHOTOS", "PhotoSet", "find_photos"]

PHOTOS: Final = 2000
"""At most so many are looked at."""
_NAMED: Final = 20


@dataclass(frozen=True)
class PhotoSet:
    """Photos, and what they show.

    Attributes:
        paths: of the photos.
        truths: the index of each one's label; none where nobody has said.
    """

    paths: tuple[Path, ...]
    truths: tuple[int, ...] | None


def find_photos(folder: Path, labels: tuple[str, ...], limit: int = PHOTOS) -> PhotoSet:
    """Find photos in class folders, or in a flat folder.

    Args:
        folder: holds folders that are named as labels are, or photos.
        labels: that the model knows; folders of some of them will do.
        limit: of more photos these many are taken, evenly spread.

    Raises:
        InputError: there is no such folder, it holds no photos, it holds both kinds, or a folder is no label's.
    """
    if not folder.is_dir():
        msg = f"Expected a folder of photos at {folder}, found none; name one with class folders inside."
        raise InputError(msg)
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    loose = sorted(entry for entry in folder.iterdir() if entry.is_file() and _is_photo(entry))
    if classes and loose:
        msg = f"Expected class folders or photos in {folder}, found both ({loose[0].name}); put it into its folder."
        raise InputError(msg)
    _check_known(folder, classes, labels)
    found = [(path, labels.index(name)) for name in classes for path in walk_files(folder / name) if _is_photo(path)]
    photos = _evenly(found or [(path, -1) for path in loose], limit)
    if not photos:
        msg = f"Expected photos in {folder}, found none; name a folder of class folders, or of photos."
        raise InputError(msg)
    return PhotoSet(tuple(path for path, _ in photos), tuple(truth for _, truth in photos) if classes else None)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _check_known(folder: Path, classes: list[str], labels: tuple[str, ...]) -> None:
    strange = [name for name in classes if name not in labels]
    if strange:
        msg = (
            f"Expected the folders in {folder} to be named as the model's labels are ({_listed(labels)}), "
            f"found {_listed(strange)} besides; rename them, or name the folder that holds the class folders."
        )
        raise InputError(msg)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _evenly(photos: list[tuple[Path, int]], limit: int) -> list[tuple[Path, int]]:
    """They lie class by class: the first few would be of one class."""
    wanted = min(len(photos), limit)
    return [photos[i * len(photos) // wanted] for i in range(wanted)]
