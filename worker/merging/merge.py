"""Merges a job's parts into what people get: the result in the catalogue's order, the doubtful rows, the products."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from models.errors import JobError
from models.whole_file import replacing
from worker.job import Job, images_of
from worker.merging.output import Write, open_writer
from worker.merging.review_list import ReviewList
from worker.products.by_group import DisagreeingProduct, Disagreements, product_names, write_by_group
from worker.products.vote import ProductStore
from worker.receipt import GROUPS_FILE, REVIEW_FILE, GroupCounts
from worker.results import read_part, result_schema
from worker.scratch import scratch_database
from worker.tally import Tally

__all__ = ["Merged", "in_runs", "merge_job", "merge_parts", "read_chunks", "upload_lists"]

ROW_GROUP: Final = 65_536
ROW_GROUP_BYTES: Final = 64 * 1024 * 1024
OnPart = Callable[[pa.Table, pa.Table], None]
Amend = Callable[[pa.Table, pa.Table], pa.Table]
BATCH_ROWS: Final = 16_384
_VOTES: Final = ["label", "status", "top_k", "reason"]


@dataclass(frozen=True)
class Merged:
    """What a merge has counted.

    Attributes:
        tally: of the rows.
        groups: of the products; None if no group column was named.
        disagreeing: some products to look at.
    """

    tally: Tally
    groups: GroupCounts | None = None
    disagreeing: tuple[DisagreeingProduct, ...] = ()


def merge_job(job: Job, output: Path, folder: Path) -> Merged:
    """Write a job's result, and into ``folder`` the lists that :func:`upload_lists` then moves into the job.

    Raises:
        JobError: a part is missing, is another job's, or its rows are not the chunk's.
    """
    column = job.spec.options.group_column
    with scratch_database(folder) as doubtful, scratch_database(folder) as products:
        review, tally = ReviewList(doubtful, job), Tally()

        def take(part: pa.Table, rows: pa.Table) -> None:
            tally.add(part, images_of(job, rows))
            review.add(part, rows)

        merged = Merged(tally)
        if column is None:
            merge_parts(job, output, take)
        else:
            store = _gathered(job, column, products)
            disagreements = Disagreements(job, column, store)
            groups = write_by_group(job, column, store, folder / GROUPS_FILE, disagreements.note)
            merge_parts(job, output, take, disagreements.amended)
            merged = Merged(tally, groups, disagreements.shown())
        review.write(folder / REVIEW_FILE)
    return merged


def _gathered(job: Job, column: str, database: sqlite3.Connection) -> ProductStore:
    """The votes of all rows, gathered several chunks at a time."""
    parents = job.model.taxonomy or {}
    store, votes = ProductStore(database, parents), [*_VOTES, *(["label_level"] if parents else [])]
    held: list[tuple[pa.Table, pa.Table]] = []
    count = 0
    for chunk, (part, rows) in enumerate(read_chunks(job, votes, [column]), start=1):
        held.append((part, rows))
        count += len(rows)
        if count >= BATCH_ROWS or chunk == job.spec.chunks:
            parts, catalogue = zip(*held, strict=True)
            store.add(pa.concat_tables(parts), product_names(pa.concat_tables(catalogue), column))
            held, count = [], 0
    return store


def upload_lists(job: Job, folder: Path) -> None:
    """Put what :func:`merge_job` left in a folder into the job's place."""
    for name in (REVIEW_FILE, GROUPS_FILE):
        if (folder / name).exists():
            job.storage.upload(name, folder / name)


def merge_parts(job: Job, output: Path, on_part: OnPart, amend: Amend | None = None) -> None:
    """Write a job's result beside its place and rename it into it.

    For each chunk ``amend``, if given, turns the part and the catalogue's rows into the results to write; then
    ``on_part`` is called with both.

    Raises:
        JobError: a part is missing, is another job's, or its rows are not the chunk's.
    """
    options = job.spec.options
    results = result_schema(tree=job.model.taxonomy is not None)
    added = [field.with_name(options.prefix + field.name) for field in results]
    schema = pa.schema([*job.chunk_table(0).schema, *added])
    harmless = frozenset(schema.names if options.excel_safe else schema.names[-len(added) :])
    with replacing(output) as temporary:
        with open_writer(temporary, output.suffix.lower(), schema, harmless) as write:
            rows = _write_rows(_joined(job, schema, results.names, on_part, amend), write)
        if rows != job.spec.rows:
            msg = f"The job has {job.spec.rows} rows, its parts hold {rows}; nothing was written. Please report this."
            raise JobError(msg)


def _write_rows(tables: Iterator[pa.Table], write: Write) -> int:
    rows = 0
    for table in in_runs(tables):
        write(table)
        rows += table.num_rows
    return rows


def in_runs(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join tables to runs of ``ROW_GROUP`` rows: a row group a chunk would make a long footer and a slow file.

    Runs are shorter where rows are large, as those are that hold their photos.
    """
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


def _joined(
    job: Job, schema: pa.Schema, results: list[str], on_part: OnPart, amend: Amend | None
) -> Iterator[pa.Table]:
    for part, rows in read_chunks(job):
        amended = amend(part, rows) if amend else part
        on_part(amended, rows)
        yield pa.Table.from_arrays([*rows.columns, *amended.select(results).columns], schema=schema)


def read_chunks(
    job: Job, results: list[str] | None = None, columns: list[str] | None = None
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The results of each chunk and its catalogue rows, in order.

    Raises:
        JobError: a part is missing, is another job's, or its rows are not the chunk's.
    """
    keys = job.part_keys()
    for chunk in range(job.spec.chunks):
        if chunk not in keys:
            msg = f"Chunk {chunk} has no part; run the same command again."
            raise JobError(msg)
        part = read_part(job.storage, keys[chunk], job.spec.id, job.rows_in_chunk(chunk), results)
        yield part, job.chunk_table(chunk, columns)
