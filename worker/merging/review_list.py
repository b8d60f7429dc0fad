"""``review.csv``: the rows that a person should look at, least sure first."""

import io
import math
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError
from models.whole_file import sync_file
from worker.job import Job, JobOptions
from worker.merging.cells import CsvRows, inert, short
from worker.receipt import REVIEW_FILE
from worker.results import Status

__all__ = ["ReviewList", "check_review_columns"]

_ROW: Final = "row"
_RESULTS: Final = ("label", "confidence", "reason", "top_k", "sha256", "model")


def check_review_columns(image_column: str, options: JobOptions) -> None:
    """Refuse a catalogue whose image or group column has the name of a column that ``review.csv`` adds.

    Raises:
        InputError: there is such a column; the message names ``--prefix``.
    """
    taken = {options.prefix + name for name in (_ROW, *_RESULTS)} & {image_column, options.group_column}
    if taken:
        msg = (
            f"The catalogue's column {', '.join(map(str, taken))} is called as a column of {REVIEW_FILE}; "
            "pass another --prefix, as in --prefix hangtag_."
        )
        raise InputError(msg)


class ReviewList:
    """Sorts a job's doubtful rows; memory does not grow with them."""

    def __init__(self, database: sqlite3.Connection, job: Job) -> None:
        self._database = database
        self._prefix = job.spec.options.prefix
        self._own = tuple(dict.fromkeys(filter(None, (job.spec.image_column, job.spec.options.group_column))))
        self._rows = 0
        database.execute(
            "CREATE TABLE doubt (confidence REAL, row INT, line TEXT, PRIMARY KEY (confidence, row)) WITHOUT ROWID"
        )

    def add(self, part: pa.Table, rows: pa.Table) -> None:
        """Take the doubtful rows of a chunk; chunks come in order."""
        doubtful = pc.equal(part.column("status"), Status.REVIEW)
        if pc.any(doubtful).as_py():
            numbers = pc.indices_nonzero(doubtful).to_numpy() + (self._rows + 1)
            own = rows.select(self._own).filter(doubtful)
            results = part.filter(doubtful).select([name for name in _RESULTS if name in part.column_names]).to_pylist()
            cells = zip(*(own.column(name).cast(pa.string()).to_pylist() for name in self._own), strict=True)
            found = zip(numbers.tolist(), cells, results, strict=True)
            self._database.executemany("INSERT INTO doubt VALUES (?, ?, ?)", map(_entry, found))
        self._rows += part.num_rows

    def write(self, file: Path) -> None:
        """Write all doubtful rows into a new file."""
        header = [self._prefix + _ROW, *self._own, *(self._prefix + name for name in _RESULTS)]
        with file.open("w", encoding="utf-8", newline="") as out:
            out.write(_line(header))
            out.writelines(
                line for (line,) in self._database.execute("SELECT line FROM doubt ORDER BY confidence, row")
            )
        sync_file(file)


def _entry(found: tuple[int, Sequence[str | None], dict[str, Any]]) -> tuple[float, int, str]:
    """Sort a confidence that is not a number first, as the least sure."""
    row, own, result = found
    confidence = short(result["confidence"])
    best = "; ".join(f"{entry['label']} {entry['confidence']:.2f}" for entry in result["top_k"])
    cells = (result["label"], confidence, result.get("reason"), best, result["sha256"], result["model"])
    return (-1.0 if math.isnan(confidence) else confidence, row, _line([row, *own, *cells]))


def _line(cells: Sequence[object]) -> str:
    buffer = io.StringIO(newline="")
    CsvRows(buffer).write([list(map(inert, cells))])
    return buffer.getvalue()
