"""Labelled photos as a person keeps them: class folders, split folders, a CSV, or a table of products."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from catalogue.photo import Wanted
from catalogue.photos import Photos, open_photos
from catalogue.readers import read_delimited
from catalogue.urls import is_url, readable, scheme_of
from catalogue.writers import unguarded
from models.errors import DataError, ImageError, ImageFault, InputError
from models.file_kinds import FIRST_BYTES, is_text
from models.photo import NONE, walk_files
from models.preprocess import IMAGE_SUFFIXES
from models.taxonomy import PATH_MARK, Taxonomy
from models.text import one_line
from models.whole_file import write_beside
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
_UNWRITABLE: Final = re.compile("[\n\r\ud800-\udfff]")
_AWAY: Final = frozenset({ImageFault.DOWNLOAD, ImageFault.TIMEOUT, ImageFault.REFUSED})
OPEN: Final = "open"
"""A table's word, instead of a split, for a row whose split Hangtag is to choose, though other rows have one."""
LEARN: Final = "learn"
"""A table's word, instead of a split, for a photo that is learned from and never measured on, not even by a fold."""
_CYCLE: Final = ("dataset.csv", "collected.json")
"""Files that a retraining cycle leaves beside each other: labels in its list are names, even with ``>`` in them."""


@dataclass(frozen=True)
class LabeledPhoto:
    """A photo and its label: its class, or ``NONE``.

    Attributes:
        split: the one that the person chose; None if Hangtag is to choose it.
        product: what it shows, a SKU or the like; photos of one product are kept in one split.
        open: whether the person has said that Hangtag is to choose its split, though others have one.
        chosen: whether a model chose it for a person, since it was unsure: such photos are harder than most, so they
            are learned from, and nothing is measured on them.
        sha256: of the bytes that were labelled; with None the label holds for any bytes.
        error: why there is no photo, where that is known before any file is read.
        cell: the URL, or the path under a URL, of a photo that :func:`fetch_photos` fetches.
    """

    path: Path
    label: str
    split: Split | None = None
    product: str | None = None
    open: bool = False
    sha256: str | None = None
    chosen: bool = False
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

    Classes are sorted names, without ``NONE``; the position is the class's index everywhere. ``parents`` is the tree in
    a table's labels, label → its parent: ``shoes > boots`` is the class ``boots`` under ``shoes``.
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
    """Find labelled photos in a folder of class folders, a folder of splits, or a table (see docs/formats.md).

    ``asked`` says how photos are found in a table.
    """
    path = path.absolute()
    if not path.exists() or (path.is_file() and path.suffix.lower() not in TABLE_SUFFIXES):
        found = f"a file named {path.name}" if path.exists() else "nothing"
        msg = (
            "Expected a folder of class folders, or a table with image and label (.csv, .tsv, .jsonl, .parquet), at "
            f"{path}, found {found}; check the path."
        )
        raise DataError(msg)
    if path.is_dir() and asked != USUAL_COLUMNS:
        msg = f"Expected a table, whose columns the options name, {path} is a folder; leave out the options."
        raise DataError(msg)
    dataset = _read_folder(path) if path.is_dir() else _read_table(path, asked)
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


def _read_table(path: Path, asked: TableOptions) -> Dataset:
    rows, table = read_table(path, asked)
    name, beside = _CYCLE
    is_of_cycle = path.name == name and path.with_name(beside).is_file()
    rows, parents, notes = (rows, dict[str, str](), ()) if is_of_cycle else with_leaves(rows, path)
    photos = tuple(_row_photo(path, table.image_root, row) for row in rows)
    return Dataset(path, photos, (), _classes(photo.label for photo in photos), table, parents, notes)


def _row_photo(path: Path, root: str, row: TableRow) -> LabeledPhoto:
    word = row.split.lower()
    if word not in {"", OPEN, LEARN, *_SPLIT_NAMES}:
        splits = ", ".join((*_SPLIT_NAMES, OPEN, LEARN))
        msg = f"Expected a split of {splits} in row {row.number} of {path}, got {row.split!r}."
        raise DataError(msg)
    sha256 = row.sha256.lower() or None
    if sha256 and not _SHA256.fullmatch(sha256):
        msg = f"Expected 64 hexadecimal digits under sha256 in row {row.number} of {path}, or nothing, got {sha256!r}."
        raise DataError(msg)
    place, split = Path(root) / cell_path(row.image), _SPLIT_NAMES.get(word)
    photo = LabeledPhoto(place, row.label, split, row.group or None, word == OPEN, sha256, word == LEARN)
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
    broken = [name for name in dataset.classes if _UNWRITABLE.search(name)]
    if broken:
        msg = f"Expected class names in UTF-8 without line breaks, got {broken[0]!r}; rename it."
        raise DataError(msg)
    if len(dataset.classes) < 2:  # noqa: PLR2004
        found = f"one: {dataset.classes[0]}" if dataset.classes else f"none: {NONE} is no class"
        msg = f"Expected at least two classes in {path}, found {found}."
        raise DataError(msg)


def read_parents(path: Path) -> dict[str, str]:
    """Read a CSV with the columns ``label`` and ``parent``: label → its parent, empty where it has none."""
    parents: dict[str, str] = {}
    for label, parent in _rows(path):
        known = parents.setdefault(label, parent)
        if known != parent:
            both = " and ".join(repr(one) if one else "nothing" for one in (known, parent))
            msg = f"Expected one parent of each label in {path}, {label!r} is under {both}; give them different names."
            raise DataError(msg)
    return parents


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        msg = f"Expected a CSV with the columns label and parent at {path}, found none; check --taxonomy."
        raise InputError(msg)
    reader = read_delimited(path)
    if not {"label", "parent"} <= {*reader.schema.names}:
        names = ", ".join(reader.schema.names)
        msg = f"Expected the columns label and parent in {path}, found {names}; name them so."
        raise InputError(msg)
    cells = (row for batch in reader.batches for row in batch.select(["label", "parent"]).to_pylist())
    for number, row in enumerate(cells, start=1):
        label, parent = (unguarded(row[name].strip()) for name in ("label", "parent"))
        if not label or NONE in {label, parent}:
            msg = f"Expected labels of products in row {number} of {path}, got {label!r} under {parent!r}."
            raise DataError(msg)
        yield label, parent


def taxonomy_of(dataset: Dataset, asked: Mapping[str, str] | None) -> Taxonomy | None:
    """The tree of a dataset's classes: the one of ``--taxonomy`` (``asked``), or that of its labels; None without."""
    if asked is None:
        return Taxonomy(dataset.classes, dataset.parents) if dataset.parents else None
    if dataset.parents:
        label, parent = next(iter(dataset.parents.items()))
        msg = (
            f"Expected one tree, but the labels of {dataset.source} contain parents, too ({parent}{PATH_MARK}{label}); "
            "leave out --taxonomy."
        )
        raise DataError(msg)
    absent = [label for label in dataset.classes if label not in {*asked, *asked.values()}]
    if absent:
        msg = (
            f"Expected every class in the tree, {', '.join(map(repr, absent[:10]))} "
            f"{'is' if len(absent) == 1 else 'are'} not in it; add a row for each, with an empty parent where it has "
            "none."
        )
        raise DataError(msg)
    parents = {label: parent for label, parent in asked.items() if parent}
    if not parents:
        msg = "Expected a parent in some row of the tree, found none; leave out --taxonomy."
        raise DataError(msg)
    return Taxonomy(dataset.classes, parents)


"""Characters of a URL that a message of its download shows."""
_LONGEST: Final = 2000
_NAME: Final = 100
"""Characters of a URL's path that the name of its file shows."""
_DIGITS: Final = 16
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9-]+")


def fetch_photos(
    dataset: Dataset, allow_hosts: Sequence[str] | None, cache: Path, advance: Callable[[int, int], None]
) -> Dataset:
    """The data set with the photos from elsewhere on this machine, or with the reason why they are not.

    They are fetched as a worker fetches them, each URL once, into ``photos/`` in the cache. ``allow_hosts`` are
    ``HOST:PORT`` of hosts whose addresses are not public; ``advance`` is told (fetched, to fetch).
    """
    cells = [photo.cell for photo in dataset.photos if photo.cell is not None]
    if not cells:
        return dataset
    root = dataset.table.image_root if dataset.table else str(dataset.source.parent)
    with closing(open_photos(root, allow_hosts or ())) as photos:
        places = {cell: _place(cache / "photos", photos.url_of(cell) or cell) for cell in dict.fromkeys(cells)}
        try:
            failures = _fetch(photos, {cell: place for cell, place in places.items() if not _is_here(place)}, advance)
        except OSError as error:
            msg = f"Expected to keep photos in {cache}, got {error}; set XDG_CACHE_HOME to a folder with room."
            raise InputError(msg) from error

    def brought(photo: LabeledPhoto) -> LabeledPhoto:
        if photo.cell is None:
            return photo
        return replace(photo, path=places[photo.cell], error=failures.get(photo.cell))

    return replace(dataset, photos=tuple(map(brought, dataset.photos)))


def _fetch(photos: Photos, places: Mapping[str, Path], advance: Callable[[int, int], None]) -> dict[str, ImageError]:
    cells, failures = list(places), dict[str, ImageError]()
    for photo in photos.bring([Wanted(0, number, cell) for number, cell in enumerate(cells)], advance):
        cell = cells[photo.wanted.row]
        if isinstance(photo.outcome, bytes):
            places[cell].parent.mkdir(parents=True, exist_ok=True)
            write_beside(places[cell], photo.outcome).replace(places[cell])
        elif photo.outcome is not None:
            failures[cell] = ImageError(one_line(str(photo.outcome), _LONGEST), photo.outcome.fault)
    return failures


def _place(folder: Path, url: str) -> Path:
    """The file of a URL's photo, whose name shows the URL without its signature, and no ending, which may be wrong."""
    digest = hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
    if scheme_of(url) == "data":
        return folder / "data" / digest
    host, _, path = readable(url).removesuffix("?…").partition("://")[2].partition("/")
    return folder / _UNUSUAL.sub("_", host)[:_NAME] / f"{_UNUSUAL.sub('_', path)[-_NAME:]}-{digest}"


def _is_here(place: Path) -> bool:
    """Whether the cache has a photo; what is text is an error that its host may have mended since."""
    try:
        with place.open("rb") as file:
            return not is_text(file.read(FIRST_BYTES))
    except FileNotFoundError:
        return False
