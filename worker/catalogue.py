"""The rows to label: where they come from, and which column names the photo."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

import pyarrow as pa

from models.errors import InputError
from worker.readers import JSON_FIELD, Reader, read_delimited, read_folder, read_jsonl, read_list, read_parquet

__all__ = ["Catalogue", "open_catalogue"]

IMAGE_COLUMNS: Final = (
    "image",
    "image_path",
    "path",
    "file",
    "filename",
    "photo",
    "picture",
    "img",
    "image_url",
    "url",
)
_SNIFFED_ROWS: Final = 20


@dataclass(frozen=True)
class Catalogue:
    """A catalogue that is ready to be read once.

    Attributes:
        path: what the person named.
        schema: its columns, in order.
        image_column: the column that names each row's photo.
        image_root: where relative paths in it start.
        batches: its rows, in order.
        left_out: ending → how many files of a folder do not say image; full once the batches are read.
    """

    path: Path
    schema: pa.Schema
    image_column: str
    image_root: Path
    batches: Iterator[pa.RecordBatch]
    left_out: Counter[str]


def open_catalogue(
    source: Path | str, image_column: str | None = None, image_root: Path | str | None = None
) -> Catalogue:
    """Open a folder of photos, or a CSV, TSV, JSONL, Parquet or TXT file that names them.

    Args:
        source: the folder or file; the kind is told by the name's ending.
        image_column: the column with the paths; the obvious one where it is not given.
        image_root: where relative paths start; the folder itself, or the one that the file is in.

    Raises:
        InputError: it is missing, of another kind, has no rows, or no column is obviously the photo's.
    """
    path = Path(source)
    image_root = None if image_root is None else Path(image_root)
    reader = _reader(path)
    column = _image_column(path, reader.schema, image_column)
    _check_text(path, reader.schema.field(column))
    if image_root is not None and not image_root.is_dir():
        msg = f"Expected a folder as --image-root, found none at {image_root}."
        raise InputError(msg)
    root = (image_root or (path if path.is_dir() else path.parent)).resolve()
    first, batches = _first_batch(path, reader)
    if image_root is None:
        _check_root(path, root, first.column(column).to_pylist()[:_SNIFFED_ROWS])
    return Catalogue(path, reader.schema, column, root, batches, reader.left_out)


def _reader(path: Path) -> Reader:
    if path.is_dir():
        return read_folder(path)
    if not path.is_file():
        msg = f"Expected a folder or a catalogue file at {path}, found nothing; check the path."
        raise InputError(msg)
    match path.suffix.lower():
        case ".csv":
            return read_delimited(path)
        case ".tsv":
            return read_delimited(path, "\t")
        case ".jsonl" | ".ndjson":
            return read_jsonl(path)
        case ".parquet":
            return read_parquet(path)
        case ".txt":
            return read_list(path)
    msg = f"Expected a folder or a .csv, .tsv, .jsonl, .parquet or .txt file, got {path}."
    raise InputError(msg)


def _image_column(path: Path, schema: pa.Schema, wanted: str | None) -> str:
    if wanted is not None:
        if wanted in schema.names:
            return wanted
        msg = f"Expected a column {wanted!r} in {path}, found {', '.join(schema.names)}."
        raise InputError(msg)
    if len(schema.names) == 1:
        return str(schema.names[0])
    by_name = {name.lower(): name for name in reversed(schema.names)}
    for known in IMAGE_COLUMNS:
        if known in by_name:
            return str(by_name[known])
    msg = f"Which column of {path} names the photo? Pass --image-column, one of: {', '.join(schema.names)}."
    raise InputError(msg)


def _check_text(path: Path, field: pa.Field) -> None:
    if field.metadata == JSON_FIELD:
        msg = (
            f"Expected a path in every cell of the column {field.name} of {path}, some hold numbers or lists; mend "
            "them, or name another --image-column."
        )
        raise InputError(msg)
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        msg = (
            f"Expected paths in the column {field.name} of {path}, it holds {field.type}; name another --image-column."
        )
        raise InputError(msg)


def _first_batch(path: Path, reader: Reader) -> tuple[pa.RecordBatch, Iterator[pa.RecordBatch]]:
    batches = iter(reader.batches)
    first = next(batches, None)
    if first is None:
        wanted = "image files" if path.is_dir() else "rows"
        msg = f"Expected {wanted} in {path}, found none."
        raise InputError(msg)
    return first, chain([first], batches)


def _check_root(path: Path, root: Path, cells: list[object]) -> None:
    """Refuse a list of paths that start in the current folder, not in the list's: all of them would be missing."""
    names = [cell for cell in islice(cells, _SNIFFED_ROWS) if isinstance(cell, str) and cell]
    if any(_is_there(root / name) for name in names):
        return
    if any(_is_there(Path(name)) for name in names):
        msg = (
            f"The paths in {path} are not relative to {root} but to the current folder; pass --image-root . to say so."
        )
        raise InputError(msg)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
