"""Writes a table as Parquet, CSV or JSONL. The output path and all cells are checked before writing.

Texts that Hangtag adds to a CSV cannot start a spreadsheet formula.
"""

import csv
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogue.catalogue import Catalogue
from catalogue.readers import JSON_FIELD
from catalogue.urls import cell_texts, is_bytes
from models.errors import InputError

OUTPUT_SUFFIXES: Final = (".parquet", ".csv", ".jsonl")
_LONGEST_NAME: Final = 200
"""Maximum bytes of a file name. The temporary name is longer, but has at most 255 bytes."""
UNWRITABLE: Final = (pa.ArrowException, ValueError, TypeError, LookupError, OverflowError, RecursionError)
"""Errors from Arrow, ``datetime`` or JSON for a cell that cannot be written."""
Write = Callable[[pa.Table], None]
_Try = Callable[[pa.Array], None]
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/+(.*)")
_FORMULA_START: Final = re.compile(r"[\s\x00-\x1f\x7f\ufeff\u200b]*[=+\-@＝＋－＠]|[\t\r\n]")
_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str, allow_nan=False)
_NUMBER: Final = re.compile(r"[+-][.,]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?")
_TOP_K: Final = pa.list_(pa.struct([("label", pa.string()), ("confidence", pa.float32())]))
"""The type of ``top_k``. float32 keeps the written numbers short."""


def check_output(output: Path, *, excel_safe: bool = False) -> None:
    """Raise InputError if an output cannot be written."""
    url = _URL.match(str(output))
    if url and not Path(url[1]).exists():  # pathlib turns // into /
        msg = (
            f"Expected a file on this machine as --out, got {url[1]}//{url[2]}; write a local file and copy it "
            "there, or let the queue store results in S3: hangtag submit --jobs s3://bucket/jobs."
        )
        raise InputError(msg)
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        msg = f"Expected an output that ends in {', '.join(OUTPUT_SUFFIXES)}, got {output}."
        raise InputError(msg)
    if excel_safe and output.suffix.lower() != ".csv":
        msg = (
            f"With --excel-safe, the output must end in .csv, got {output}: spreadsheets run formulas only from CSV "
            "files; leave --excel-safe out."
        )
        raise InputError(msg)
    if not output.parent.is_dir():
        msg = f"Expected the folder {output.parent} to exist; make it first."
        raise InputError(msg)
    _check_writable(output.parent)
    if len(os.fsencode(output.name)) > _LONGEST_NAME:
        msg = f"Expected the name of --out to have at most {_LONGEST_NAME} bytes, got {output.name[:60]}…; shorten it."
        raise InputError(msg)
    if output.is_dir():
        msg = f"Expected {output} to be a file, but it is a folder."
        raise InputError(msg)


def _check_writable(folder: Path) -> None:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        msg = (
            f"Expected to write in the folder {folder}, but the system answered {error.strerror}; choose another "
            "--out, free some space, or allow writing."
        )
        raise InputError(msg) from error


def with_checked_cells(catalogue: Catalogue, suffix: str, group_column: str | None = None) -> Catalogue:
    """Return a copy of the catalogue that checks each cell when it is read.

    Cells of the image column are checked only if this column is ``group_column``. Raises InputError.
    """
    for field in catalogue.schema:
        if suffix != ".parquet" and holds_bytes(field.type):
            msg = (
                f"The column {field.name} holds bytes, which {suffix} files cannot hold; use --out with a "
                ".parquet file."
            )
            raise InputError(msg)
        _check_filterable(catalogue.source, field)
    left = {catalogue.image_column} - {group_column}
    tries = {field.name: _cell_check(field, suffix) for field in catalogue.schema if field.name not in left}
    return replace(catalogue, batches=_checked_batches(catalogue, suffix, tries))


def _check_filterable(source: str, field: pa.Field) -> None:
    try:
        rows = pa.table([pa.nulls(2, field.type)], pa.schema([field.with_nullable(True)]))
        pq.write_table(rows.filter(pa.array([True, False])).take(pa.array([0])), io.BytesIO())
    except UNWRITABLE as error:
        msg = (
            f"Expected columns with supported types in {source}, but {field.name!r} has the type "
            f"{field.type} ({str(error)[:200]}); save it as text, or remove the column."
        )
        raise InputError(msg) from error


@contextmanager
def open_writer(
    path: Path, suffix: str, schema: pa.Schema, escaped: frozenset[str], delimiter: str = ",", *, mark: bool = False
) -> Iterator[Write]:
    """Open a new file. Yields a function that writes the next rows.

    In a CSV, formulas in ``escaped`` columns are escaped. ``mark`` adds a byte order mark, so that spreadsheets
    recognise UTF-8.
    """
    if suffix == ".parquet":
        with path.open("xb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            yield writer.write_table
        return
    with path.open("x", encoding="utf-8-sig" if mark and suffix == ".csv" else "utf-8", newline="") as text:
        yield _csv_writer(text, schema, escaped, delimiter) if suffix == ".csv" else _jsonl_writer(text, schema)


def _csv_writer(file: TextIO, schema: pa.Schema, escaped: frozenset[str], delimiter: str) -> Write:
    def shown(name: str, cells: list[object]) -> list[object]:
        return list(map(without_formula, cells)) if name in escaped else cells

    def write(table: pa.Table) -> None:
        columns = (shown(name, text_cells(table.column(name))) for name in table.column_names)
        file.writelines(csv_lines(zip(*columns, strict=True), delimiter))

    file.writelines(csv_lines([[cell for name in schema.names for cell in shown(name, [name])]], delimiter))
    return write


def _jsonl_writer(file: TextIO, schema: pa.Schema) -> Write:
    nested = {field.name for field in schema if field.metadata == JSON_FIELD}

    def write(table: pa.Table) -> None:
        names = table.column_names
        columns = (json_cells(table.column(name), nested=name in nested) for name in names)
        file.writelines(json_text(dict(zip(names, cells, strict=True))) + "\n" for cells in zip(*columns, strict=True))

    return write


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether cells of this Arrow type contain bytes, which text files cannot hold."""
    return any(map(is_bytes, _leaves(kind)))


def _leaves(kind: pa.DataType) -> Iterator[pa.DataType]:
    if pa.types.is_dictionary(kind):
        yield from _leaves(kind.value_type)
    elif pa.types.is_nested(kind):
        for number in range(kind.num_fields):
            yield from _leaves(kind.field(number).type)
    else:
        yield kind


def _checked_batches(catalogue: Catalogue, suffix: str, tries: Mapping[str, _Try]) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in catalogue.batches:
        for name, attempt in tries.items():
            try:
                attempt(batch.column(name))
            except UNWRITABLE as error:
                row, why = _first_unwritable(batch.column(name), attempt) or (1, error)
                msg = (
                    f"The column {name!r} of {catalogue.source} does not fit into a {suffix} file: row {rows + row:,} "
                    f"cannot be written ({str(why)[:200]}); save the cell as text in UTF-8, or remove the column."
                )
                raise InputError(msg) from error
        rows += batch.num_rows
        yield batch


def _cell_check(field: pa.Field, suffix: str) -> _Try:
    types = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
    )
    nested = field.metadata == JSON_FIELD
    simple = any(is_type(field.type) for is_type in types) and not (nested and suffix == ".jsonl")

    def attempt(cells: pa.Array) -> None:
        cells.validate(full=True)
        if suffix == ".csv" and not simple:
            text_cells(pa.chunked_array([cells]))
        if suffix == ".jsonl" and not simple:
            json_text(json_cells(pa.chunked_array([cells]), nested=nested))

    return attempt


def _first_unwritable(cells: pa.Array, attempt: _Try) -> tuple[int, Exception] | None:
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    for row in range(len(cells)):
        try:
            attempt(cells.take([row]))
        except UNWRITABLE as error:
            return row + 1, error
    return None


def text_cells(column: pa.ChunkedArray) -> list[Any]:
    """A column as CSV values. Nested cells become JSON."""
    cells = _plain_cells(column)
    if pa.types.is_nested(column.type):
        return [None if cell is None else json_text(cell) for cell in cells]
    return cells


def json_text(value: object) -> str:
    """JSON on one line. A value without a JSON type, such as a decimal number, becomes a string. Raises ValueError."""
    return _JSON.encode(value)


def json_cells(column: pa.ChunkedArray, *, nested: bool) -> list[Any]:
    """A column as JSON values."""
    cells = _plain_cells(column)
    if nested:
        return [_finite(json.loads(cell)) if cell is not None else None for cell in cells]
    return [_finite(cell) for cell in cells] if pa.types.is_floating(column.type) else cells


def _short(value: float) -> float:
    return float(str(np.float32(value)))


def _plain_cells(column: pa.ChunkedArray) -> list[Any]:
    column = column.cast(_plain(column.type))
    if pa.types.is_string(column.type):
        return cell_texts(column)
    if pa.types.is_float32(column.type):
        return [None if text is None else float(text) for text in column.cast(pa.string()).to_pylist()]
    cells: list[Any] = column.to_pylist()
    if column.type == _TOP_K:
        return [
            cell and [{**best, "confidence": _finite(_short(best["confidence"]))} for best in cell] for cell in cells
        ]
    return [_finite(cell) for cell in cells] if pa.types.is_nested(column.type) else cells


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without dictionaries. Times become text, because Python's times have no nanoseconds."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type), getattr(kind, "list_size", -1))
    return pa.large_list(_plain(kind.value_type)) if pa.types.is_large_list(kind) else kind


def _finite(value: Any) -> Any:  # noqa: ANN401 - any cell
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _finite(within) for name, within in value.items()}
        case list() | tuple():
            return [_finite(within) for within in value]
    return value


def csv_lines(records: Iterable[Sequence[object]], delimiter: str = ",") -> Iterator[str]:
    """Records as CSV (RFC 4180), with Unix line ends.

    Before Python 3.13, the csv module does not quote a lone carriage return.
    """
    written: list[str] = []
    file = SimpleNamespace(write=written.append)
    plain = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    quoted = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for record in records:
        plain.writerow(record)
        line = written.pop()
        if "\r" in line:
            quoted.writerow(record)
            line = written.pop()
        yield line


def without_formula(cell: object) -> object:
    """The cell, with an apostrophe in front if it would start a formula.

    A formula starts with ``=``, ``+``, ``-`` or ``@``, or their full-width forms. Leading spaces are ignored. A leading
    tab or line break also gets an apostrophe. Signed numbers such as ``-5`` or ``+3.2`` are not changed.
    """
    if isinstance(cell, str) and _FORMULA_START.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def escape_formula(text: str) -> str:
    """The text, with an apostrophe in front if it would start a formula."""
    bare = text.lstrip("'")
    return text if without_formula(bare) == bare else f"'{text}"


def unescape_formula(cell: str) -> str:
    """Undo :func:`escape_formula`. Also removes the apostrophe of :func:`without_formula`."""
    bare = cell.lstrip("'")
    return cell if bare == cell or without_formula(bare) == bare else cell[1:]
