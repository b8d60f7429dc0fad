"""Labelled photos as a person keeps them: class folders, split folders, a CSV, or a table of products."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from catalogue.readers import read_delimited
from catalogue.urls import is_url, scheme_of
from models.errors import DataError, ImageError, ImageFault
from models.photo import NONE, walk_files
from models.preprocess import IMAGE_SUFFIXES
from trainer.data.csv_files import cell_path
from trainer.data.table import TableRead, TableRow, read_table, with_leaves
from trainer.request import TABLE_SUFFIXES, USUAL_COLUMNS, TableOptions


class Split(StrEnum):
    """What a photo is used for, in order: a network learns most from the first, and nothing from the last."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"

    @property
    def rank(self) -> int:
        """0 for the split that most is learned from: ``train``."""
        return list(Split).index(self)

    @property
    def word(self) -> str:
        """Its name for people."""
        return {"train": "training", "val": "validation", "test": "test"}[self.value]


_VAL_NAMES: Final = dict.fromkeys(("val", "valid", "validation"), Split.VAL)
_SPLIT_NAMES: Final = {"train": Split.TRAIN, **_VAL_NAMES, "test": Split.TEST}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_AWAY: Final = frozenset({ImageFault.DOWNLOAD, ImageFault.TIMEOUT, ImageFault.REFUSED})
_CYCLE: Final = ("dataset.csv", "collected.json")
"""What a retraining cycle leaves beside each other: labels in its list are names, whatever marks they have."""
OPEN: Final = "open"
"""A CSV's word, instead of a split, for a row whose split Hangtag is to choose, though other rows have one."""


@dataclass(frozen=True)
class LabeledPhoto:
    """A photo and its label: its class, or ``NONE``.

    Attributes:
        split: the one that the person chose; None if Hangtag is to choose it.
        product: what it shows, a SKU or the like; photos of one product are kept in one split.
        open: whether the person has said that Hangtag is to choose its split, though others have one.
        sha256: of the bytes that were labelled; ``None`` if nobody has said so: then the label holds for any bytes.
        error: why there is no photo, where that is known before any file is read.
        cell: of a photo from elsewhere what its row says: a URL, a data URI, or a path under a URL. ``path`` is that
            of no file until it has been fetched (:func:`trainer.data.fetched.fetch_photos`). None of all others.
    """

    path: Path
    label: str
    split: Split | None = None
    product: str | None = None
    open: bool = False
    sha256: str | None = None
    error: ImageError | None = None
    cell: str | None = None

    @property
    def is_away(self) -> bool:
        """Whether its host did not give it, though it may the next time: that says nothing of the photo."""
        return self.error is not None and self.error.fault in _AWAY


@dataclass(frozen=True)
class Exclusion:
    """A file that is set aside, and why: in a word (see docs/formats.md), and for people."""

    path: Path
    reason: str
    message: str
    label: str = ""
    split: Split | None = None


@dataclass(frozen=True)
class Dataset:
    """Labelled photos of a folder or a table, in a fixed order, and what was set aside before any photo was opened.

    Classes are sorted names, those without any photo too; the position is the class's index everywhere. ``NONE`` is
    not among them. ``table`` says how a table was read; None of a folder, and of a CSV whose columns nobody named.
    ``parents`` is what labels like ``shoes > boots`` of a table say: label → its parent; the class is ``boots``. Where
    they are not taken so, ``label_notes`` say it.
    """

    source: Path
    photos: tuple[LabeledPhoto, ...]
    excluded: tuple[Exclusion, ...]
    classes: tuple[str, ...]
    table: TableRead | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    label_notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for a person on how a table was read, a line each; none of a folder."""
        return (*(self.table.notes if self.table else ()), *self.label_notes)


def read_dataset(path: Path, asked: TableOptions = USUAL_COLUMNS) -> Dataset:
    """Find labelled photos.

    Args:
        path: a folder of class folders; a folder with ``train``, ``val`` (or ``valid``, ``validation``) and ``test``
            inside, each of class folders; a CSV with the columns ``image`` (a path, or a ``file:///`` URI) and
            ``label``, and ``split`` (``open``: Hangtag chooses), ``group`` (the product) and ``sha256`` (of the bytes
            that were labelled) if wanted; or a table of products. A label of a CSV or a table may be a path in a
            tree: ``shoes > boots``, but not in the ``dataset.csv`` of a retraining cycle, whose tree is in
            ``collected.json``. A class folder or a label named ``_none`` has photos that show no product.
        asked: how photos are found in a table. In a CSV of which nothing is said (hosts may be allowed), a row
            without an image or a label is an error; of other tables such rows are left out.

    Raises:
        DataError: nothing is there, there are no images, only one class, or far too many.
        InputError: a table cannot be read, or a column is not there.
    """
    path = path.absolute()
    if not path.exists():
        msg = f"Expected a folder of class folders, or a table, at {path}, found nothing; check the path."
        raise DataError(msg)
    if path.is_dir() and asked == USUAL_COLUMNS:
        dataset = _read_folder(path)
    elif path.is_dir():
        msg = f"Expected a table, whose columns the options name, {path} is a folder; leave out the options."
        raise DataError(msg)
    elif path.is_file() and path.suffix.lower() in TABLE_SUFFIXES:
        is_plain = path.suffix.lower() == ".csv" and replace(asked, allow_hosts=None) == USUAL_COLUMNS
        dataset = _read_csv(path) if is_plain else _read_table(path, asked)
    else:
        msg = (
            "Expected a folder of class folders, or a CSV with image and label, or another table (.tsv, .jsonl, "
            f".parquet), at {path}, which is none of them; pass one."
        )
        raise DataError(msg)
    _check_any(path, dataset)
    return dataset


def _read_folder(root: Path) -> Dataset:
    names = {folder: folder.name.lower() for folder in _folders(root)}
    splits = {folder: _SPLIT_NAMES[name] for folder, name in names.items() if name in _SPLIT_NAMES}
    strangers = [folder.name for folder in names if folder not in splits]
    if not splits or (strangers and Split.TRAIN not in splits.values()):
        return _read_classes(root, None)
    if strangers:
        where = f"; move its photos into {root / 'train' / NONE}" if strangers == [NONE] else "; move them away"
        msg = f"Expected only split folders beside {root / 'train'}, found {', '.join(strangers)}{where}."
        raise DataError(msg)
    parts = [_read_classes(folder, split) for folder, split in splits.items()]
    photos = tuple(photo for part in parts for photo in part.photos)
    excluded = tuple(exclusion for part in parts for exclusion in part.excluded)
    return Dataset(root, photos, excluded, _classes(name for part in parts for name in part.classes))


def _classes(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(labels) - {NONE}))


def _folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _read_classes(root: Path, split: Split | None) -> Dataset:
    photos: list[LabeledPhoto] = []
    excluded: list[Exclusion] = []
    depth = len(root.parts)
    for file in walk_files(root):
        if len(file.parts) == depth + 1:
            excluded.append(Exclusion(file, "no_class", "It lies in no class folder"))
        elif file.suffix.lower() in IMAGE_SUFFIXES:
            photos.append(LabeledPhoto(file, file.parts[depth], split))
        else:
            message, label = f"Its name does not end like an image's: {file.name}", file.parts[depth]
            excluded.append(Exclusion(file, "not_an_image", message, label, split))
    return Dataset(root, tuple(photos), tuple(excluded), _classes(folder.name for folder in _folders(root)))


def _read_csv(path: Path) -> Dataset:
    reader = read_delimited(path)
    missing = {"image", "label"} - set(reader.schema.names)
    if missing:
        found = ", ".join(reader.schema.names)
        msg = (
            f"Expected the columns image and label in {path}, found {found}; name yours with --image-column and "
            "--label-column."
        )
        raise DataError(msg)
    names = {"image", "label", "split", "group", "sha256"} & {*reader.schema.names}
    cells = (row for batch in reader.batches for row in batch.select(sorted(names)).to_pylist())
    read = (TableRow(n, **{k: v.strip() for k, v in row.items()}) for n, row in enumerate(cells, start=1))
    rows, parents, notes = (list(read), dict[str, str](), ()) if _is_of_cycle(path) else with_leaves(read, path)
    photos = tuple(_csv_photo(path, row) for row in rows)
    return Dataset(path, photos, (), _classes(photo.label for photo in photos), parents=parents, label_notes=notes)


def _is_of_cycle(path: Path) -> bool:
    name, beside = _CYCLE
    return path.name == name and path.with_name(beside).is_file()


def _csv_photo(path: Path, row: TableRow) -> LabeledPhoto:
    if not row.image or not row.label:
        msg = f"Expected an image and a label in row {row.number} of {path}, a cell is empty."
        raise DataError(msg)
    return _row_photo(path, str(path.parent), row)


def _read_table(path: Path, asked: TableOptions) -> Dataset:
    read, table = read_table(path, asked)
    rows, parents, notes = with_leaves(read, path)
    photos = tuple(_row_photo(path, table.image_root, row) for row in rows)
    return Dataset(path, photos, (), _classes(photo.label for photo in photos), table, parents, notes)


def _row_photo(path: Path, root: str, row: TableRow) -> LabeledPhoto:
    is_open = row.split.lower() == OPEN
    if row.split and not is_open and row.split.lower() not in _SPLIT_NAMES:
        splits = ", ".join((*_SPLIT_NAMES, OPEN))
        msg = f"Expected a split of {splits} in row {row.number} of {path}, got {row.split!r}."
        raise DataError(msg)
    sha256 = row.sha256.lower() or None
    if sha256 and not _SHA256.fullmatch(sha256):
        msg = f"Expected 64 hexadecimal digits under sha256 in row {row.number} of {path}, or nothing, got {sha256!r}."
        raise DataError(msg)
    given = _SPLIT_NAMES[row.split.lower()] if row.split and not is_open else None
    photo = LabeledPhoto(Path(root) / cell_path(row.image), row.label, given, row.group or None, is_open, sha256)
    if not row.image:
        msg = f"Expected the path or the URL of a photo in row {row.number} of {path.name}, the cell is empty."
        error = ImageError(msg, ImageFault.MISSING)
        return replace(photo, path=path.with_name(f"{path.name}, row {row.number}"), error=error)
    if scheme_of(row.image) == "file" or (scheme_of(row.image) is None and not is_url(root)):
        return photo
    return replace(photo, cell=row.image)


def _check_any(path: Path, dataset: Dataset) -> None:
    if not dataset.photos:
        loose = any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.glob("*")) if path.is_dir() else False
        hint = "but they lie in no class folder; make one folder a class" if loose else "found none"
        where = f"in class folders under {path}" if path.is_dir() else f"in the rows of {path}"
        msg = f"Expected images {where}, {hint}."
        raise DataError(msg)
    broken = [name for name in dataset.classes if "\n" in name or "\r" in name]
    if broken:
        msg = f"Expected class names without line breaks, got {broken[0]!r}; rename it."
        raise DataError(msg)
    unprintable = [name for name in dataset.classes if any("\ud800" <= letter <= "\udfff" for letter in name)]
    if unprintable:
        msg = f"Expected class names in UTF-8, got {unprintable[0]!r}; rename it."
        raise DataError(msg)
    if len(dataset.classes) < 2:  # noqa: PLR2004
        found = f"one: {dataset.classes[0]}" if dataset.classes else f"none: {NONE} is no class"
        msg = f"Expected at least two classes in {path}, found {found}."
        raise DataError(msg)
