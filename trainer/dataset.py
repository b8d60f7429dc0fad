"""Labelled photos as a person keeps them: class folders, split folders, or a CSV."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from models.errors import DataError
from models.photo import walk_files
from models.preprocess import IMAGE_SUFFIXES
from worker.readers import read_delimited

__all__ = ["MIN_PER_CLASS", "Dataset", "Exclusion", "LabeledPhoto", "Split", "check_classes", "read_dataset"]

MIN_PER_CLASS: Final = 5
"""Fewer photos of a class cannot be divided into training, validation and test."""


class Split(StrEnum):
    """What a photo is used for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


_SPLIT_NAMES: Final = {
    "train": Split.TRAIN,
    "val": Split.VAL,
    "valid": Split.VAL,
    "validation": Split.VAL,
    "test": Split.TEST,
}


@dataclass(frozen=True)
class LabeledPhoto:
    """A photo and its class.

    Attributes:
        path: the file.
        label: its class.
        split: where the person put it; none where that is left to Hangtag.
    """

    path: Path
    label: str
    split: Split | None = None


@dataclass(frozen=True)
class Exclusion:
    """A file that is set aside, and why."""

    path: Path
    reason: str
    message: str


@dataclass(frozen=True)
class Dataset:
    """Labelled photos, in a fixed order.

    Attributes:
        photos: files whose names say image.
        excluded: what was set aside before any photo was opened.
        classes: names, sorted, those without any photo too; the position is the class's index everywhere.
    """

    photos: tuple[LabeledPhoto, ...]
    excluded: tuple[Exclusion, ...]
    classes: tuple[str, ...]


def read_dataset(path: Path) -> Dataset:
    """Find labelled photos.

    Args:
        path: a folder of class folders; a folder with ``train``, ``val`` (or ``valid``, ``validation``) and ``test``
            inside, each of class folders; or a CSV with the columns ``image`` and ``label``, and ``split`` if wanted.

    Raises:
        DataError: nothing is there, there are no images, or only one class.
    """
    path = path.absolute()
    if path.is_dir():
        dataset = _read_folder(path)
    elif path.is_file() and path.suffix.lower() == ".csv":
        dataset = _read_csv(path)
    else:
        msg = f"Expected a folder of class folders, or a CSV with image and label, at {path}; found neither."
        raise DataError(msg)
    _check_any(path, dataset)
    return dataset


def _read_folder(root: Path) -> Dataset:
    splits = {folder: _SPLIT_NAMES[folder.name.lower()] for folder in _folders(root) if _is_split(folder)}
    strangers = [folder.name for folder in _folders(root) if folder not in splits]
    if not splits or (strangers and Split.TRAIN not in splits.values()):
        return _joined([_read_classes(root, None)])
    if strangers:
        msg = f"Expected only split folders beside {root / 'train'}, found {', '.join(strangers)}; move them away."
        raise DataError(msg)
    return _joined([_read_classes(folder, split) for folder, split in splits.items()])


def _is_split(folder: Path) -> bool:
    return folder.name.lower() in _SPLIT_NAMES


def _folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _joined(parts: list[Dataset]) -> Dataset:
    return Dataset(
        photos=tuple(photo for part in parts for photo in part.photos),
        excluded=tuple(exclusion for part in parts for exclusion in part.excluded),
        classes=tuple(sorted({name for part in parts for name in part.classes})),
    )


def _read_classes(root: Path, split: Split | None) -> Dataset:
    photos: list[LabeledPhoto] = []
    excluded: list[Exclusion] = []
    for file in walk_files(root):
        if file.parent == root:
            excluded.append(Exclusion(file, "no_class", "It lies in no class folder"))
        elif file.suffix.lower() in IMAGE_SUFFIXES:
            photos.append(LabeledPhoto(file, file.relative_to(root).parts[0], split))
        else:
            excluded.append(Exclusion(file, "not_an_image", f"Its name does not end like an image's: {file.name}"))
    return Dataset(tuple(photos), tuple(excluded), tuple(folder.name for folder in _folders(root)))


def _read_csv(path: Path) -> Dataset:
    reader = read_delimited(path)
    missing = {"image", "label"} - set(reader.schema.names)
    if missing:
        msg = f"Expected the columns image and label in {path}, found {', '.join(reader.schema.names)}."
        raise DataError(msg)
    rows = (row for batch in reader.batches for row in batch.to_pylist())
    photos = tuple(_csv_photo(path, row, number) for number, row in enumerate(rows, start=1))
    return Dataset(photos, (), tuple(sorted({photo.label for photo in photos})))


def _csv_photo(path: Path, row: dict[str, str], number: int) -> LabeledPhoto:
    image, label, split = (row.get("image") or "").strip(), (row.get("label") or "").strip(), row.get("split")
    if not image or not label:
        msg = f"Expected an image and a label in row {number} of {path}, a cell is empty."
        raise DataError(msg)
    if split and split.lower() not in _SPLIT_NAMES:
        msg = f"Expected a split of {', '.join(_SPLIT_NAMES)} in row {number} of {path}, got {split!r}."
        raise DataError(msg)
    return LabeledPhoto(path.parent / image, label, _SPLIT_NAMES[split.lower()] if split else None)


def _check_any(path: Path, dataset: Dataset) -> None:
    if not dataset.photos:
        loose = any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.glob("*")) if path.is_dir() else False
        hint = "they lie in no class folder; make one folder a class" if loose else "found none"
        msg = f"Expected images in class folders under {path}, {hint}."
        raise DataError(msg)
    broken = [name for name in dataset.classes if "\n" in name or "\r" in name]
    if broken:
        msg = f"Expected class names without line breaks, got {broken[0]!r}; rename it."
        raise DataError(msg)
    if len(dataset.classes) == 1:
        msg = f"Expected at least two classes in {path}, found one: {dataset.classes[0]}."
        raise DataError(msg)


def check_classes(photos: list[LabeledPhoto], classes: tuple[str, ...]) -> None:
    """Check that every class has photos enough to learn from, once the unreadable ones are set aside.

    Raises:
        DataError: a class has too few.
    """
    counts = Counter(photo.label for photo in photos)
    few = {name: counts[name] for name in classes if counts[name] < MIN_PER_CLASS}
    if few:
        listed = ", ".join(f"{name} ({count})" for name, count in few.items())
        msg = f"Expected at least {MIN_PER_CLASS} readable photos of each class, too few of: {listed}."
        raise DataError(msg)
