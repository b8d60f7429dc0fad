"""Cells of a result as text formats hold them."""

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa

from worker.results import RESULT_SCHEMA

__all__ = ["json_cells", "short", "text_cells"]


def text_cells(column: pa.ChunkedArray) -> list[Any]:
    """A column's cells for CSV; nested ones become JSON."""
    cells = _plain_cells(column)
    if pa.types.is_nested(column.type):
        return [None if cell is None else json.dumps(cell, ensure_ascii=False, default=str) for cell in cells]
    return cells


def json_cells(column: pa.ChunkedArray, *, nested: bool) -> list[Any]:
    """A column's cells for JSON.

    Args:
        column: of a result.
        nested: whether its texts are JSON themselves.
    """
    cells = _plain_cells(column)
    if nested:
        return [json.loads(cell) if cell is not None else None for cell in cells]
    if pa.types.is_floating(column.type):
        return [cell if cell is None or math.isfinite(cell) else None for cell in cells]  # JSON has no such numbers
    return cells


def short(value: float) -> float:
    """The shortest decimal that is the same float32."""
    return float(str(np.float32(value)))


def _plain_cells(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    cells: list[Any] = column.to_pylist()
    if pa.types.is_float32(column.type):
        return [None if cell is None else short(cell) for cell in cells]
    if column.type == RESULT_SCHEMA.field("top_k").type:
        return [cell and [{**best, "confidence": short(best["confidence"])} for best in cell] for cell in cells]
    return cells
