"""One reader a catalogue format: each yields Arrow batches of the rows as they are, in their order."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import InputError
from models.photo import walk_files
from models.preprocess import IMAGE_SUFFIXES

__all__ = ["JSON_FIELD", "Reader", "read_delimited", "read_folder", "read_jsonl", "read_list", "read_parquet"]

BATCH_ROWS: Final = 4096
JSON_FIELD: Final = {b"hangtag": b"json"}
"""Field metadata of a column whose cells are kept as JSON text, because they are nested or of several types."""

MAX_CELL_BYTES: Final = 64 * 1024 * 1024
_INT64: Final = range(-(2**63), 2**63)


class Reader:
    """The columns of a catalogue, and its rows as batches; reading does not start before they are asked for.

    ``left_out`` counts, by ending, the files of a folder whose names do not say image; it is full once all is read.
    """

    def __init__(
        self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], left_out: Counter[str] | None = None
    ) -> None:
        self.schema = schema
        self.batches = batches
        self.left_out = Counter() if left_out is None else left_out


def read_folder(path: Path) -> Reader:
    """Every file under a folder whose name says image, sorted by path; column ``image`` is relative to the folder."""
    schema = pa.schema([("image", pa.string())])
    left_out: Counter[str] = Counter()
    return Reader(schema, _string_batches(schema, ([name] for name in _walk(path, left_out))), left_out)


def _walk(root: Path, left_out: Counter[str]) -> Iterator[str]:
    for file in walk_files(root):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            yield _decodable(str(file.relative_to(root)))
        else:
            left_out[file.suffix.lower()] += 1


def _decodable(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        msg = f"Expected file names in UTF-8, got {os.fsencode(path)!r}; rename it."
        raise InputError(msg) from error
    return path


def read_list(path: Path) -> Reader:
    """A text file with one path a line; column ``image``. An empty line is a row without a photo."""
    schema = pa.schema([("image", pa.string())])
    return Reader(schema, _string_batches(schema, ([line.rstrip("\r\n")] for line in _lines(path))))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        try:
            yield from file
        except UnicodeDecodeError as error:
            raise _not_utf8(path, error) from error


def read_delimited(path: Path, delimiter: str | None = None) -> Reader:
    """A CSV or TSV file with a header; every cell stays a string.

    Args:
        path: the file, in UTF-8.
        delimiter: between cells; found from the header where it is not given.

    Raises:
        InputError: there is no header, a name stands in it twice, or a row has more or fewer cells.
    """
    records = _records(path, delimiter or _delimiter(path))
    header = next(records, None)
    if not header:
        msg = f"Expected a header with column names in {path}, found an empty file."
        raise InputError(msg)
    repeated = {name for name in header if header.count(name) > 1}
    if repeated:
        msg = f"Expected each column once in the header of {path}, found {', '.join(sorted(repeated))} twice."
        raise InputError(msg)
    schema = pa.schema([(name, pa.string()) for name in header])
    return Reader(schema, _string_batches(schema, records))


def _delimiter(path: Path) -> str:
    header = next(_lines(path), "")
    return max((",", ";", "\t"), key=header.count)


def _records(path: Path, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_CELL_BYTES)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            width = 0
            for cells in rows:
                width = width or len(cells)
                if cells and len(cells) != width:
                    msg = (
                        f"Expected {width} cells in the record that ends at line {rows.line_num} of {path}, "
                        f"got {len(cells)}; quote cells that hold {delimiter!r}."
                    )
                    raise InputError(msg)
                if cells:
                    yield cells
        except UnicodeDecodeError as error:
            raise _not_utf8(path, error) from error
        except csv.Error as error:
            msg = f"Expected CSV at line {rows.line_num} of {path}, got {error}."
            raise InputError(msg) from error


def _not_utf8(path: Path, error: UnicodeDecodeError) -> InputError:
    return InputError(f"Expected UTF-8 in {path}, got byte 0x{error.object[error.start]:02x}; save it as UTF-8.")


def _string_batches(schema: pa.Schema, records: Iterable[list[str]]) -> Iterator[pa.RecordBatch]:
    records = iter(records)
    while rows := list(islice(records, BATCH_ROWS)):
        columns = [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)]
        yield pa.record_batch(columns, schema=schema)


def read_jsonl(path: Path) -> Reader:
    """A JSON object a line; a column whose cells are nested or of several types is kept as JSON text.

    Raises:
        InputError: a line holds no JSON object.
    """
    kinds: dict[str, str] = {}
    for record in _objects(path):
        for name, value in record.items():
            kinds[name] = _joined(kinds.get(name, "null"), _kind(value))
    schema = pa.schema([_field(name, kind) for name, kind in kinds.items()])
    return Reader(schema, _object_batches(schema, path))


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            msg = f"Expected a JSON object at line {number} of {path}, got {error}."
            raise InputError(msg) from error
        if not isinstance(record, dict):
            msg = f"Expected a JSON object at line {number} of {path}, got {type(record).__name__}."
            raise InputError(msg)
        yield record


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int" if value in _INT64 else "json"
        case float():
            return "float"
        case str():
            return "str"
    return "json"


def _joined(one: str, other: str) -> str:
    if other in {one, "null"}:
        return one
    if one == "null":
        return other
    return "json"


def _field(name: str, kind: str) -> pa.Field:
    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
    return pa.field(name, types.get(kind, pa.string()), metadata=JSON_FIELD if kind == "json" else None)


def _object_batches(schema: pa.Schema, path: Path) -> Iterator[pa.RecordBatch]:
    objects = _objects(path)
    while rows := list(islice(objects, BATCH_ROWS)):
        try:
            columns = [pa.array([_cell(field, row) for row in rows], field.type) for field in schema]
        except UnicodeEncodeError as error:
            msg = f"Expected text in {path}, got the lone surrogate {error.object[error.start]!r}; write it as UTF-8."
            raise InputError(msg) from error
        yield pa.record_batch(columns, schema=schema)


def _cell(field: pa.Field, row: dict[str, Any]) -> object:
    if field.metadata != JSON_FIELD:
        return row.get(field.name)
    return json.dumps(row[field.name], ensure_ascii=False) if field.name in row else None


def read_parquet(path: Path) -> Reader:
    """A Parquet file; its columns keep their types.

    Raises:
        InputError: it is not Parquet.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        msg = f"Expected a Parquet file at {path}, got {error}."
        raise InputError(msg) from error
    return Reader(file.schema_arrow.remove_metadata(), (b.replace_schema_metadata() for b in file.iter_batches(4096)))
