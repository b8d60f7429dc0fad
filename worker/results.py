"""The columns that labelling adds to a catalogue row."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa

from models.decision import Prediction, ReviewReason
from models.errors import ImageError, InputError

__all__ = [
    "PART_SCHEMA",
    "RESULT_SCHEMA",
    "RowResult",
    "Status",
    "check_no_clash",
    "failed_row",
    "labeled_row",
    "results_of",
    "results_table",
]


class Status(StrEnum):
    """What became of a row."""

    LABELED = "labeled"
    REVIEW = "review"
    FAILED = "failed"


RESULT_SCHEMA: Final = pa.schema(
    [
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("error_message", pa.string()),
        ("top_k", pa.list_(pa.struct([("label", pa.string()), ("confidence", pa.float32())]))),
        ("sha256", pa.string()),
        ("model", pa.string()),
    ]
)
PART_SCHEMA: Final = RESULT_SCHEMA.append(pa.field("reason", pa.string())).append(pa.field("etag", pa.string()))
"""What a part holds, and the result does not: why a row went to review, and what the host calls the photo's bytes."""
_LONGEST_MESSAGE: Final = 2000


@dataclass(frozen=True)
class RowResult:
    """One row's result; the fields are the columns of :data:`PART_SCHEMA`."""

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


def labeled_row(prediction: Prediction, sha256: str, model: str, etag: str | None = None) -> RowResult:
    """The result of a photo that the model has seen."""
    return RowResult(
        label=prediction.label,
        confidence=prediction.confidence,
        status=Status.REVIEW if prediction.review else Status.LABELED,
        error=None,
        error_message=None,
        top_k=prediction.top_k,
        sha256=sha256,
        model=model,
        reason=prediction.reason,
        etag=etag,
    )


def failed_row(error: ImageError, sha256: str | None, model: str) -> RowResult:
    """The result of a photo that could not become pixels."""
    return RowResult(
        label=None,
        confidence=None,
        status=Status.FAILED,
        error=error.fault.value,
        error_message=_writable(str(error)),
        top_k=None,
        sha256=sha256,
        model=model,
    )


def _writable(message: str) -> str:
    """A message as it can be written to any file and shown: cells, paths and hosts put anything into it."""
    kept = message[:_LONGEST_MESSAGE]
    if kept.isprintable():
        return kept
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in kept)


def results_table(rows: list[RowResult]) -> pa.Table:
    """Results as a table of :data:`PART_SCHEMA`, in the order given."""
    columns = [pa.array([_cell(row, field.name) for row in rows], field.type) for field in PART_SCHEMA]
    return pa.Table.from_arrays(columns, schema=PART_SCHEMA)


def results_of(table: pa.Table) -> list[RowResult]:
    """The inverse of :func:`results_table`; a part from before there were reasons or ETags has none."""
    names = [name for name in PART_SCHEMA.names if name in table.column_names]
    return [_result(row) for row in table.select(names).to_pylist()]


def _result(row: dict[str, Any]) -> RowResult:
    best = row["top_k"]
    top_k = None if best is None else tuple((entry["label"], entry["confidence"]) for entry in best)
    reason = ReviewReason(row["reason"]) if row.get("reason") else None
    return RowResult(**{**row, "status": Status(row["status"]), "top_k": top_k, "reason": reason})


def _cell(row: RowResult, name: str) -> object:
    value: object = getattr(row, name)
    if name == "top_k" and row.top_k is not None:
        return [{"label": label, "confidence": confidence} for label, confidence in row.top_k]
    return value


def check_no_clash(columns: list[str], prefix: str) -> None:
    """Refuse a catalogue that has a column of a name that labelling adds.

    Raises:
        InputError: it has; the message names ``--prefix``.
    """
    taken = [prefix + name for name in RESULT_SCHEMA.names if prefix + name in columns]
    if taken:
        msg = (
            f"The catalogue already has {', '.join(taken)}, which labelling adds; "
            "pass another --prefix, as in --prefix hangtag_."
        )
        raise InputError(msg)
