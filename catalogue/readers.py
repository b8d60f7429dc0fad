"""A reader for each catalogue format: it yields the rows unchanged and in order, as Arrow batches."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogue.text_file import TextFile, text_file
from models.errors import InputError
from models.photo import walk_files
from models.preprocess import IMAGE_SUFFIXES
from models.text import number_of

BATCH_ROWS: Final = 4096
BATCH_CHARACTERS: Final = 8 * 1024 * 1024
JSON_FIELD: Final = {b"hangtag": b"json"}
"""Field metadata of a column whose cells are kept as JSON text, because they are nested or of several types."""

MAX_CELL_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 100
PARQUET_BUFFER: Final = 1024 * 1024
MAX_BATCH_BYTES: Final = 256 * 1024 * 1024
"""Bytes of a batch of Parquet, once its repeated values are expanded."""

FREE_VALUES: Final = 10_000_000
VALUES_A_BYTE: Final = 100
FREE_BYTES: Final = 1024 * 1024 * 1024
BYTES_A_BYTE: Final = 1000
"""The most that a Parquet file may expand to, and how much for each of its bytes beyond that. Paths compress less."""
_INT64: Final = range(-(2**63), 2**63)
_LIST: Final = pa.schema([("image", pa.string())])
_Row = TypeVar("_Row")


@dataclass
class Reader:
    """The columns of a catalogue, and its rows as batches; reading starts with the first batch.

    ``left_out`` counts, by ending, a folder's files whose names are not those of images; it is complete once all is
    read.
    """

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]
    left_out: Counter[str] = field(default_factory=Counter)
    holds: str = "rows"


def read_folder(path: Path) -> Reader:
    """Every image file under a folder, by its name, sorted by path; column ``image`` is relative to the folder."""
    left_out: Counter[str] = Counter()
    return read_names(_walk(path, left_out), left_out)


def _walk(root: Path, left_out: Counter[str]) -> Iterator[str]:
    before = len(str(root / "_")) - 1  # characters before a file's name under the root
    for file in walk_files(root):
        if file.suffix.lower() not in IMAGE_SUFFIXES:
            left_out[file.suffix.lower()] += 1
            continue
        name = str(file)[before:]
        try:
            name.encode()
        except UnicodeEncodeError as error:
            msg = f"Expected file names in UTF-8, got {os.fsencode(name)!r}; rename it."
            raise InputError(msg) from error
        yield name


def read_list(file: TextFile | Path) -> Reader:
    """A text file with one path a line; column ``image``. An empty line is a row without a photo."""
    return Reader(_LIST, _string_batches(_LIST, ([line.rstrip("\r\n")] for line in _text(file).lines())))


def read_names(names: Iterable[str], left_out: Counter[str]) -> Reader:
    """Photos whose names were listed before; column ``image``."""
    return Reader(_LIST, _string_batches(_LIST, ([name] for name in names)), left_out, "image files")


def _text(file: TextFile | Path) -> TextFile:
    return file if isinstance(file, TextFile) else text_file(file)


def read_delimited(file: TextFile | Path, delimiter: str | None = None) -> Reader:
    """A CSV or TSV file with a header; every cell stays a string. Raises InputError."""
    text = _text(file)
    records = _records(text, delimiter or _delimiter(text))
    header = next(records, None)
    if not header:
        msg = f"Expected a header with column names in {text.name}, found an empty file."
        raise InputError(msg)
    if len(header) == 1 and "|" in header[0]:
        msg = (
            f"Expected column names separated by , ; or tabs in {text.name}, got {header[0][:200]!r}; is it separated "
            "by |? Save it with one of the others."
        )
        raise InputError(msg)
    repeated = {name for name, count in Counter(header).items() if count > 1}
    if repeated:
        msg = (
            f"Expected each column once in the header of {text.name}, found {', '.join(sorted(repeated))[:200]} twice."
        )
        raise InputError(msg)
    schema = pa.schema([(name, pa.string()) for name in header])
    return Reader(schema, _string_batches(schema, records))


def _delimiter(text: TextFile) -> str:
    def fit(delimiter: str) -> tuple[bool, int]:
        try:
            names = next(csv.reader(text.lines(newline=""), delimiter=delimiter, strict=True), [])
        except csv.Error:
            return False, 0
        return not any('"' in name for name in names), len(names)

    return max((",", ";", "\t"), key=fit)


def _records(text: TextFile, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_CELL_BYTES)
    rows = csv.reader(text.lines(newline=""), delimiter=delimiter, strict=True)
    try:
        width = 0
        for cells in rows:
            width = width or len(cells)
            if cells and len(cells) != width:
                msg = (
                    f"Expected {number_of(width, 'cell')} in the record that ends at line {rows.line_num} of "
                    f"{text.name}, got {len(cells)}; quote cells that hold {delimiter!r}."
                )
                raise InputError(msg)
            if cells:
                yield cells
    except csv.Error as error:
        msg = f"Expected CSV at line {rows.line_num} of {text.name}, got {error}."
        raise InputError(msg) from error


def _string_batches(schema: pa.Schema, records: Iterable[list[str]]) -> Iterator[pa.RecordBatch]:
    for rows in _bounded((cells, sum(map(len, cells))) for cells in records):
        columns = [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)]
        yield pa.record_batch(columns, schema=schema)


def _bounded(sized: Iterable[tuple[_Row, int]]) -> Iterator[list[_Row]]:
    rows: list[_Row] = []
    size = 0
    for row, characters in sized:
        rows.append(row)
        size += characters
        if len(rows) == BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def read_jsonl(file: TextFile | Path) -> Reader:
    """A JSON object a line; a column whose cells are nested or of several types is kept as JSON text.

    The file is read twice: first for its columns, then for its rows. Raises InputError.
    """
    text, kinds = _text(file), dict[str, str]()
    for record, _ in _objects(text):
        for name, value in record.items():
            kinds[name] = _joined(kinds.get(name, "null"), _kind(value))
    try:
        schema = pa.schema([_field(name, kind) for name, kind in kinds.items()])
    except UnicodeEncodeError as error:
        raise _lone_surrogate(text, error) from error
    return Reader(schema, _object_batches(schema, text))


def _objects(text: TextFile) -> Iterator[tuple[dict[str, Any], int]]:
    for number, line in enumerate(text.lines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            _check_depth(record, line)
        except (ValueError, RecursionError) as error:
            msg = f"Expected a JSON object at line {number} of {text.name}, got {error}."
            raise InputError(msg) from error
        if not isinstance(record, dict):
            msg = f"Expected a JSON object at line {number} of {text.name}, got {type(record).__name__}."
            raise InputError(msg)
        yield record, len(line)


def _check_depth(record: object, line: str) -> None:
    if line.count("[") + line.count("{") <= MAX_DEPTH:
        return
    level: list[Any] = [record]
    for _ in range(MAX_DEPTH):
        nested = (value for value in level if isinstance(value, dict | list))
        level = [within for value in nested for within in (value.values() if isinstance(value, dict) else value)]
    if level:
        msg = f"lists and objects within one another, more than {MAX_DEPTH} deep"
        raise ValueError(msg)


_KINDS: Final[dict[type, str]] = {type(None): "null", bool: "bool", int: "int", float: "float", str: "str"}


def _kind(value: object) -> str:
    kind = _KINDS.get(type(value), "json")
    return "json" if kind == "int" and value not in _INT64 else kind


def _joined(one: str, other: str) -> str:
    return one if other in {one, "null"} else other if one == "null" else "json"


def _field(name: str, kind: str) -> pa.Field:
    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
    return pa.field(name, types.get(kind, pa.string()), metadata=JSON_FIELD if kind == "json" else None)


def _object_batches(schema: pa.Schema, text: TextFile) -> Iterator[pa.RecordBatch]:
    for rows in _bounded(_objects(text)):
        try:
            columns = [pa.array([_cell(column, row) for row in rows], column.type) for column in schema]
        except UnicodeEncodeError as error:
            raise _lone_surrogate(text, error) from error
        yield pa.record_batch(columns, schema=schema)


def _lone_surrogate(text: TextFile, error: UnicodeEncodeError) -> InputError:
    lone = error.object[error.start]
    return InputError(f"Expected text in {text.name}, got the lone surrogate {lone!r}; write it as UTF-8.")


def _cell(column: pa.Field, row: dict[str, Any]) -> object:
    if column.metadata != JSON_FIELD:
        return row.get(column.name)
    return json.dumps(row[column.name], ensure_ascii=False) if column.name in row else None


def read_parquet(path: Path, name: str | None = None) -> Reader:
    """A Parquet file; its columns keep their types.

    It is read through a small buffer: row groups may be of any size, and are not held as a whole. A value that a few
    bytes repeat a million times is refused, or read a few rows at a time. Raises InputError.
    """
    called = name or str(path)
    try:
        file = _parquet(path)
        schema = file.schema_arrow.remove_metadata()
        _check_expansion(file.metadata, path.stat().st_size, called)
        rows, repeated = _batch_rows(file.metadata), _repeated_texts(file.metadata)
        if "_view" in str(schema.types):  # Arrow makes none of them of a dictionary
            rows = min([rows, *(MAX_BATCH_BYTES // size for size in repeated.values())])
        elif repeated:
            file = _parquet(path, list(repeated))
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        msg = f"Expected a Parquet file at {called}, got {error}."
        raise InputError(msg) from error
    return Reader(schema, _row_batches(file, schema, max(1, rows), called))


def _parquet(path: Path, dictionaries: list[str] | None = None) -> pq.ParquetFile:
    return pq.ParquetFile(path, buffer_size=PARQUET_BUFFER, pre_buffer=False, read_dictionary=dictionaries)


def _columns(metadata: pq.FileMetaData) -> Iterator[list[pq.ColumnChunkMetaData]]:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    for number in range(metadata.num_columns):
        yield [group.column(number) for group in groups]


def _check_expansion(metadata: pq.FileMetaData, file_bytes: int, name: str) -> None:
    """Refuse a small file that claims to hold more than any catalogue of its size can."""
    columns = list(_columns(metadata))
    values = max((sum(chunk.num_values for chunk in column) for column in columns), default=0)
    size = sum(chunk.total_uncompressed_size for column in columns for chunk in column)
    if values > max(FREE_VALUES, VALUES_A_BYTE * file_bytes) or size > max(FREE_BYTES, BYTES_A_BYTE * file_bytes):
        msg = (
            f"Expected a catalogue in {name}, its {file_bytes:,} bytes expand to {values:,} cells in a column and "
            f"{size:,} bytes; write it again without such repetition."
        )
        raise InputError(msg)


def _repeated_texts(metadata: pq.FileMetaData) -> dict[str, int]:
    """Column → bytes of its dictionary, for columns of which one expanded batch might fill the memory."""
    sizes = {
        chunk.path_in_schema: max(each.total_uncompressed_size for each in column if each.has_dictionary_page)
        for column in _columns(metadata)
        for chunk in column
        if chunk.physical_type == "BYTE_ARRAY" and chunk.has_dictionary_page
    }
    return {path: size for path, size in sizes.items() if size * min(BATCH_ROWS, metadata.num_rows) > MAX_BATCH_BYTES}


def _batch_rows(metadata: pq.FileMetaData) -> int:
    characters: int = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(BATCH_ROWS, BATCH_CHARACTERS * rows // max(1, characters)))


def _row_batches(file: pq.ParquetFile, schema: pa.Schema, rows: int, name: str) -> Iterator[pa.RecordBatch]:
    try:
        for batch in file.iter_batches(rows):
            for piece in _pieces(batch, name):
                columns = [column.cast(field.type) for column, field in zip(piece.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
    except (pa.ArrowException, OSError) as error:
        msg = f"Expected to read the Parquet file {name}, got {error}; write it again."
        raise InputError(msg) from error


def _pieces(batch: pa.RecordBatch, name: str) -> Iterator[pa.RecordBatch]:
    size = sum(map(_unfolded_bytes, batch.columns))
    if size <= MAX_BATCH_BYTES:
        yield batch
    elif batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _pieces(batch.slice(0, half), name)
        yield from _pieces(batch.slice(half), name)
    else:
        msg = f"Expected rows of at most {MAX_BATCH_BYTES:,} bytes in {name}, one has {size:,}; leave columns out."
        raise InputError(msg)


def _unfolded_bytes(column: pa.Array) -> int:
    kind = column.type
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
        return int((pc.sum(lengths).as_py() or 0) + column.indices.nbytes)
    if pa.types.is_struct(kind):
        return sum(map(_unfolded_bytes, column.flatten()))
    if pa.types.is_map(kind):
        kind = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
        column = column.cast(kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _unfolded_bytes(column.flatten()) + 8 * len(column)
    return int(column.nbytes)


def _is_text(kind: pa.DataType) -> bool:
    types = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_type(kind) for is_type in types)
