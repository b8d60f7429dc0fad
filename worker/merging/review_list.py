"""``review.csv``: the rows that a person should look at, least sure first, with room for the right label."""

import io
import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError
from models.whole_file import sync_file
from worker.job import Job, images_of
from worker.job_spec import JobOptions
from worker.merging.cells import CsvRows, inert, short, text_cells
from worker.merging.output import UNWRITABLE, holds_bytes
from worker.photos.cells import Cells
from worker.places import is_url, scheme_of
from worker.receipt import REVIEW_FILE
from worker.results import Status
from worker.sources.catalogue import IMAGE_COLUMNS

__all__ = ["CORRECT_LABEL", "THUMBNAIL", "ReviewList", "check_review_columns"]

CORRECT_LABEL: Final = "correct_label"
"""The column that a person types into."""
THUMBNAIL: Final = "thumbnail"
"""The column that says where the photo is, whatever its cell in the catalogue is relative to."""
_FIRST: Final = ("row", CORRECT_LABEL, "label", "confidence", "reason", "top_k", THUMBNAIL)
_LAST: Final = ("sha256", "model")
_RESULTS: Final = ("label", "confidence", "reason", "top_k", "sha256", "model")
_SAID_ELSEWHERE: Final = ("was", "reviewer", "at")
"""Columns that an import would take for a reviewer's words."""
_LONGEST_CELL: Final = 2000
_LONGEST_URI: Final = 64


def check_review_columns(image_column: str, options: JobOptions) -> None:
    """Refuse a catalogue whose image or group column has the name of a column that ``review.csv`` adds.

    Raises:
        InputError: there is such a column; the message names ``--prefix``.
    """
    ours = {options.prefix + name for name in (*_FIRST, *_LAST) if name != THUMBNAIL}
    taken = ours & {image_column, options.group_column}
    if taken:
        msg = (
            f"The catalogue's column {', '.join(map(str, taken))} has the name of a column of {REVIEW_FILE}; "
            "pass another --prefix, as in --prefix hangtag_."
        )
        raise InputError(msg)


class ReviewList:
    """Sorts a job's doubtful rows; memory does not grow with them."""

    def __init__(self, database: sqlite3.Connection, job: Job) -> None:
        self._database = database
        self._job = job
        self._cells = Cells(job.spec.image_root)
        self._names = _catalogue_names(job)
        self._rows = 0
        database.execute(
            "CREATE TABLE doubt (confidence REAL, row INT, line TEXT, PRIMARY KEY (confidence, row)) WITHOUT ROWID"
        )

    def add(self, part: pa.Table, rows: pa.Table) -> None:
        """Take the doubtful rows of a chunk; chunks come in order."""
        doubtful = pc.equal(part.column("status"), Status.REVIEW)
        if pc.any(doubtful).as_py():
            numbers = pc.indices_nonzero(doubtful).to_numpy() + (self._rows + 1)
            results = part.filter(doubtful).select([name for name in _RESULTS if name in part.column_names])
            found = zip(numbers.tolist(), *self._shown(rows.filter(doubtful)), results.to_pylist(), strict=True)
            self._database.executemany("INSERT INTO doubt VALUES (?, ?, ?)", map(self._entry, found))
        self._rows += part.num_rows

    def write(self, file: Path) -> None:
        """Write all doubtful rows into a new file."""
        prefix = self._job.spec.options.prefix
        ours = ([prefix + name for name in names] for names in (_FIRST, _LAST))
        first, last = ours
        encoding = "utf-8-sig" if self._job.spec.options.excel_safe else "utf-8"
        with file.open("w", encoding=encoding, newline="") as out:
            out.write(_line([*self._kept(first), *self._names.values(), *last]))
            out.writelines(
                line for (line,) in self._database.execute("SELECT line FROM doubt ORDER BY confidence, row")
            )
        sync_file(file)

    def _kept(self, first: Sequence[object]) -> Sequence[object]:
        """The cells before the catalogue's; without the photo's place if its column is called as the image column."""
        clash = self._job.spec.options.prefix + THUMBNAIL == self._job.spec.image_column
        return first[:-1] if clash else first

    def _shown(self, rows: pa.Table) -> Iterator[Sequence[Any]]:
        """The photos' places, and the catalogue's cells."""
        images = images_of(self._job, rows)
        yield [self._place(image) for image in images]
        columns = [
            [_shortened_uri(image) for image in images]
            if name == self._job.spec.image_column
            else _texts(rows.column(name))
            for name in self._names
        ]
        yield list(zip(*columns, strict=True))

    def _place(self, image: str | None) -> str | None:
        """Where a browser or a viewer finds the photo; none where the cell holds it."""
        url, root = self._cells.url(image), self._job.spec.image_root
        if url or not image or scheme_of(image) or is_url(root):
            return url
        return os.path.join(root, image)  # noqa: PTH118 - once a row, of a string

    def _entry(self, found: tuple[int, str | None, Sequence[object], dict[str, Any]]) -> tuple[float, int, str]:
        """Sort a confidence that is not a number first, as the least sure."""
        row, place, own, result = found
        confidence = short(result["confidence"])
        best = "; ".join(f"{entry['label']} {entry['confidence']:.2f}" for entry in result["top_k"])
        first = self._kept((row, None, result["label"], confidence, result.get("reason"), best, place))
        cells = (*first, *own, result["sha256"], result["model"])
        return (-1.0 if math.isnan(confidence) else confidence, row, _line(cells))


def _catalogue_names(job: Job) -> dict[str, str]:
    """The catalogue's columns → their names in ``review.csv``; columns that hold bytes are left out.

    A name gets ``catalogue_`` before it where it is ours, or where an import would take the column for what a reviewer
    said, or for the photos.
    """
    image, prefix = job.spec.image_column, job.spec.options.prefix
    before = IMAGE_COLUMNS.index(image.lower()) if image.lower() in IMAGE_COLUMNS else len(IMAGE_COLUMNS)
    taken = {prefix + name for name in (*_FIRST, *_LAST, *_SAID_ELSEWHERE)} | {"corrected"}
    names: dict[str, str] = {}
    schema = job.chunk_table(0).schema
    for field in schema:
        shown = field.name
        if shown != image and (shown in taken or shown.lower() in IMAGE_COLUMNS[:before]):
            while shown in taken or shown in schema.names:
                shown = f"catalogue_{shown}"
        if field.name == image or not holds_bytes(field.type):
            names[field.name] = shown
    return names


def _texts(column: pa.ChunkedArray) -> list[object]:
    """A column's cells, long ones shortened; one that only Parquet can express is empty."""
    try:
        return list(map(_shortened, text_cells(column)))
    except UNWRITABLE:
        if len(column) == 1:
            return [None]
        half = len(column) // 2
        return [*_texts(column.slice(0, half)), *_texts(column.slice(half))]


def _shortened(cell: object) -> object:
    return f"{cell[:_LONGEST_CELL]}…" if isinstance(cell, str) and len(cell) > _LONGEST_CELL else cell


def _shortened_uri(image: str | None) -> str | None:
    """A cell that holds its photo shows its beginning: the photo is known by its SHA-256."""
    if image and len(image) > _LONGEST_URI and scheme_of(image) == "data":
        return f"{image[:_LONGEST_URI]}…"
    return image


def _line(cells: Sequence[object]) -> str:
    buffer = io.StringIO(newline="")
    CsvRows(buffer).write([list(map(inert, cells))])
    return buffer.getvalue()
