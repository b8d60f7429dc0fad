"""A job's parts as all that people get of them: the result, the doubtful rows, the products."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from worker.job import Job, images_of
from worker.merging.merge import Amend, merge_parts, read_chunks
from worker.merging.review_list import ReviewList
from worker.merging.scratch import scratch_database
from worker.products.by_group import product_names, write_by_group
from worker.products.disagreement import DisagreeingProduct, Disagreements
from worker.products.store import ProductStore
from worker.receipt import GROUPS_FILE, REVIEW_FILE, GroupCounts, Tally

__all__ = ["Merged", "merge_job", "upload_lists"]

BATCH_ROWS: Final = 16_384
_VOTES: Final = ["label", "status", "top_k", "reason"]


@dataclass(frozen=True)
class Merged:
    """What a merge has counted.

    Attributes:
        tally: of the rows.
        groups: of the products; none where no column says which rows are of one.
        disagreeing: some products to look at.
    """

    tally: Tally
    groups: GroupCounts | None = None
    disagreeing: tuple[DisagreeingProduct, ...] = ()


def merge_job(job: Job, output: Path, folder: Path) -> Merged:
    """Write a job's result, and beside it what :func:`upload_lists` then puts in its place.

    Args:
        job: every chunk of it is done.
        output: the result; ends in one of ``OUTPUT_SUFFIXES``.
        folder: of this machine, for what only this merge needs.

    Raises:
        JobError: a part is missing, is another job's, or its rows are not the chunk's.
    """
    with ExitStack() as stack:
        review = ReviewList(stack.enter_context(scratch_database(folder)), job)
        column = job.spec.options.group_column
        if column is None:
            merged = Merged(_join(job, output, review))
        else:
            store = _gathered(job, column, stack.enter_context(scratch_database(folder)))
            disagreements = Disagreements(job, column, store)
            groups = write_by_group(job, column, store, folder / GROUPS_FILE, disagreements.note)
            tally = _join(job, output, review, disagreements.amended)
            merged = Merged(tally, groups, disagreements.shown())
        review.write(folder / REVIEW_FILE)
    return merged


def upload_lists(job: Job, folder: Path) -> None:
    """Put what :func:`merge_job` left in a folder into the job's place."""
    for name in (REVIEW_FILE, GROUPS_FILE):
        if (folder / name).exists():
            job.storage.upload(name, folder / name)


def _join(job: Job, output: Path, review: ReviewList, amend: Amend | None = None) -> Tally:
    tally = Tally()

    def take(part: pa.Table, rows: pa.Table) -> None:
        tally.add(part, images_of(job, rows))
        review.add(part, rows)

    merge_parts(job, output, take, amend)
    return tally


def _gathered(job: Job, column: str, database: sqlite3.Connection) -> ProductStore:
    store = ProductStore(database)
    for results, rows in _batches(job, column):
        store.add(results, product_names(rows, column))
    return store


def _batches(job: Job, column: str) -> Iterator[tuple[pa.Table, pa.Table]]:
    """What votes need of results and catalogue rows, many chunks at once."""
    held: list[tuple[pa.Table, pa.Table]] = []
    count = 0
    for part, rows in read_chunks(job, _VOTES, [column]):
        held.append((part, rows))
        count += len(rows)
        if count >= BATCH_ROWS:
            yield _joined(held)
            held, count = [], 0
    if held:
        yield _joined(held)


def _joined(held: list[tuple[pa.Table, pa.Table]]) -> tuple[pa.Table, pa.Table]:
    results, rows = zip(*held, strict=True)
    return pa.concat_tables(results), pa.concat_tables(rows)
