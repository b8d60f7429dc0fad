"""Merges a job's part files into the result, ``review.csv`` and the file of products."""

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogue.catalogue import usual_image_column
from catalogue.photo import PhotoLocator
from catalogue.urls import is_url, scheme_of
from catalogue.writers import UNWRITABLE, csv_lines, holds_bytes, open_writer, text_cells, without_formula
from models.decision import ReviewReason
from models.errors import JobError
from models.whole_file import replacing, sync_file
from worker.job.job import Batch, Job, images_of, shown_cell
from worker.job.parts import (
    REVIEW_FIRST,
    REVIEW_LAST,
    THUMBNAIL,
    WORST,
    Status,
    result_columns,
    result_schema,
    worst_results,
)
from worker.job.receipt import GROUPS_FILES, REVIEW_FILE, SampleRow, corrected_name, groups_file
from worker.results.end_review import END_REASONS, EndReview, find_end_reviews, shown_pictures
from worker.results.products import (
    ProductStore,
    disagreement_to_review,
    needs_person,
    product_names,
    write_by_group,
)
from worker.results.tally import Tally

_IMPORT_COLUMNS: Final = ("was", "reviewer", "at")
_LONGEST_CELL: Final = 2000
_T = TypeVar("_T")


class ReviewList:
    """Sorts the rows for ``review.csv`` on disk."""

    def __init__(self, database: sqlite3.Connection, job: Job) -> None:
        self._database = database
        self._job = job
        self._cells = PhotoLocator(job.spec.image_root, confined=job.spec.confined)
        self._names = _catalogue_names(job)
        self._rows = 0
        database.execute(
            "CREATE TABLE doubt (confidence REAL, row INT, line TEXT, PRIMARY KEY (confidence, row)) WITHOUT ROWID"
        )

    def add(self, part: pa.Table, rows: pa.Table, needed: pa.ChunkedArray | None = None) -> None:
        """Store a batch's rows in review; with ``needed``, only these rows."""
        doubtful = pc.equal(part.column("status"), Status.REVIEW)
        doubtful = doubtful if needed is None else pc.and_(doubtful, needed)
        numbers = (pc.indices_nonzero(doubtful).to_numpy() + (self._rows + 1)).tolist()
        self._rows += part.num_rows
        if numbers:
            results = part.filter(doubtful)
            confidence = results.column("confidence")  # NaN counts as the lowest confidence
            unsure = pc.if_else(pc.is_null(confidence, nan_is_null=True), -1.0, confidence)
            order = pc.if_else(pc.equal(results.column("reason"), ReviewReason.REPEATED), -2.0, unsure).to_pylist()
            doubts = zip(order, numbers, self._lines(numbers, results, rows.filter(doubtful)), strict=True)
            self._database.executemany("INSERT INTO doubt VALUES (?, ?, ?)", doubts)

    def write(self, file: Path) -> int:
        """Write the list, such as ``review.csv``; returns its number of rows."""
        prefix = self._job.spec.options.prefix
        first, last = ([prefix + name for name in names] for names in (REVIEW_FIRST, REVIEW_LAST))
        with file.open("w", encoding="utf-8-sig", newline="") as out:  # Excel needs the mark
            header = [*self._kept(first), *self._names.values(), *last]
            out.writelines(csv_lines([list(map(without_formula, header))], self._job.spec.delimiter))
            out.writelines(
                line for (line,) in self._database.execute("SELECT line FROM doubt ORDER BY confidence, row")
            )
        sync_file(file)
        return int(self._database.execute("SELECT count(*) FROM doubt").fetchone()[0])

    def _kept(self, first: Sequence[_T]) -> Sequence[_T]:
        """Leave out the thumbnail column if the image column has the same name."""
        clash = self._job.spec.options.prefix + THUMBNAIL == self._job.spec.image_column
        return first[:-1] if clash else first

    def _lines(self, numbers: Sequence[int], results: pa.Table, rows: pa.Table) -> Iterator[str]:
        label, confidence, reason, sha256, model = (
            text_cells(results.column(name)) for name in ("label", "confidence", "reason", "sha256", "model")
        )
        best = _best_texts(results.column("top_k").combine_chunks())
        images = images_of(self._job, rows)
        places, unanswered = list(map(self._place, images)), [None] * len(numbers)
        first: Sequence[Sequence[object]] = (numbers, unanswered, label, confidence, reason, best, places)
        shown = list(map(shown_cell, images))
        cells = (shown if name == self._job.spec.image_column else _texts(rows.column(name)) for name in self._names)
        columns = (*self._kept(first), *cells, sha256, model)
        records = zip(*(map(without_formula, column) for column in columns), strict=True)
        return csv_lines(records, self._job.spec.delimiter)

    def _place(self, image: str | None) -> str | None:
        url, root = self._cells.url(image), self._job.spec.image_root
        if url or not image or scheme_of(image) or is_url(root):
            return url
        return os.path.join(root, self._cells.name(image))  # noqa: PTH118 - faster, runs for each row


def _catalogue_names(job: Job) -> dict[str, str]:
    """Catalogue column → its name in ``review.csv``, without binary columns.

    A name with another meaning in ``review.csv`` or its import gets the prefix ``catalogue_``.
    """
    image, prefix = job.spec.image_column, job.spec.options.prefix
    taken = {(prefix + name).casefold() for name in (*REVIEW_FIRST, *REVIEW_LAST, *_IMPORT_COLUMNS)} | {"corrected"}
    names: dict[str, str] = {}
    schema = job.chunk_table(0).schema
    for column in schema:
        shown = column.name
        if shown != image and (shown.casefold() in taken or usual_image_column([shown, image]) == shown):
            while shown.casefold() in taken or shown in schema.names:
                shown = f"catalogue_{shown}"
        if column.name == image or not holds_bytes(column.type):
            names[column.name] = shown
    return names


def _best_texts(top_k: pa.ListArray) -> list[str]:
    entries, ends = top_k.flatten(), np.cumsum(pc.list_value_length(top_k).to_numpy()).tolist()
    labels, confidences = (pc.struct_field(entries, name).to_pylist() for name in ("label", "confidence"))
    texts = [f"{label} {confidence:.2f}" for label, confidence in zip(labels, confidences, strict=True)]
    return ["; ".join(texts[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _texts(column: pa.ChunkedArray) -> list[object]:
    """Convert a column to CSV cells. Shortens long cells, and empties cells that CSV cannot express."""
    try:
        cells = text_cells(column)
        return [
            f"{one[:_LONGEST_CELL]}…" if isinstance(one, str) and len(one) > _LONGEST_CELL else one for one in cells
        ]
    except UNWRITABLE:
        if len(column) == 1:
            return [None]
        half = len(column) // 2
        return [*_texts(column.slice(0, half)), *_texts(column.slice(half))]


ROW_GROUP: Final = 65_536
ROW_GROUP_BYTES: Final = 64 * 1024 * 1024
VOTES: Final = ["label", "confidence", "status", "top_k", "reason", "sha256", "label_level", "leaf_guess"]
"""Part-file columns that product votes need."""
_CACHE_KIB: Final = 16 * 1024


def merge_job(job: Job, output: Path, folder: Path) -> "tuple[Tally, list[QuestionMerge]]":
    """Write a job's result to ``output``, and its review lists to the empty ``folder``; returns the counts.

    The result has the catalogue's columns and each question's columns. With named models, the result also has each
    row's worst status.
    """
    with ExitStack() as files:
        folders = [folder / question.name for question in job.questions]
        for own in folders if job.spec.named else ():
            own.mkdir()
        reviews = find_end_reviews(job)
        stores = _gather_votes(job, folder, reviews, files)
        products = groups_file(output)
        lists = zip(job.questions, folders, reviews, stores, strict=True)
        merges = [QuestionMerge(*each, products, files) for each in lists]
        whole = Tally() if job.spec.named else merges[0].tally
        _write_result(job, output, merges, whole)
        for merge in merges:
            merge.write_review()
    return whole, merges


class QuestionMerge:
    """Merges one question's results. ``doubtful``: the page's rows to review, by label; from :meth:`write_review`."""

    def __init__(
        self,
        question: Job,
        folder: Path,
        end: EndReview,
        store: ProductStore | None,
        products: str,
        files: ExitStack,
    ) -> None:
        self._question, self._folder, self._end = question, folder, end
        self.tally = Tally(repeated=shown_pictures(question, end), mix=end.mix)
        self.doubtful: dict[str, tuple[SampleRow, ...]] = {}
        self._review = ReviewList(files.enter_context(scratch_database(folder)), question)
        self._store = store
        self.groups = write_by_group(question, store, folder / products) if store else None

    def take(self, part: pa.Table, batch: Batch) -> pa.Table:
        """Send rows to review, then count the results of a batch."""
        part = self._end.apply(part)
        if self._store and self.groups and self.groups.disagreeing:
            part = disagreement_to_review(self._store, part, batch.rows)
        self.tally.add(part, partial(_images, self._question, batch), batch.schemas)
        needed = _needs_review(self._store, part, batch.rows) if self._store else None
        self._review.add(part, batch.rows, needed)
        return part

    def write_review(self) -> None:
        """Write ``review.csv``."""
        self._review.write(self._folder / REVIEW_FILE)
        self.doubtful = self.tally.least_sure.shown(self._question)


def _needs_review(store: ProductStore, part: pa.Table, rows: pa.Table) -> pa.ChunkedArray:
    # read_end_reviews finds rows with END_REASONS in review.csv, also rows of labeled products
    ended = pc.is_in(part.column("reason"), value_set=pa.array(sorted(END_REASONS), pa.string()))
    return pc.or_(ended, pc.fill_null(needs_person(store, part, rows), True))


def _images(question: Job, batch: Batch, rows: pa.Array) -> list[str | None]:
    return images_of(question, batch.rows.select([question.spec.image_column]).take(rows))


def _gather_votes(
    job: Job, folder: Path, reviews: Sequence[EndReview], files: ExitStack
) -> Sequence[ProductStore | None]:
    column = job.spec.options.group_column
    if column is None:
        return [None] * len(reviews)
    stores = product_stores(job, column, folder, files)
    for batch in job.batches(VOTES, [column]):
        names = product_names(batch.rows, column)
        for store, end, part in zip(stores, reviews, batch.answers, strict=True):
            store.add(end.apply(part), names)
    return stores


def product_stores(job: Job, column: str, folder: Path, files: ExitStack) -> list[ProductStore]:
    """An empty :class:`ProductStore` for each question; ``files`` closes them."""
    return [
        ProductStore(files.enter_context(scratch_database(folder)), column, question.model.taxonomy or {})
        for question in job.questions
    ]


@contextmanager
def scratch_database(folder: Path) -> Iterator[sqlite3.Connection]:
    """An empty SQLite database with a cache of 16 MiB.

    Its file is deleted immediately, so that a killed process leaves no file. Queries must not sort all rows, since
    SQLite would then write temporary files outside ``folder``.
    """
    file = folder / "scratch.sqlite"
    address = f"{file.resolve().as_uri()}?nolock=1"  # only this process opens the file, and shared disks may lack locks
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            database.execute("BEGIN")
            file.unlink()
            yield database
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise
        raise OSError(errno.ENOSPC, str(error), str(folder.parent)) from error


def upload_lists(job: Job, folder: Path) -> None:
    """Move the lists of :func:`merge_job` into the job's folder. After a retry, deletes their corrected copies."""
    retried = job.retry().number
    for question in job.questions:
        place = folder / question.name
        for name in (REVIEW_FILE, *GROUPS_FILES):
            if retried:
                question.storage.delete(corrected_name(name))
            if (place / name).exists():
                question.storage.upload(name, place / name)


def _write_result(job: Job, output: Path, merges: Sequence[QuestionMerge], whole: Tally) -> None:
    options, catalogue = job.spec.options, job.chunk_table(0).schema
    names = [result_schema(tree=question.model.taxonomy is not None).names for question in job.questions]
    fields, added = result_schema(tree=True), list[pa.Field]()
    for question, own in zip(job.questions, names, strict=True):
        added += [fields.field(name).with_name(question.spec.options.prefix + name) for name in own]
    worst = [pa.field(options.prefix + WORST, pa.string())] if job.spec.named else []
    schema = pa.schema([*catalogue, *added, *worst])
    escaped = frozenset(schema.names if options.excel_safe else schema.names[len(catalogue) :])

    def joined() -> Iterator[pa.Table]:
        for batch in job.batches():
            taken = [one.take(part, batch) for one, part in zip(merges, batch.answers, strict=True)]
            columns = [column for part, own in zip(taken, names, strict=True) for column in result_columns(part, own)]
            if job.spec.named:
                of_rows = worst_results(taken)
                whole.add(of_rows, partial(_images, job, batch), batch.schemas)
                columns.append(of_rows.column("status"))
            yield pa.Table.from_arrays([*batch.rows.columns, *columns], schema=schema)

    with replacing(output) as temporary:
        kind = (output.suffix.lower(), schema, escaped, job.spec.delimiter)
        with open_writer(temporary, *kind, mark=options.excel_safe) as write:
            rows = 0
            for table in join_tables(joined()):
                write(table)
                rows += table.num_rows
        if rows != job.spec.rows:
            msg = f"The job has {job.spec.rows} rows, but its part files have {rows}; report this. No file was written."
            raise JobError(msg)


def join_tables(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables to ``ROW_GROUP`` rows or ``ROW_GROUP_BYTES``. Small row groups make Parquet files slow."""
    held: list[pa.Table] = []
    count = size = 0
    for table in tables:
        held.append(table)
        count, size = count + table.num_rows, size + table.nbytes
        if count >= ROW_GROUP or size >= ROW_GROUP_BYTES:
            yield pa.concat_tables(held).combine_chunks()
            held, count, size = [], 0, 0
    if held:
        yield pa.concat_tables(held).combine_chunks()
