"""``review.csv``: the rows that a person should look at, least sure first, with room for the right label."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from catalogue.catalogue import IMAGE_COLUMNS
from catalogue.photo import Cells
from catalogue.urls import is_url, scheme_of
from catalogue.writers import UNWRITABLE, csv_lines, holds_bytes, inert, text_cells
from models.whole_file import sync_file
from worker.job.columns import REVIEW_FIRST, REVIEW_LAST, THUMBNAIL
from worker.job.job import Job, images_of, shown_cell
from worker.job.parts import Status

_SAID_ELSEWHERE: Final = ("was", "reviewer", "at")
"""Columns that an import would take for a reviewer's words."""
_LONGEST_CELL: Final = 2000
_T = TypeVar("_T")


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
            numbers = (pc.indices_nonzero(doubtful).to_numpy() + (self._rows + 1)).tolist()
            results = part.filter(doubtful)
            lines = self._lines(numbers, results, rows.filter(doubtful))
            confidence = results.column("confidence")  # one that is no number comes first, as the least sure
            order = pc.if_else(pc.is_null(confidence, nan_is_null=True), -1.0, confidence).to_pylist()
            doubts = zip(order, numbers, lines, strict=True)
            self._database.executemany("INSERT INTO doubt VALUES (?, ?, ?)", doubts)
        self._rows += part.num_rows

    def write(self, file: Path) -> None:
        """Write all doubtful rows into a new file."""
        prefix = self._job.spec.options.prefix
        first, last = ([prefix + name for name in names] for names in (REVIEW_FIRST, REVIEW_LAST))
        encoding = "utf-8-sig" if self._job.spec.options.excel_safe else "utf-8"
        with file.open("w", encoding=encoding, newline="") as out:
            header = [*self._kept(first), *self._names.values(), *last]
            out.writelines(csv_lines([list(map(inert, header))]))
            out.writelines(
                line for (line,) in self._database.execute("SELECT line FROM doubt ORDER BY confidence, row")
            )
        sync_file(file)

    def _kept(self, first: Sequence[_T]) -> Sequence[_T]:
        """The cells before the catalogue's; without the photo's place if its column is called as the image column."""
        clash = self._job.spec.options.prefix + THUMBNAIL == self._job.spec.image_column
        return first[:-1] if clash else first

    def _lines(self, numbers: Sequence[int], results: pa.Table, rows: pa.Table) -> Iterator[str]:
        label, confidence, reason, sha256, model = (
            text_cells(results.column(name)) for name in ("label", "confidence", "reason", "sha256", "model")
        )
        best = [
            "; ".join(f"{entry['label']} {entry['confidence']:.2f}" for entry in top_k)
            for top_k in results.column("top_k").to_pylist()
        ]
        images = images_of(self._job, rows)
        places, unanswered = list(map(self._place, images)), [None] * len(numbers)
        first: Sequence[Sequence[object]] = (numbers, unanswered, label, confidence, reason, best, places)
        columns = (*self._kept(first), *self._catalogue_cells(images, rows), sha256, model)
        return csv_lines(zip(*(map(inert, column) for column in columns), strict=True))

    def _catalogue_cells(self, images: Sequence[str | None], rows: pa.Table) -> Iterator[Sequence[object]]:
        for name in self._names:
            if name == self._job.spec.image_column:
                yield list(map(shown_cell, images))
            else:
                yield _texts(rows.column(name))

    def _place(self, image: str | None) -> str | None:
        """Where a browser or a viewer finds the photo; none where the cell holds it."""
        url, root = self._cells.url(image), self._job.spec.image_root
        if url or not image or scheme_of(image) or is_url(root):
            return url
        return os.path.join(root, image)  # noqa: PTH118 - once a row, of a string


def _catalogue_names(job: Job) -> dict[str, str]:
    """The catalogue's columns → their names in ``review.csv``; columns that hold bytes are left out.

    A name gets ``catalogue_`` before it where it is ours, or where an import would take the column for what a reviewer
    said, or for the photos.
    """
    image, prefix = job.spec.image_column, job.spec.options.prefix
    before = IMAGE_COLUMNS.index(image.lower()) if image.lower() in IMAGE_COLUMNS else len(IMAGE_COLUMNS)
    taken = {prefix + name for name in (*REVIEW_FIRST, *REVIEW_LAST, *_SAID_ELSEWHERE)} | {"corrected"}
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
