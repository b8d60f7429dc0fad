"""Results of single rows, and parts made of them: for tests, which think in rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models.decision import ReviewReason
from models.errors import ImageError
from models.storage.storage import Storage
from worker.job import parts
from worker.job.parts import PART_SCHEMA, Status, failed_cells


@dataclass(frozen=True)
class RowResult:
    """One row's result; the fields are the columns of ``PART_SCHEMA``."""

    label: str | None
    confidence: float | None
    status: Status
    error: str | None
    error_message: str | None
    top_k: tuple[tuple[str, float], ...] | None
    sha256: str | None
    model: str
    reason: ReviewReason | None = None
    etag: str | None = None
    label_level: int | None = None
    leaf_guess: str | None = None
    unknown: float | None = None


def failed_row(error: ImageError, sha256: str | None, model: str) -> RowResult:
    found = failed_cells(error)
    return RowResult(None, None, Status.FAILED, found["error"], found["error_message"], None, sha256, model)


def cells_of(row: RowResult) -> dict[str, Any]:
    """The cells that follow from the photo's bytes."""
    cells = results_table([row]).to_pylist()[0]
    return {name: cell for name, cell in cells.items() if name not in {"sha256", "model", "etag"}}


def results_table(rows: Sequence[RowResult]) -> pa.Table:
    return pa.Table.from_pylist(list(map(vars, rows)), PART_SCHEMA)


def results_of(table: pa.Table) -> list[RowResult]:
    """The inverse of :func:`results_table`."""
    results = []
    for row in table.to_pylist():
        best = row["top_k"]
        top_k = None if best is None else tuple((entry["label"], entry["confidence"]) for entry in best)
        reason = row["reason"] and ReviewReason(row["reason"])
        results.append(RowResult(**{**row, "status": Status(row["status"]), "top_k": top_k, "reason": reason}))
    return results


def part_bytes(rows: Sequence[RowResult] | Mapping[str, Sequence[RowResult]], *work: Any, **facts: Any) -> bytes:
    """A part of such results; ``work`` and ``facts``: see :func:`worker.job.parts.part_bytes`."""
    answers = rows if isinstance(rows, Mapping) else {"": rows}
    tables = {name: results_table(results) for name, results in answers.items()}
    return parts.part_bytes(tables, *work, **facts)


def read_part_file(storage: Storage, key: str) -> pa.Table:
    """All columns of a part, whatever job it is of."""
    return table_of(storage.read(key))


def table_of(part: bytes) -> pa.Table:
    return parts.open_stream(part).read_all()
