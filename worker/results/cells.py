"""Cells of a result as CSV and JSON hold them; none that we write starts a spreadsheet formula."""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from catalogue.urls import cell_texts
from worker.job.parts import RESULT_SCHEMA

_BEGINS: Final = re.compile(r"[\s\x00-\x1f\x7f\ufeff\u200b]*[=+\-@＝＋－＠]|[\t\r\n]")
_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str, allow_nan=False)
_NUMBER: Final = re.compile(r"[+-][.,]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?")


def text_cells(column: pa.ChunkedArray) -> list[Any]:
    """A column's cells for CSV; nested ones become JSON."""
    cells = _plain_cells(column)
    if pa.types.is_nested(column.type):
        return [None if cell is None else json_text(cell) for cell in cells]
    return cells


def json_text(value: object) -> str:
    """JSON on one line; a value that JSON has no type for, such as a decimal number, becomes a string.

    Raises:
        ValueError: it holds NaN or an infinite number.
    """
    return _JSON.encode(value)


def json_cells(column: pa.ChunkedArray, *, nested: bool) -> list[Any]:
    """A column's cells for JSON."""
    cells = _plain_cells(column)
    if nested:
        return [_finite(json.loads(cell)) if cell is not None else None for cell in cells]
    return [_finite(cell) for cell in cells] if pa.types.is_floating(column.type) else cells


def _short(value: float) -> float:
    """The shortest decimal that is the same float32."""
    return float(str(np.float32(value)))


def _plain_cells(column: pa.ChunkedArray) -> list[Any]:
    column = column.cast(_plain(column.type))
    if pa.types.is_string(column.type):
        return cell_texts(column)
    if pa.types.is_float32(column.type):
        return [None if text is None else float(text) for text in column.cast(pa.string()).to_pylist()]
    cells: list[Any] = column.to_pylist()
    if column.type == RESULT_SCHEMA.field("top_k").type:
        return [
            cell and [{**best, "confidence": _finite(_short(best["confidence"]))} for best in cell] for cell in cells
        ]
    return [_finite(cell) for cell in cells] if pa.types.is_nested(column.type) else cells


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without dictionary encoding, and with text for times: Python's times have no nanoseconds."""
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


def _finite(value: Any) -> Any:  # noqa: ANN401 - whatever a cell holds
    """The value with null for NaN and infinite numbers, which JSON does not have."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _finite(within) for name, within in value.items()}
        case list() | tuple():
            return [_finite(within) for within in value]
    return value


def csv_lines(records: Iterable[Sequence[object]]) -> Iterator[str]:
    """Records as CSV, a line feed after each (RFC 4180 but for the carriage return, which Unix tools stumble over).

    Before Python 3.13 the csv module leaves a lone carriage return unquoted, and readers take it for the record's end.
    """
    written: list[str] = []
    file = SimpleNamespace(write=written.append)
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for record in records:
        plain.writerow(record)
        line = written.pop()
        if "\r" in line:
            quoted.writerow(record)
            line = written.pop()
        yield line


def inert(cell: object) -> object:
    """The cell, with an apostrophe in front if it would start a formula.

    A text starts one if it begins with ``=``, ``+``, ``-`` or ``@`` (of full width, too), after blanks or at once,
    or with a tab or a line break. A signed number such as ``-5`` or ``+3.2`` stays as it is.
    """
    if isinstance(cell, str) and _BEGINS.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
