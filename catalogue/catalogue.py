"""Opens a catalogue, and finds the image column and the root of relative paths."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from pathlib import Path, PurePath
from shlex import quote
from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa

from catalogue.readers import (
    JSON_FIELD,
    Reader,
    read_delimited,
    read_folder,
    read_jsonl,
    read_list,
    read_names,
    read_parquet,
)
from catalogue.text_file import text_file
from catalogue.urls import (
    S3_SCHEME,
    SHOWN,
    can_name_photos,
    cell_texts,
    checked_root,
    checked_url,
    folder_of,
    is_url,
    is_url_or_data,
    other_spellings,
    photo_cells,
    rows_with_several,
    safe_url,
    suffix_of,
)
from models.errors import InputError
from models.preprocess import IMAGE_SUFFIXES
from models.text import label_text, number_of

if TYPE_CHECKING:
    from catalogue.remote import UnnamedFile

IMAGE_COLUMNS: Final = (
    "image",
    "imagepath",
    "path",
    "file",
    "filename",
    "photo",
    "picture",
    "img",
    "imageurl",
    "imagesrc",
    "imagelink",
    "images",
    "url",
)
"""Usual names of the image column, normalized by ``_key``, likeliest first."""
MAX_COLUMNS: Final = 10_000
_UNMOUNTED_ADVICE: Final = "; if only the workers have this folder, make an empty folder at this path"
_LISTED: Final = 12
_KEY: Final = str.maketrans("", "", " _-")
_ALIKE: Final = 0.8
_SNIFFED_ROWS: Final = 20
_PARQUET: Final = ".parquet"
_KINDS: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", _PARQUET, ".txt"})
_SPREADSHEETS: Final = frozenset({".xlsx", ".xls", ".ods"})
_OF_A_KIND: Final = "of a .csv, .tsv, .jsonl, .parquet or .txt"


class NoImageColumnError(InputError):
    """The image column is not obvious. ``columns`` are the possible image columns."""

    def __init__(self, message: str, columns: list[str]) -> None:
        super().__init__(message)
        self.columns = columns


@dataclass(frozen=True)
class Catalogue:
    """An open catalogue. Its rows can be read only once.

    Attributes:
        source: an absolute path, or a URL without user, password, query and fragment.
        image_root: base of relative paths: an absolute path, or a URL without a trailing slash.
        left_out: number of skipped files per extension, counted while the batches are read.
        image_suffix: suffix for paths without an image extension.
        column_words: a sentence that names the detected image column, or empty.
        remarks: remarks on the catalogue, for the user. The list may grow while the batches are read.
        delimiter: separator of a ``.csv`` catalogue and of its CSV results.
    """

    source: str
    schema: pa.Schema
    image_column: str
    image_root: str
    batches: Iterator[pa.RecordBatch]
    left_out: Counter[str]
    image_suffix: str | None = None
    column_words: str = ""
    remarks: list[str] = field(default_factory=list)
    delimiter: str = ","

    def photo_cells(
        self, batch: pa.RecordBatch, errors: Literal["backslashreplace", "surrogateescape"]
    ) -> list[str | None]:
        """The photo of each row. Cells that are not UTF-8 are decoded with ``errors``."""
        return photo_cells(batch.column(self.image_column), self.image_suffix, errors)

    def find_column(self, name: str, option: str) -> str:
        """The column's exact name. Adds a remark if ``name`` is spelled differently. Raises InputError."""
        column = find_column(self.schema.names, name)
        if column is None:
            msg = f"Expected the column {name!r} ({option}) in {self.source}{_columns_found(self.schema, name)}"
            raise InputError(msg)
        if column != label_text(name):
            self.remarks.append(f"{option} {name}: the column {column[:SHOWN]!r}.")
        return column


def _key(name: str) -> str:
    return name.casefold().translate(_KEY)


def find_column(names: Sequence[str], name: str) -> str | None:
    """Find a column by name, or the only column whose name is equal except for case, spaces, ``_`` and ``-``."""
    name = label_text(name)
    alike = [one for one in names if _key(one) == _key(name)]
    return name if name in names else alike[0] if len(alike) == 1 else None


def _image_rank(name: str) -> int:
    key = _key(name)
    return IMAGE_COLUMNS.index(key) if key in IMAGE_COLUMNS else len(IMAGE_COLUMNS)


def usual_image_column(names: Sequence[str]) -> str | None:
    """The likeliest image column, judged by its name."""
    name = min(names, key=_image_rank, default="")
    return name if _is_usual(name) else None


def _is_usual(name: str) -> bool:
    return _image_rank(name) < len(IMAGE_COLUMNS)


_Opened = tuple[str, Reader, str]
"""Name of the source, reader, and default root of relative paths."""


def open_catalogue(
    source: Path | str,
    image_column: str | None = None,
    image_root: Path | str | None = None,
    encoding: str | None = None,
    allow_hosts: Sequence[str] | None = None,
    *,
    image_suffix: str | None = None,
    confined: bool = False,
    within_s: float | None = None,
) -> Catalogue:
    """Open a folder of photos, or a CSV, TSV, JSONL, Parquet or TXT file, from a path or an s3:// or http(s):// URL.

    Args:
        source: a path or a URL.
        image_column: the column with the photos. Default: detected from column names and cells.
        image_root: base of relative paths. Default: the source's folder.
        encoding: encoding of a text file. Default: UTF-8, unless the file has a byte order mark.
        allow_hosts: hosts that may have private addresses, each ``HOST:PORT``.
        image_suffix: suffix for paths without an image extension.
        confined: whether photos on disk must lie under the root.
        within_s: timeout for downloading the file, in seconds.

    Raises InputError, JobError, MissingExtraError.
    """
    place = str(source)
    if not place:
        msg = "Expected a folder or a catalogue file, got an empty name; pass a name, or . for the current folder."
        raise InputError(msg)
    name, reader, root = (
        _open_url(place, encoding, allow_hosts or (), within_s) if is_url(place) else _open_path(Path(source), encoding)
    )
    _check_names(name, reader.schema)
    _check_suffix(image_suffix)
    column = _image_column(name, reader, image_column)
    if image_root is not None:
        root = _image_root(str(image_root), _UNMOUNTED_ADVICE if confined else "")
    batches = iter(reader.batches)
    first = next(batches, None)
    if first is None:
        msg = f"Expected {reader.holds} in {name}, found none."
        raise InputError(msg)
    _check_photos(name, reader.schema.field(column), first.column(column), has_suffix=image_suffix is not None)
    if not is_url(root):
        cells = [cell for cell in photo_cells(first.column(column)[:_SNIFFED_ROWS], image_suffix) if cell]
        if confined:
            _check_within(name, Path(root), cells)
        if image_root is None:
            _check_root(name, Path(root), cells)
        if image_column is None and len(reader.schema.names) == 1:
            _check_only_column(name, column, Path(root), cells)
    is_named = image_column is not None and label_text(image_column) == column
    words = "" if is_named else _column_words(reader.schema.names, column)
    noted = _with_remark(chain([first], batches), column, reader.remarks)
    how = (image_suffix, words, reader.remarks, reader.delimiter)
    return Catalogue(name, reader.schema, column, root, noted, reader.left_out, *how)


def _with_remark(batches: Iterator[pa.RecordBatch], column: str, remarks: list[str]) -> Iterator[pa.RecordBatch]:
    count = 0
    for batch in batches:
        count += rows_with_several(batch.column(column))
        yield batch
    if count:
        rows = number_of(count, "row names", "rows name")
        first = "the first photo is used. Add rows for the other photos"
        remarks.append(f"{rows} several photos under {column[:SHOWN]!r}: {first}.")


def _check_suffix(suffix: str | None) -> None:
    if suffix is not None and (PurePath(f"1{suffix}").suffix.lower() not in IMAGE_SUFFIXES or {"/", "\\"} & {*suffix}):
        msg = f"Expected an image extension as --image-suffix, such as .jpg, got {suffix[:SHOWN]!r}."
        raise InputError(msg)


def _open_path(path: Path, encoding: str | None) -> _Opened:
    try:
        name, is_folder, is_file = str(path.resolve()), path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:  # an invalid name, or a folder without permission
        msg = f"Expected a folder or a catalogue file at {str(path)[:200]!r}, got {error}; check the path."
        raise InputError(msg) from error
    if is_folder:
        _check_no_encoding(name, encoding)
        return name, read_folder(path), name
    if not is_file:
        msg = f"Expected a folder or a catalogue file at {path}, found nothing; check the path."
        raise InputError(msg)
    return name, _file_reader(path, str(path), path.suffix.lower(), encoding), str(path.resolve().parent)


def _open_url(place: str, encoding: str | None, allow_hosts: Sequence[str], within_s: float | None) -> _Opened:
    from catalogue.remote import bucket_images, fetch_catalogue

    url = checked_url(place)
    name, suffix = safe_url(url), suffix_of(url)
    if suffix in _KINDS:
        file = fetch_catalogue(url, allow_hosts, within_s)
        reader = _file_reader(file.path, name, suffix, encoding)
        reader.batches = _closing(reader.batches, file)
        return name, reader, folder_of(url)
    if not url.startswith(S3_SCHEME):
        msg = f"Expected the URL {_OF_A_KIND} file, or of a folder in S3, got {name}."
        raise InputError(msg)
    _check_no_encoding(name, encoding)
    left_out: Counter[str] = Counter()
    root = checked_root(url)
    return root, read_names(bucket_images(root, left_out), left_out), root


def _closing(batches: Iterable[pa.RecordBatch], file: "UnnamedFile") -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    finally:
        file.close()


def _file_reader(path: Path, name: str, suffix: str, encoding: str | None) -> Reader:
    check_kind(suffix, name)
    if suffix == _PARQUET:
        _check_no_encoding(name, encoding)
        return read_parquet(path, name)
    text = text_file(path, name, encoding, option=True)
    if suffix in {".csv", ".tsv"}:
        return read_delimited(text, "\t" if suffix == ".tsv" else None)
    return read_list(text) if suffix == ".txt" else read_jsonl(text)


def check_kind(suffix: str, name: str) -> None:
    """Raise InputError if a file has no catalogue extension."""
    if suffix not in _KINDS:
        photo = "; hangtag classify labels single photos" if suffix in IMAGE_SUFFIXES else ""
        sheet = "; save the sheet as CSV" if suffix in _SPREADSHEETS else ""
        msg = f"Expected a folder or {_OF_A_KIND.removeprefix('of ')} file, got {name}{photo}{sheet}."
        raise InputError(msg)


def _check_no_encoding(name: str, encoding: str | None) -> None:
    if encoding is not None:
        msg = f"Expected no --encoding for {name}, which is not a text file; leave --encoding out."
        raise InputError(msg)


def _image_root(place: str, hint: str) -> str:
    if is_url(place):
        return checked_root(place)
    if not _is_there(Path(place), Path.is_dir):
        msg = f"Expected a folder or a URL as --image-root, found no folder at {place[:200]}{hint}."
        raise InputError(msg)
    return str(Path(place).resolve())


def _image_column(source: str, reader: Reader, name: str | None) -> str:
    schema = reader.schema
    if name is not None:
        if (column := find_column(schema.names, name)) is not None:
            return column
        msg = f"Expected a column {name!r} in {source}{_columns_found(schema, name)}"
        raise InputError(msg)
    if len(schema.names) == 1:
        return str(schema.names[0])
    if (usual := usual_image_column(schema.names)) is not None:
        return usual
    likely = _likely_column(reader)
    hint = f" Only the cells of {likely[:200]!r} look like images." if likely else ""
    msg = f"Which column of {source} contains the photos?{hint} Pass --image-column, one of: {_listed(schema)}."
    raise NoImageColumnError(msg, list(schema.names))


def _likely_column(reader: Reader) -> str | None:
    first = next(iter(reader.batches), None)
    if first is None:
        return None
    texts = {
        name: [cell for cell in cell_texts(column[:_SNIFFED_ROWS]) if cell]
        for name, column in zip(first.schema.names, first.columns, strict=True)
        if pa.types.is_string(column.type)
    }
    likely = [name for name, cells in texts.items() if 2 * sum(map(_ends_like_an_image, cells)) > len(cells)]
    return likely[0] if len(likely) == 1 else None


def _ends_like_an_image(cell: str) -> bool:
    suffix = suffix_of(cell) if is_url(cell) else PurePath(cell).suffix.lower()
    return suffix in IMAGE_SUFFIXES


def _columns_found(schema: pa.Schema, missing: str) -> str:
    by_key = {_key(name): name for name in schema.names}
    near = get_close_matches(_key(missing), by_key, n=1, cutoff=_ALIKE)
    return f"{f'; do you mean {by_key[near[0]]!r}? Found' if near else ', found'} {_listed(schema)}."


def _listed(schema: pa.Schema) -> str:
    names, more = [name[:SHOWN] for name in schema.names[:_LISTED]], len(schema.names) - _LISTED
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")


def _column_words(names: list[str], column: str) -> str:
    if len(names) == 1 and _is_usual(column):
        return ""
    others = [repr(name[:100]) for name in names if name != column and _is_usual(name)]
    choice = f", and not in {', '.join(others)} (choose another column with --image-column)" if others else ""
    return f"Photos are in the column {column[:100]!r}{choice}."


def _check_only_column(source: str, column: str, root: Path, cells: list[str]) -> None:
    named = _is_usual(column) or not cells
    if named or any(is_url_or_data(cell) or PurePath(cell).suffix.lower() in IMAGE_SUFFIXES for cell in cells):
        return
    if not any(_is_there(root / cell) for cell in cells):
        msg = (
            f"Expected a column of photos in {source}, found only {column[:200]!r}. No file named "
            f"{cells[0][:SHOWN]!r} exists under {root}; add a column of paths or URLs, or pass "
            f"--image-column {quote(column[:200])} if these are paths."
        )
        raise NoImageColumnError(msg, [column])


def _check_names(source: str, schema: pa.Schema) -> None:
    if len(schema.names) > MAX_COLUMNS:
        msg = f"Expected at most {MAX_COLUMNS:,} columns in {source}, found {len(schema.names):,}; remove some columns."
        raise InputError(msg)
    repeated = sorted(name for name, count in Counter(schema.names).items() if count > 1)
    if repeated:
        msg = f"Expected different column names in {source}, found {', '.join(repeated)[:200]} twice; rename a column."
        raise InputError(msg)
    photos = (name for name in schema.names if is_url_or_data(name) or PurePath(name).suffix.lower() in IMAGE_SUFFIXES)
    photo = next(photos, None)
    if photo is not None:  # the file may have no header
        msg = (
            f"Expected column names in the first line of {source}, got {photo[:SHOWN]!r}; add a line with column names."
        )
        raise InputError(msg)


def _check_photos(source: str, field: pa.Field, cells: pa.Array, *, has_suffix: bool) -> None:
    if field.metadata == JSON_FIELD and not any(cell and cell[0] in "[{" for cell in cells.to_pylist()):
        msg = (
            f"Expected a path in every cell of the column {field.name} of {source}, but some cells contain numbers "
            "or lists; correct these cells, or choose another --image-column."
        )
        raise InputError(msg)
    numbers = pa.types.is_integer(field.type)
    if not (can_name_photos(field.type) or (has_suffix and numbers)):
        to_do = "; if files have these names, add --image-suffix .jpg, or" if numbers else ";"
        msg = (
            f"Expected paths in the column {field.name} of {source}, found {field.type}{to_do} choose another "
            "--image-column."
        )
        raise InputError(msg)


def _check_within(source: str, root: Path, cells: list[str]) -> None:
    paths = [cell for cell in cells if not is_url_or_data(cell)]
    outside = [
        cell
        for cell in paths
        if not Path(os.path.normpath(root / cell)).is_relative_to(root)
        and not any(
            _is_there(root / name) for name in other_spellings(cell) if ".." not in name and not name.startswith("/")
        )
    ]
    if outside and len(outside) == len(cells):
        msg = (
            f"Expected photos under {root}, the folder that workers may read, got {outside[0][:SHOWN]!r} in "
            f"{source}; pass the photos' folder as --image-root."
        )
        raise InputError(msg)


def _check_root(source: str, root: Path, cells: list[str]) -> None:
    names = [cell for cell in cells if not is_url_or_data(cell)]
    if any(_is_there(root / name) for name in names):
        return
    if any(_is_there(Path(name)) for name in names):
        msg = f"The paths in {source} are not relative to {root} but to the current folder; pass --image-root ."
        raise InputError(msg)


def _is_there(path: Path, check: Callable[[Path], bool] = Path.exists) -> bool:
    try:
        return check(path)
    except (OSError, ValueError):  # an invalid name
        return False
