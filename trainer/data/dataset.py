"""Labelled photos in class folders, split folders, a CSV, or a table of products."""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final

from catalogue.photo import PhotoLocator, PhotoRequest
from catalogue.photos import Photos, open_photos
from catalogue.readers import read_delimited
from catalogue.urls import is_url, readable, scheme_of
from catalogue.writers import unescape_formula
from models.errors import DataError, ImageError, ImageFault, InputError
from models.file_kinds import FIRST_BYTES, is_text
from models.photo import NONE, is_hidden, walk_files
from models.preprocess import IMAGE_SUFFIXES
from models.taxonomy import PATH_MARK, Taxonomy
from models.text import brief, label_text, number_of, one_line
from models.whole_file import write_beside
from trainer.data.csv_files import cell_path
from trainer.data.table import TableRead, TableRow, read_table, with_leaves
from trainer.request import TABLE_SUFFIXES, USUAL_COLUMNS, TableOptions


class Split(StrEnum):
    """Training, validation or test."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"

    @property
    def rank(self) -> int:
        """Position of the split; 0 for ``train``."""
        return list(Split).index(self)

    @property
    def word(self) -> str:
        """The split's name for messages, such as ``training``."""
        return {"train": "training", "val": "validation", "test": "test"}[self.value]


_APART: Final = re.compile(r"[\W_]+")
_AROUND: Final = r"(?:sets?|data|splits?|images?|imgs?|photos?|pictures?|samples?|[0-9])*+"
_SPLIT_NAME: Final = re.compile(
    rf"{_AROUND}(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id|ide|idate|idation)?|dev(?:elopment)?)|"
    rf"(?P<test>test(?:ing|s)?|eval(?:uation)?|holdout)){_AROUND}"
)
_SPLIT_WORD: Final = re.compile(
    r"(?<![A-Za-z])(?i:train(?:ing)?|val(?:id(?:e|ation)?)?|dev|eval(?:uation)?|test(?:ing|s)?)"
    r"(?:(?![^\W\d_])|(?<=[a-z])(?=[A-Z]))"
)
_UNHEARD: Final = re.compile(r"[\s_\u00ad\u200b-\u200d\ufeff-]+|(?<=\w{3})s$")
"""Characters to ignore when comparing class names."""
_SEVERAL: Final = ("|", ";", ",", "/")
_MOST_REMARKS: Final = 5
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_UNWRITABLE: Final = re.compile("[\n\r\ud800-\udfff]")
_AWAY: Final = frozenset({ImageFault.DOWNLOAD, ImageFault.TIMEOUT, ImageFault.REFUSED})
OPEN: Final = "open"
"""In a split column: Hangtag chooses the split of this row, even if other rows have a split."""
LEARN: Final = "learn"
"""In a split column: the photo is only for training, never for measurements."""
_CYCLE: Final = ("dataset.csv", "collected.json")
"""Files that a retraining cycle writes. Class names in these files may contain ``>``."""


@lru_cache(maxsize=1024)
def split_named(name: str) -> Split | None:
    """Parse a split from a folder's name or a cell, such as ``Training``, ``valid``, ``test_set`` or ``dev``."""
    match = _SPLIT_NAME.fullmatch(_APART.sub("", name).lower())
    return Split(match.lastgroup) if match and match.lastgroup else None


@dataclass(frozen=True)
class LabeledPhoto:
    """A photo and its label: a class, or ``NONE``.

    Attributes:
        split: the given split, or None if Hangtag chooses a split.
        product: a SKU or similar. All photos of a product are in one split.
        open: whether the split column says ``open``.
        chosen: whether the photo was reviewed because a model was unsure. Such photos are harder than most, so they
            are only for training.
        sha256: SHA-256 of the file when it was labelled, or None if the file may change.
        error: why the photo is missing, if known.
        cell: the absolute or relative URL of a photo that :func:`fetch_photos` downloads.
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
        """Whether the photo could not be downloaded because its host failed."""
        return self.error is not None and self.error.fault in _AWAY


@dataclass(frozen=True)
class Exclusion:
    """An excluded file. ``reason`` is a word from docs/formats.md, ``message`` a text for the user."""

    path: Path
    reason: str
    message: str
    label: str = ""
    split: Split | None = None


@dataclass(frozen=True)
class Dataset:
    """Labelled photos of a folder or a table, in a fixed order, and the excluded files.

    ``classes`` are sorted, without ``NONE``. A class's index is its position in ``classes``. ``parents``: each label's
    parent, from table labels such as ``shoes > boots``, where ``shoes`` is the parent of ``boots``.
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
        """Remarks for the user on labels and tables, one per line."""
        return (*(self.table.notes if self.table else ()), *self.label_notes)


def read_dataset(path: Path, options: TableOptions = USUAL_COLUMNS) -> Dataset:
    """Find labelled photos in class folders, in split folders, or in a table (see docs/formats.md).

    ``options`` name the columns of a table.
    """
    path = path.absolute()
    if not path.exists() or (path.is_file() and path.suffix.lower() not in TABLE_SUFFIXES):
        actual = f"a file named {path.name}" if path.exists() else "nothing"
        msg = (
            "Expected a folder of class folders, or a table with image and label (.csv, .tsv, .jsonl, .parquet), at "
            f"{path}, found {actual}; check the path."
        )
        raise DataError(msg)
    if path.is_dir() and options != USUAL_COLUMNS:
        msg = f"Expected a table for the column options, but {path} is a folder; leave out the options."
        raise DataError(msg)
    dataset = _read_folder(path) if path.is_dir() else _read_table(path, options)
    _check_any(path, dataset)
    return replace(dataset, label_notes=(*dataset.label_notes, *_alike(dataset.classes), *_shared(dataset.classes)))


def _read_folder(root: Path) -> Dataset:
    dataset = _read_place(root)
    holding = {photo.path.parts[len(root.parts)] for photo in dataset.photos}
    if len(holding) != 1 or split_named(*holding):
        return dataset
    place = root.joinpath(*holding)
    inner = _read_folder(place)
    if not any(photo.split for photo in inner.photos):
        return dataset
    outside = (exclusion for exclusion in dataset.excluded if not exclusion.path.is_relative_to(place))
    where = f"splits are read from {place.name}, the only folder with photos"
    return replace(inner, source=root, excluded=(*outside, *inner.excluded), label_notes=(where, *inner.label_notes))


def _read_place(root: Path) -> Dataset:
    splits = {folder: split_named(folder.name) for folder in _folders(root)}
    strangers = [folder.name for folder, split in splits.items() if split is None]
    if len(strangers) == len(splits):
        parts = [_read_classes(root, None)]
    elif strangers:
        raise _mixed(next(folder for folder, split in splits.items() if split), strangers)
    else:
        parts = [_read_classes(_once(folder), split) for folder, split in splits.items()]
    photos = tuple(photo for part in parts for photo in part.photos)
    excluded = tuple(exclusion for part in parts for exclusion in part.excluded)
    names = [folder.name for part in parts for folder in _folders(part.source)]
    inner = [note for part in parts for note in part.label_notes]
    notes = (*inner[:1], *_merged(names))
    if strangers and photos and photos[0].split:
        notes = (f"splits are read from inside the classes, such as {photos[0].path.relative_to(root).parent}", *notes)
    return Dataset(root, photos, excluded, _classes(map(label_text, names)), label_notes=notes)


def _once(folder: Path) -> Path:
    """Use ``train/train`` instead of ``train``, if ``train`` has no other folder."""
    inner = _folders(folder)
    return inner[0] if len(inner) == 1 and split_named(inner[0].name) is split_named(folder.name) else folder


def _mixed(split: Path, strangers: Sequence[str]) -> DataError:
    where = "; move them away"
    if split_named(split.name) is not Split.TRAIN:
        where = f"; move them into {split.with_name('train')}, or move {split.name} away"
    elif strangers == [NONE]:
        where = f"; move its photos into {split / NONE}"
    return DataError(
        f"Expected only folders of splits (such as test) next to {split}, found {', '.join(strangers)}{where}."
    )


def _classes(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(labels) - {NONE}))


def _folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if not is_hidden(entry.name) and entry.is_dir())


def _read_classes(root: Path, split: Split | None) -> Dataset:
    photos: list[LabeledPhoto] = []
    excluded: list[Exclusion] = []
    depth = len(root.parts)
    labels = {folder.name: label_text(folder.name) for folder in _folders(root)}
    _check_names(root, labels)
    for file in walk_files(root):
        if len(file.parts) == depth + 1:
            excluded.append(Exclusion(file, "no_class", "The file is in no class folder"))
            continue
        label, inner = labels[file.parts[depth]], split_named(file.parts[depth + 1])
        if file.suffix.lower() in IMAGE_SUFFIXES:
            photos.append(LabeledPhoto(file, label, split or inner))
        else:
            message = f"The file has no image extension: {file.name}"
            excluded.append(Exclusion(file, "not_an_image", message, label, split or inner))
    _check_whole(root, photos)
    notes = _inner_notes(root, photos)
    return Dataset(root, tuple(photos), tuple(excluded), _classes(labels.values()), label_notes=notes)


def _check_names(root: Path, names: Iterable[str]) -> None:
    if named := [name for name in names if split_named(name)] or _paired(names):
        msg = (
            f"Expected class folders in {root}, found {', '.join(named)}, which look like splits. Rename split "
            "folders to train, val and test. To use these names as classes, list the photos in a table with image and "
            "label."
        )
        raise DataError(msg)


def _paired(names: Iterable[str]) -> list[str]:
    pairs: defaultdict[tuple[str, str], dict[Split | None, str]] = defaultdict(dict)
    for name in names:
        if match := _SPLIT_WORD.search(name):
            pairs[name[: match.start()], name[match.end() :]][split_named(match[0])] = name
    return sorted(name for pair in pairs.values() if len(pair) > 1 for name in pair.values())


def _check_whole(root: Path, photos: Sequence[LabeledPhoto]) -> None:
    inside = next((photo.path for photo in photos if photo.split), None)
    outside = next((photo.path for photo in photos if not photo.split), None)
    if inside and outside:
        msg = (
            f"Expected every photo of {root} in a split folder, like {inside}, but {outside} is outside; move "
            "it into a split, or rename the split folders."
        )
        raise DataError(msg)


def _inner_notes(root: Path, photos: Sequence[LabeledPhoto]) -> tuple[str, ...]:
    deep = (photo.path.parts[len(root.parts) :] for photo in photos)
    inner = dict.fromkeys(way[:2] for way in deep if len(way) > 2 and not split_named(way[1]))  # noqa: PLR2004
    tops: defaultdict[str, list[str]] = defaultdict(list)
    for top, name in inner:
        tops[name.casefold()].append(f"{top}/{name}")
    if len(tops) > 1 and (same := next((places for places in tops.values() if len(places) > 1), None)):
        meant = "to use the inner folders as classes, move them into one folder, and merge folders with the same name"
        return (f"{same[0]} and {same[1]} belong to two classes; {meant}",)
    return tuple(f"folders inside {top}, such as {top}/{name}, are not separate classes" for top, name in inner)[:1]


def _read_table(path: Path, options: TableOptions) -> Dataset:
    rows, table = read_table(path, options, split_named)
    name, beside = _CYCLE
    is_of_cycle = path.name == name and path.with_name(beside).is_file()
    merged = _merged(row.label for row in rows)
    rows = [replace(row, label=label_text(row.label)) for row in rows]
    rows, parents, notes = (rows, dict[str, str](), ()) if is_of_cycle else with_leaves(rows, path)
    cells = PhotoLocator(table.image_root)
    photos = tuple(_row_photo(path, table.image_root, row, cells) for row in rows)
    return Dataset(path, photos, (), _classes(photo.label for photo in photos), table, parents, (*merged, *notes))


def _row_photo(path: Path, root: str, row: TableRow, cells: PhotoLocator) -> LabeledPhoto:
    word, split = row.split.lower(), split_named(row.split)
    if word not in {"", OPEN, LEARN} and split is None:
        splits = ", ".join((*Split, OPEN, LEARN))
        msg = f"Expected a split of {splits} in row {row.number} of {path}, got {brief(row.split)!r}."
        raise DataError(msg)
    sha256 = row.sha256.lower() or None
    if sha256 and not _SHA256.fullmatch(sha256):
        got = brief(sha256)
        msg = f"Expected 64 hexadecimal digits, or none, under sha256 in row {row.number} of {path}, got {got!r}."
        raise DataError(msg)
    is_here = scheme_of(row.image) is None and not is_url(root)
    name = cells.name(row.image) if is_here else row.image
    place = Path(root) / cell_path(name)
    photo = LabeledPhoto(place, row.label, split, row.group or None, word == OPEN, sha256, word == LEARN)
    if not row.image:
        msg = f"Expected the path or the URL of a photo in row {row.number} of {path.name}, found an empty cell."
        error = ImageError(msg, ImageFault.MISSING)
        return replace(photo, path=path.with_name(f"{path.name}, row {row.number}"), error=error)
    if is_here and (hint := cells.hint(name)):
        msg = f"Expected a photo at {str(place)[-300:]}, found none; {hint}."
        return replace(photo, error=ImageError(msg, ImageFault.MISSING))
    if is_here or scheme_of(row.image) == "file":
        return photo
    return replace(photo, cell=row.image)


def _merged(names: Iterable[str]) -> tuple[str, ...]:
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        spellings[label_text(name)].add(name)
    return tuple(
        f"{len(forms)} spellings of {brief(label)!r} count as one class: they differ only in blanks at the ends or "
        "in Unicode normalization"
        for label, forms in sorted(spellings.items())
        if len(forms) > 1
    )


def _alike(classes: Sequence[str]) -> list[str]:
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in (NONE, *classes):
        alike[_UNHEARD.sub("", unicodedata.normalize("NFKC", label).casefold())].append(label)
    differ = "are different classes, although they differ only in capitals, blanks, hyphens or a final s"
    groups = [", ".join(repr(brief(label)) for label in labels) for labels in alike.values() if len(labels) > 1]
    return [
        f"{labels} {differ}; if they mean the same class, give them the same name" for labels in groups[:_MOST_REMARKS]
    ]


def _shared(classes: Sequence[str]) -> list[str]:
    """Remarks on class names that may list several labels.

    Commas and slashes are reported only if two names share a part, such as ``red/blue`` and ``blue``.
    """
    remarks = []
    for mark in _SEVERAL:
        parts = {label: {part.strip() for part in label.split(mark)} for label in classes}
        several = [label for label in classes if mark in label]
        common = max(Counter(part for label in classes for part in parts[label]).values(), default=0) > 1
        if several and (common or mark in "|;"):
            holds = number_of(len(several), "class name holds", "class names hold")
            such = f"such as {brief(several[0])!r}"
            remarks.append(f"{holds} {mark!r}, {such}; if a name lists several labels, keep one label per photo")
    return remarks


def _check_any(path: Path, dataset: Dataset) -> None:
    if not dataset.photos:
        loose = any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.glob("*")) if path.is_dir() else False
        hint = "found images outside of class folders; make a folder for each class" if loose else "found none"
        where = f"in class folders under {path}" if path.is_dir() else f"in the rows of {path}"
        msg = f"Expected images {where}, {hint}."
        raise DataError(msg)
    if dataset.classes and all(map(split_named, dataset.classes)):
        msg = (
            f"Expected labels in {path}, found only splits: {', '.join(dataset.classes)}; choose another "
            "--label-column."
        )
        raise DataError(msg)
    broken = [name for name in dataset.classes if _UNWRITABLE.search(name)]
    if broken:
        msg = f"Expected class names in UTF-8 without line breaks, got {brief(broken[0])!r}; rename it."
        raise DataError(msg)
    if len(dataset.classes) < 2:  # noqa: PLR2004
        actual = f"one: {brief(dataset.classes[0])}" if dataset.classes else f"none: {NONE} is not a class"
        msg = f"Expected at least two classes in {path}, found {actual}."
        raise DataError(msg)


def read_parents(path: Path) -> dict[str, str]:
    """Read a CSV with the columns ``label`` and ``parent``. Returns each label's parent, which is empty at the top."""
    parents: dict[str, str] = {}
    for label, parent in _rows(path):
        known = parents.setdefault(label, parent)
        if known != parent:
            both = " and ".join(repr(one) if one else "nothing" for one in (known, parent))
            msg = f"Expected one parent for each label in {path}, but {label!r} is under {both}; use different names."
            raise DataError(msg)
    return parents


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        msg = f"Expected a CSV with the columns label and parent at {path}, found none; check --taxonomy."
        raise InputError(msg)
    reader = read_delimited(path)
    if not {"label", "parent"} <= {*reader.schema.names}:
        names = ", ".join(reader.schema.names)
        msg = f"Expected the columns label and parent in {path}, found {names}; rename the columns."
        raise InputError(msg)
    cells = (row for batch in reader.batches for row in batch.select(["label", "parent"]).to_pylist())
    for number, row in enumerate(cells, start=1):
        label, parent = (label_text(unescape_formula(row[name].strip())) for name in ("label", "parent"))
        if not label or NONE in {label, parent}:
            msg = f"Expected product labels in row {number} of {path}, got {label!r} under {parent!r}."
            raise DataError(msg)
        yield label, parent


def taxonomy_of(dataset: Dataset, listed: Mapping[str, str] | None) -> Taxonomy | None:
    """The tree of classes, from ``--taxonomy`` (``listed``) or the labels. Returns None without a tree."""
    if listed is None:
        return Taxonomy(dataset.classes, dataset.parents) if dataset.parents else None
    if dataset.parents:
        label, parent = next(iter(dataset.parents.items()))
        msg = (
            f"Expected one tree, but the labels of {dataset.source} also contain parents "
            f"({parent}{PATH_MARK}{label}); leave out --taxonomy."
        )
        raise DataError(msg)
    absent = [label for label in dataset.classes if label not in {*listed, *listed.values()}]
    if absent:
        msg = (
            f"Expected every class in the tree, but {', '.join(map(repr, absent[:10]))} "
            f"{('is' if len(absent) == 1 else 'are')} missing; add a row for each class. At the top level, leave "
            "the parent empty."
        )
        raise DataError(msg)
    parents = {label: parent for label, parent in listed.items() if parent}
    if not parents:
        msg = "Expected a parent in some row of the tree, found none; leave out --taxonomy."
        raise DataError(msg)
    return Taxonomy(dataset.classes, parents)


_LONGEST: Final = 2000
"""Messages show at most this many characters of a URL."""
_NAME: Final = 100
"""The name of a downloaded file has at most this many characters of the URL's path."""
_DIGITS: Final = 16
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9-]+")


def fetch_photos(dataset: Dataset, options: TableOptions, cache: Path, advance: Callable[[int, int], None]) -> Dataset:
    """Download the remote photos. A photo that cannot be downloaded gets an ``error``.

    Each URL is downloaded once, by the same rules as in a job, into ``photos/`` in the cache. ``options`` set the
    allowed hosts and the headers. ``advance`` gets (done, total).
    """
    cells = [photo.cell for photo in dataset.photos if photo.cell is not None]
    if not cells:
        return dataset
    root = dataset.table.image_root if dataset.table else str(dataset.source.parent)
    with closing(open_photos(root, options.allow_hosts or (), headers=options.headers or ())) as photos:
        places = {cell: _place(cache / "photos", photos.url_of(cell) or cell) for cell in dict.fromkeys(cells)}
        try:
            failures = _fetch(photos, {cell: place for cell, place in places.items() if not _is_here(place)}, advance)
        except OSError as error:
            msg = (
                f"Expected to write photos into {cache}, got {error}; set XDG_CACHE_HOME to a folder with enough free "
                "space."
            )
            raise InputError(msg) from error

    def brought(photo: LabeledPhoto) -> LabeledPhoto:
        if photo.cell is None:
            return photo
        return replace(photo, path=places[photo.cell], error=failures.get(photo.cell))

    return replace(dataset, photos=tuple(map(brought, dataset.photos)))


def _fetch(photos: Photos, places: Mapping[str, Path], advance: Callable[[int, int], None]) -> dict[str, ImageError]:
    cells, failures = list(places), dict[str, ImageError]()
    for photo in photos.fetch_each([PhotoRequest(0, number, cell) for number, cell in enumerate(cells)], advance):
        cell = cells[photo.request.row]
        if isinstance(photo.outcome, bytes):
            places[cell].parent.mkdir(parents=True, exist_ok=True)
            write_beside(places[cell], photo.outcome).replace(places[cell])
        elif photo.outcome is not None:
            failures[cell] = ImageError(one_line(str(photo.outcome), _LONGEST), photo.outcome.fault)
    return failures


def _place(folder: Path, url: str) -> Path:
    digest = hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
    if scheme_of(url) == "data":
        return folder / "data" / digest
    host, _, path = readable(url).removesuffix("?…").partition("://")[2].partition("/")
    return folder / _UNUSUAL.sub("_", host)[:_NAME] / f"{_UNUSUAL.sub('_', path)[-_NAME:]}-{digest}"


def _is_here(place: Path) -> bool:
    """Whether the cached file is a photo, and not an error page."""
    try:
        with place.open("rb") as file:
            return not is_text(file.read(FIRST_BYTES))
    except FileNotFoundError:
        return False
