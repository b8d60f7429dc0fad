"""A reader for each catalogue format. Readers yield the rows unchanged and in order, as Arrow batches."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogue.text_file import TextFile, text_file
from models.errors import InputError
from models.photo import walk_files
from models.preprocess import IMAGE_SUFFIXES
from models.text import label_text, number_of

BATCH_ROWS: Final = 4096
BATCH_CHARACTERS: Final = 8 * 1024 * 1024
JSON_FIELD: Final = {b"hangtag": b"json"}
"""Arrow metadata that marks a column of JSON text."""

MAX_CELL_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 100
MAX_ELEMENTS: Final = 1_000_000
"""Maximum number of commas and brackets in a line of JSONL."""
PARQUET_BUFFER: Final = 1024 * 1024
MAX_BATCH_BYTES: Final = 256 * 1024 * 1024
"""Maximum bytes of a batch of Parquet rows, with repeated values expanded."""
MAX_PAGE_BYTES: Final = 128 * 1024 * 1024
"""Maximum bytes of an uncompressed Parquet page."""
UNPACKED_A_BYTE: Final = 4
"""A larger page is accepted if it expands by at most this factor."""
CLASS_NAMES: Final = b"class_names"
"""Metadata key for a column's class names, in JSON."""
_OF_VIEWS: Final = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
_DICTIONARY_PAGE: Final = 2
_PREFIXES: Final = 7
_USUAL_HEADER: Final = 1024
_LONGEST_HEADER: Final = 1024 * 1024
_VARINT_BITS: Final = 64

FREE_VALUES: Final = 10_000_000
VALUES_A_BYTE: Final = 100
FREE_BYTES: Final = 1024 * 1024 * 1024
BYTES_A_BYTE: Final = 1000
"""Limits of an expanded Parquet file.

Large files may have up to ``VALUES_A_BYTE`` values and ``BYTES_A_BYTE`` bytes for each byte of the file.
"""
_INT64: Final = range(-(2**63), 2**63)
_LIST: Final = pa.schema([("image", pa.string())])
_DELIMITERS: Final = (",", ";", "\t")
_SEP_LINE: Final = re.compile(r'"?sep=(.)"?[,;\t]*\s*', re.IGNORECASE)
"""A first line that tells Excel the separator of a CSV."""
_Row = TypeVar("_Row")


@dataclass
class Reader:
    """The columns and rows of a catalogue. The rows are read lazily, in batches.

    Attributes:
        left_out: number of skipped files per extension, counted while the batches are read.
        holds: name of the rows in messages, such as ``image files``.
        remarks: remarks on the file, for the user.
        delimiter: separator of a CSV.
    """

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]
    left_out: Counter[str] = field(default_factory=Counter)
    holds: str = "rows"
    remarks: list[str] = field(default_factory=list)
    delimiter: str = ","


def read_folder(path: Path) -> Reader:
    """Every image file under a folder, sorted by path. The column ``image`` has paths relative to the folder."""
    left_out: Counter[str] = Counter()
    return read_names(_walk(path, left_out), left_out)


def _walk(root: Path, left_out: Counter[str]) -> Iterator[str]:
    before = len(str(root / "_")) - 1  # length of the root and its slash
    for file in walk_files(root):
        if file.suffix.lower() not in IMAGE_SUFFIXES:
            left_out[file.suffix.lower()] += 1
            continue
        name = str(file)[before:]
        try:
            name.encode()
        except UnicodeEncodeError as error:
            msg = f"Expected file names in UTF-8, got {os.fsencode(name)!r}; rename the file."
            raise InputError(msg) from error
        yield name


def read_list(file: TextFile | Path) -> Reader:
    """A text file with a path per line. The column is ``image``. An empty line is a row without a photo."""
    return Reader(_LIST, _string_batches(_LIST, ([line.rstrip("\r\n")] for line in _text(file).lines())))


def read_names(names: Iterable[str], left_out: Counter[str]) -> Reader:
    """A list of photos. The column is ``image``."""
    return Reader(_LIST, _string_batches(_LIST, ([name] for name in names)), left_out, "image files")


def _text(file: TextFile | Path) -> TextFile:
    return file if isinstance(file, TextFile) else text_file(file)


def read_delimited(file: TextFile | Path, delimiter: str | None = None) -> Reader:
    """A CSV or TSV file with a header. Every cell stays a string. Raises InputError."""
    text = _text(file)
    sep = _SEP_LINE.fullmatch(next(text.lines(newline=""), ""))
    unnamed: list[str] = []
    between = sep[1] if sep else delimiter or _delimiter(text)
    records = _records(text, between, unnamed, skip=bool(sep))
    header = next(records, None)
    if not header:
        msg = f"Expected a header with column names in {text.name}, found an empty file."
        raise InputError(msg)
    if len(header) == 1 and "|" in header[0]:
        msg = (
            f"Expected column names separated by , ; or tabs in {text.name}, got {header[0][:200]!r}; if the "
            "separator is |, save the file with another separator."
        )
        raise InputError(msg)
    names, remarks = _clean_names(header)
    repeated = {name for name, count in Counter(names).items() if count > 1}
    if "" in repeated:
        msg = (
            f"Expected a name for each column of {text.name}, found {names.count('')} columns without a name; "
            "add the names."
        )
        raise InputError(msg)
    if repeated:
        msg = f"Expected different names in the header of {text.name}, found {', '.join(sorted(repeated))[:200]} twice."
        raise InputError(msg)
    schema = pa.schema([(name, pa.string()) for name in names])
    batches, kept = _string_batches(schema, records), "," if delimiter or between not in _DELIMITERS else between
    return Reader(schema, batches, remarks=[*unnamed, *remarks], delimiter=kept)


def _clean_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    tidy = list(map(label_text, names))
    changed = [repr(new[:100]) for name, new in zip(names, tidy, strict=True) if new != name]
    words = f"These column names are stripped and normalized to NFC: {', '.join(changed[:10])}."
    return tidy, [words] if changed else []


def _delimiter(text: TextFile) -> str:
    def fit(delimiter: str) -> tuple[bool, int]:
        try:
            names = next(csv.reader(text.lines(newline=""), delimiter=delimiter, strict=True), [])
        except csv.Error:
            return False, 0
        return not any('"' in name for name in names), len(names)

    return max(_DELIMITERS, key=fit)


def _records(text: TextFile, delimiter: str, remarks: list[str], *, skip: bool) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_CELL_BYTES)
    rows = csv.reader(islice(text.lines(newline=""), skip, None), delimiter=delimiter, strict=True)
    try:
        width = blank = 0
        for cells in rows:
            width = width or _named_width(cells, remarks)
            if not cells:
                blank += width == 1  # if there is one column, an empty line is an empty cell
                continue
            if len(cells) > width and not any(map(str.strip, cells[width:])):
                del cells[width:]
            if len(cells) != width:
                msg = (
                    f"Expected {number_of(width, 'cell')} in the record that ends at line {rows.line_num + skip} of "
                    f"{text.name}, got {len(cells)}; put cells that contain {delimiter!r} in quotes, or "
                    "name each column."
                )
                raise InputError(msg)
            if blank:
                yield from repeat([""], blank)
                blank = 0
            yield cells
    except csv.Error as error:
        msg = f"Expected CSV at line {rows.line_num + skip} of {text.name}, got {error}."
        raise InputError(msg) from error


def _named_width(header: Sequence[str], remarks: list[str]) -> int:
    """The number of columns to read. Two or more unnamed columns at the end are dropped."""
    named = max((number for number, name in enumerate(header, start=1) if name.strip()), default=0)
    unnamed = len(header) - named
    if unnamed <= 1:
        return len(header)
    remarks.append(f"The last {unnamed:,} columns have no name and are left out.")
    return named


def _string_batches(schema: pa.Schema, records: Iterable[list[str]]) -> Iterator[pa.RecordBatch]:
    for rows in _batches((cells, sum(map(len, cells))) for cells in records):
        columns = [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)]
        yield pa.record_batch(columns, schema=schema)


def _batches(sized: Iterable[tuple[_Row, int]]) -> Iterator[list[_Row]]:
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
    """A JSON object per line.

    Nested cells and columns of several types become JSON text. Reads the file twice. Raises InputError.
    """
    text, kinds = _text(file), dict[str, str]()
    for record, _ in _objects(text):
        for name, value in record.items():
            kinds[name] = _common_kind(kinds.get(name, "null"), _kind(value))
    names, remarks = _clean_names(list(kinds))
    try:
        schema = pa.schema([_field(name, kind) for name, kind in zip(names, kinds.values(), strict=True)])
    except UnicodeEncodeError as error:
        raise _lone_surrogate(text, error) from error
    return Reader(schema, _object_batches(schema, list(kinds), text), remarks=remarks)


def _objects(text: TextFile) -> Iterator[tuple[dict[str, Any], int]]:
    for number, line in enumerate(text.lines(), start=1):
        if not line.strip():
            continue
        try:
            _check_elements(line)
            record = json.loads(line)
            _check_depth(record, line)
        except (ValueError, RecursionError) as error:
            msg = f"Expected a JSON object at line {number} of {text.name}, got {error}."
            raise InputError(msg) from error
        if not isinstance(record, dict):
            msg = f"Expected a JSON object at line {number} of {text.name}, got {type(record).__name__}."
            raise InputError(msg)
        yield record, len(line)


def _check_elements(line: str) -> None:
    if sum(map(line.count, ",[{")) > MAX_ELEMENTS:  # a parsed value takes many times the memory of its bytes
        msg = f"more than {MAX_ELEMENTS:,} values; remove some values"
        raise ValueError(msg)


def _check_depth(record: object, line: str) -> None:
    if line.count("[") + line.count("{") <= MAX_DEPTH:
        return
    level: list[Any] = [record]
    for _ in range(MAX_DEPTH):
        nested = (value for value in level if isinstance(value, dict | list))
        level = [within for value in nested for within in (value.values() if isinstance(value, dict) else value)]
    if level:
        msg = f"lists and objects nested more than {MAX_DEPTH} deep"
        raise ValueError(msg)


_KINDS: Final[dict[type, str]] = {type(None): "null", bool: "bool", int: "int", float: "float", str: "str"}


def _kind(value: object) -> str:
    kind = _KINDS.get(type(value), "json")
    return "json" if kind == "int" and value not in _INT64 else kind


def _common_kind(one: str, other: str) -> str:
    return one if other in {one, "null"} else other if one == "null" else "json"


def _field(name: str, kind: str) -> pa.Field:
    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
    return pa.field(name, types.get(kind, pa.string()), metadata=JSON_FIELD if kind == "json" else None)


def _object_batches(schema: pa.Schema, names: Sequence[str], text: TextFile) -> Iterator[pa.RecordBatch]:
    for rows in _batches(_objects(text)):
        try:
            columns = [
                pa.array([_cell(column, name, row) for row in rows], column.type)
                for name, column in zip(names, schema, strict=True)
            ]
        except UnicodeEncodeError as error:
            raise _lone_surrogate(text, error) from error
        yield pa.record_batch(columns, schema=schema)


def _lone_surrogate(text: TextFile, error: UnicodeEncodeError) -> InputError:
    lone = error.object[error.start]
    return InputError(f"Expected text in {text.name}, got the lone surrogate {lone!r}; save the file as UTF-8.")


def _cell(column: pa.Field, name: str, row: dict[str, Any]) -> object:
    if column.metadata != JSON_FIELD:
        return row.get(name)
    return json.dumps(row[name], ensure_ascii=False) if name in row else None


def read_parquet(path: Path, name: str | None = None) -> Reader:
    """A Parquet file. Columns keep their types, but ``string_view`` becomes text, and ``binary_view`` becomes bytes.

    Row groups of any size are read through a small buffer. A file that expands too much is refused, or read a few rows
    at a time. Raises InputError.
    """
    called = name or str(path)
    try:
        file = _parquet(path)
        columns = _measured_columns(path, file.metadata, called)
        _check_expansion(columns, _values(file.metadata), path.stat().st_size, called)
        names, remarks = _clean_names(file.schema_arrow.names)
        classes = _class_names(file.schema_arrow.metadata)
        fields = (_filterable(field, classes) for field in file.schema_arrow)
        schema = pa.schema([field.with_name(new) for new, field in zip(names, fields, strict=True)])
        rows, most = _batch_rows(columns, file.metadata.num_rows), min(BATCH_ROWS, file.metadata.num_rows)
        repeated = [column for column in columns if column.repeats and column.page * most > MAX_BATCH_BYTES]
        if "_view" in str(file.schema_arrow.types) or any(column.has_prefixes for column in repeated):
            rows = min([rows, *(MAX_BATCH_BYTES // 4 // column.page for column in repeated)])  # Arrow copies the bytes
        elif repeated:
            file = _parquet(path, [one.path for one in repeated])
    except (pa.ArrowException, ValueError, OSError, LookupError, RecursionError) as error:
        msg = f"Expected a Parquet file at {called}, got {error}."
        raise InputError(msg) from error
    return Reader(schema, _row_batches(file, schema, max(1, rows), called), remarks=remarks)


def _parquet(path: Path, dictionaries: list[str] | None = None) -> pq.ParquetFile:
    return pq.ParquetFile(path, buffer_size=PARQUET_BUFFER, pre_buffer=False, read_dictionary=dictionaries)


def _filterable(field: pa.Field, classes: dict[str, str]) -> pa.Field:
    """Replace Arrow's view types, because Arrow cannot filter them. Add the class names of a column as metadata."""
    kind = field.type
    top = pa.types.is_dictionary(kind) and not pa.types.is_nested(kind.value_type)
    field = field.with_type(kind if top else _without_views(kind))
    return field.with_metadata({CLASS_NAMES: classes[field.name]}) if field.name in classes else field


def _without_views(kind: pa.DataType) -> pa.DataType:
    match kind:
        case pa.DictionaryType():
            kind = _without_views(kind.value_type)
        case pa.StructType():
            kind = pa.struct([field.with_type(_without_views(field.type)) for field in kind])
        case pa.MapType():
            kind = pa.map_(_without_views(kind.key_type), _without_views(kind.item_type))
        case pa.FixedSizeListType():
            kind = pa.list_(_without_views(kind.value_type), kind.list_size)
        case pa.ListType():
            kind = pa.list_(_without_views(kind.value_type))
        case pa.LargeListType():
            kind = pa.large_list(_without_views(kind.value_type))
    return _OF_VIEWS.get(kind, kind)


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, str]:
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {name: json.dumps(one["names"]) for name, one in features.items() if one["_type"] == "ClassLabel"}
    except (LookupError, ValueError, TypeError, AttributeError):
        return {}


@dataclass(frozen=True)
class _Column:
    """A column of a Parquet file. Sizes are bytes after decompression.

    Attributes:
        page: size of the largest page; no text is longer.
        repeats: whether repeated texts are stored once.
        has_prefixes: whether shared prefixes are stored once (DELTA_BYTE_ARRAY).
    """

    path: str
    size: int
    page: int
    repeats: bool
    has_prefixes: bool


def _measured_columns(path: Path, metadata: pq.FileMetaData, name: str) -> list[_Column]:
    """Read the sizes from the page headers, because the footer may be wrong."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [[group.column(number) for group in groups] for number in range(metadata.num_columns)]
    size, most = sum(max(0, chunk.total_compressed_size) for chunk in chain(*columns)), path.stat().st_size
    if size > most:  # column chunks overlap
        msg = f"{size:,} bytes of columns in a file of {most:,} bytes"
        raise pa.ArrowInvalid(msg)
    with path.open("rb") as file:
        return [
            _measured(metadata.schema.column(number).path, _pages(file, chunks, name))
            for number, chunks in enumerate(columns)
        ]


def _measured(path: str, pages: Iterator[dict[int, Any]]) -> _Column:
    size = largest = 0
    has_dictionary = has_prefixes = False
    for page in pages:
        size += page[2]
        largest = max(largest, page[2])
        has_dictionary |= page[1] == _DICTIONARY_PAGE
        of_data = ((page.get(5), 2), (page.get(8), 4))  # the encoding in page headers of version 1 and 2
        has_prefixes |= any(isinstance(head, dict) and head.get(field) == _PREFIXES for head, field in of_data)
    return _Column(path, size, largest, has_dictionary or has_prefixes, has_prefixes)


def _pages(file: BinaryIO, chunks: Iterable[pq.ColumnChunkMetaData], name: str) -> Iterator[dict[int, Any]]:
    for chunk in chunks:
        at = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)), default=0)
        end = at + chunk.total_compressed_size
        while at < end:
            file.seek(at)
            page, length = _page_header(file)
            if page[2] > max(MAX_PAGE_BYTES, UNPACKED_A_BYTE * page[3]):
                most = f"pages of at most {MAX_PAGE_BYTES:,} bytes in {name}"
                msg = f"Expected {most}, but one page has {page[2]:,}; save the file with smaller pages."
                raise InputError(msg)
            yield page
            at += length + page[3]


def _page_header(file: BinaryIO) -> tuple[dict[int, Any], int]:
    """The fields of a page header (PageHeader in parquet.thrift), and the header's length."""
    head = file.read(_USUAL_HEADER)
    try:
        page, length = _thrift_struct(head, 0)
    except IndexError:
        page, length = _thrift_struct(head + file.read(_LONGEST_HEADER), 0)
    if not all(isinstance(page.get(number), int) and page[number] >= 0 for number in (1, 2, 3)):
        msg = "a page without a type or a size"
        raise pa.ArrowInvalid(msg)
    return page, length


def _thrift_struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Parse a struct of Thrift's compact protocol. Returns the fields, and the position after the struct."""
    values: dict[int, Any] = {}
    field_id = 0
    while head := data[at]:
        at += 1
        field_id += head >> 4
        if not head >> 4:
            field_id, at = _varint(data, at)
            field_id = field_id >> 1 ^ -(field_id & 1)
        values[field_id], at = _thrift_value(data, at, head & 15)
    return values, at + 1


def _thrift_value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    match kind:
        case 1 | 2:  # true and false
            return None, at
        case 4 | 5 | 6:
            value, at = _varint(data, at)
            return value >> 1 ^ -(value & 1), at
        case 8:
            length, at = _varint(data, at)
            return None, at + length
        case 12:
            return _thrift_struct(data, at)
    msg = f"a page header with the type {kind}"
    raise pa.ArrowInvalid(msg)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < _VARINT_BITS:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:  # noqa: PLR2004
            return value, at
    msg = f"a number of more than {_VARINT_BITS} bits in a page header"
    raise pa.ArrowInvalid(msg)


def _check_expansion(columns: Sequence[_Column], values: int, file_bytes: int, name: str) -> None:
    size = sum(column.size for column in columns)
    if values > max(FREE_VALUES, VALUES_A_BYTE * file_bytes) or size > max(FREE_BYTES, BYTES_A_BYTE * file_bytes):
        msg = (
            f"Expected a smaller catalogue in {name}: its {file_bytes:,} bytes expand to {size:,} bytes, with "
            f"{values:,} cells in one column; split the file."
        )
        raise InputError(msg)


def _values(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = range(metadata.num_columns)
    return max((sum(group.column(number).num_values for group in groups) for number in columns), default=0)


def _batch_rows(columns: Sequence[_Column], rows: int) -> int:
    return max(1, min(BATCH_ROWS, BATCH_CHARACTERS * rows // max(1, sum(column.size for column in columns))))


def _row_batches(file: pq.ParquetFile, schema: pa.Schema, rows: int, name: str) -> Iterator[pa.RecordBatch]:
    left = file.metadata.num_rows
    try:
        for batch in file.iter_batches(rows):
            left -= batch.num_rows
            for piece in _split_batch(batch, name):
                columns = [column.cast(field.type) for column, field in zip(piece.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
    except (pa.ArrowException, OSError) as error:
        msg = f"Expected to read the Parquet file {name}, got {error}; save it again."
        raise InputError(msg) from error
    if left:  # Arrow reads a damaged column without an error
        rows_told = f"{file.metadata.num_rows:,} rows in the Parquet file {name}"
        msg = f"Expected {rows_told}, but {left:,} are missing; save the file again."
        raise InputError(msg)


def _split_batch(batch: pa.RecordBatch, name: str) -> Iterator[pa.RecordBatch]:
    size = sum(map(_unfolded_bytes, batch.columns))
    if size <= MAX_BATCH_BYTES:
        yield batch
    elif batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _split_batch(batch.slice(0, half), name)
        yield from _split_batch(batch.slice(half), name)
    else:
        msg = f"Expected rows of at most {MAX_BATCH_BYTES:,} bytes in {name}, but one row has {size:,}; remove columns."
        raise InputError(msg)


def _unfolded_bytes(column: pa.Array) -> int:
    kind = column.type
    if pa.types.is_dictionary(kind) and _is_text_or_bytes(kind.value_type):
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


def _is_text_or_bytes(kind: pa.DataType) -> bool:
    types = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_type(kind) for is_type in types)
