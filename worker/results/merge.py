"""Merges a job's parts into what people get: the result in the catalogue's order, the doubtful rows, the products."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from catalogue.writers import Write, open_writer
from models.errors import JobError
from models.whole_file import replacing
from worker.job.job import Job, images_of
from worker.job.parts import SEVERITY, WORST, result_columns, result_schema
from worker.job.receipt import GROUPS_FILE, REVIEW_FILE, GroupCounts, SampleRow
from worker.job.scratch import scratch_database
from worker.results.by_group import DisagreeingProduct, Disagreements, product_names, write_by_group
from worker.results.review_list import ReviewList
from worker.results.tally import Tally
from worker.results.vote import ProductStore

ROW_GROUP: Final = 65_536
ROW_GROUP_BYTES: Final = 64 * 1024 * 1024
Take = Callable[[pa.Table, pa.Table], pa.Table]
"""Takes a question's results of a chunk and its catalogue rows; returns the results to write."""
BATCH_ROWS: Final = 16_384
_VOTES: Final = ["label", "status", "top_k", "reason"]


@dataclass(frozen=True)
class Merged:
    """What a merge has counted.

    Attributes:
        tally: of the rows.
        groups: of the products; None if no group column was named.
        disagreeing: some products to look at.
        doubtful: label → some rows to review.
        questions: the same of each question, if the job has named models; ``tally`` has the rows' worst status then.
    """

    tally: Tally
    groups: GroupCounts | None = None
    disagreeing: tuple[DisagreeingProduct, ...] = ()
    doubtful: Mapping[str, tuple[SampleRow, ...]] = field(default_factory=dict)
    questions: tuple["Merged", ...] = ()


def merge_job(job: Job, output: Path, folder: Path) -> Merged:
    """Write a job's result, and into ``folder`` the lists that :func:`upload_lists` then moves into the job.

    Raises:
        JobError: a part is missing, is another job's, or its rows are not the chunk's.
    """
    with ExitStack() as files:
        folders = [_folder_of(question, folder) for question in job.questions]
        merging = [
            _Merging(question, place, store, files)
            for question, place, store in zip(job.questions, folders, _gathered(job, folders, files), strict=True)
        ]
        whole = Tally()

        def count(parts: Sequence[pa.Table], rows: pa.Table) -> None:
            whole.add(worst_results(parts), images_of(job, rows))

        merge_parts(job, output, [one.take for one in merging], count if job.spec.questions else lambda *_: None)
        done = [one.merged() for one in merging]
    return Merged(whole, questions=tuple(done)) if job.spec.questions else done[0]


class _Merging:
    """What becomes of one question's results, while the parts are read."""

    def __init__(self, question: Job, folder: Path, store: ProductStore | None, files: ExitStack) -> None:
        self._question, self._folder, self._tally = question, folder, Tally()
        self._review = ReviewList(files.enter_context(scratch_database(folder)), question)
        self._groups: GroupCounts | None = None
        self._disagreements: Disagreements | None = None
        column = question.spec.options.group_column
        if column is not None and store is not None:
            self._disagreements = Disagreements(question, column, store)
            self._groups = write_by_group(question, column, store, folder / GROUPS_FILE, self._disagreements.note)

    def take(self, part: pa.Table, rows: pa.Table) -> pa.Table:
        """Count the results of a chunk, and send those of disagreeing products to review."""
        amended = self._disagreements.amended(part, rows) if self._disagreements else part
        self._tally.add(amended, images_of(self._question, rows))
        self._review.add(amended, rows)
        return amended

    def merged(self) -> Merged:
        """What was counted; the list of doubtful rows is written."""
        self._review.write(self._folder / REVIEW_FILE)
        disagreeing = self._disagreements.shown() if self._disagreements else ()
        return Merged(self._tally, self._groups, disagreeing, self._tally.least_sure.shown(self._question))


def _folder_of(question: Job, folder: Path) -> Path:
    """Where a question's lists are written, in the folder of those of its job."""
    if question.name:
        folder = folder / question.name
        folder.mkdir()
    return folder


def worst_results(parts: Sequence[pa.Table]) -> pa.Table:
    """What is counted of rows with several results: the worst status and the first error, no label."""
    first = parts[0]
    nothing = pa.nulls(len(first))
    return pa.table(
        {
            "status": worst_status([part.column("status") for part in parts]),
            "label": nothing.cast(pa.string()),
            "confidence": nothing.cast(pa.float32()),
            "error": pc.coalesce(*(part.column("error") for part in parts)),
            "error_message": pc.coalesce(*(part.column("error_message") for part in parts)),
            "sha256": nothing.cast(pa.string()),
        }
    ).replace_schema_metadata(first.schema.metadata)


def worst_status(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """The worst status of each row, of those of its questions."""
    names = pa.array(sorted(SEVERITY, key=SEVERITY.__getitem__), pa.string())
    ranks = [pc.index_in(column, value_set=names) for column in columns]
    return names.take(pc.max_element_wise(*ranks, skip_nulls=False))


def _gathered(job: Job, folders: Sequence[Path], files: ExitStack) -> Sequence[ProductStore | None]:
    """The votes of all rows for each question, gathered several chunks at a time; None without a group column."""
    column = job.spec.options.group_column
    if column is None:
        return [None] * len(folders)
    trees = [question.model.taxonomy or {} for question in job.questions]
    databases = [files.enter_context(scratch_database(folder)) for folder in folders]
    stores = [ProductStore(database, parents) for database, parents in zip(databases, trees, strict=True)]
    held: list[tuple[list[pa.Table], pa.Table]] = []
    count = 0
    votes = [*_VOTES, *(["label_level"] if any(trees) else [])]
    for chunk, (parts, rows) in enumerate(read_chunks(job, votes, [column]), start=1):
        held.append((parts, rows))
        count += len(rows)
        if count >= BATCH_ROWS or chunk == job.spec.chunks:
            names = product_names(pa.concat_tables([rows for _, rows in held]), column)
            for place, store in enumerate(stores):
                store.add(pa.concat_tables([parts[place] for parts, _ in held]), names)
            held, count = [], 0
    return stores


def upload_lists(job: Job, folder: Path) -> None:
    """Put what :func:`merge_job` left in a folder into the job's place."""
    for question in job.questions:
        place = folder / question.name
        for name in (REVIEW_FILE, GROUPS_FILE):
            if (place / name).exists():
                question.storage.upload(name, place / name)


def merge_parts(
    job: Job,
    output: Path,
    takes: Sequence[Take] = (),
    count: Callable[[Sequence[pa.Table], pa.Table], None] = lambda *_: None,
) -> None:
    """Write a job's result beside its place and rename it into it.

    The catalogue's columns, then each question's, then, of a job with named models, each row's worst status.

    Args:
        job: whose chunks all have their parts.
        output: its ending chooses the format.
        takes: for each question; without them the parts are written as they are.
        count: called with each chunk's results of all questions, as they are written, and its catalogue rows.

    Raises:
        JobError: a part is missing, is another job's, or its rows are not the chunk's.
    """
    options = job.spec.options
    catalogue = job.chunk_table(0).schema
    fields = [added_fields(question, catalogue.names) for question in job.questions]
    added = [field.with_name(name) for own in fields for name, field in own.items()]
    if job.spec.questions:
        added.append(pa.field(options.prefix + WORST, pa.string()))
    schema = pa.schema([*catalogue, *added])
    harmless = frozenset(schema.names if options.excel_safe else schema.names[-len(added) :])

    def joined() -> Iterator[pa.Table]:
        for parts, rows in read_chunks(job):
            taken = [take(part, rows) for take, part in zip(takes, parts, strict=True)] if takes else parts
            count(taken, rows)
            columns = [
                column
                for part, own in zip(taken, fields, strict=True)
                for column in result_columns(part, [field.name for field in own.values()])
            ]
            if job.spec.questions:
                columns.append(worst_status([part.column("status") for part in taken]))
            yield pa.Table.from_arrays([*rows.columns, *columns], schema=schema)

    with replacing(output) as temporary:
        with open_writer(temporary, output.suffix.lower(), schema, harmless, mark=bool(options.excel_safe)) as write:
            rows = _write_rows(joined(), write)
        if rows != job.spec.rows:
            msg = f"The job has {job.spec.rows} rows, its parts hold {rows}; nothing was written. Please report this."
            raise JobError(msg)


def added_fields(question: Job, catalogue: Sequence[str]) -> dict[str, pa.Field]:
    """Name in the result → the column that labelling adds.

    A job that an earlier version began may have a catalogue with the name of a column that came later: that one is left
    out. A new job is refused then.
    """
    prefix, tree = question.spec.options.prefix, question.model.taxonomy is not None
    named = {prefix + field.name: field for field in result_schema(tree=tree)}
    return {name: field for name, field in named.items() if name not in catalogue}


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


def read_chunks(
    job: Job, results: list[str] | None = None, columns: list[str] | None = None
) -> Iterator[tuple[list[pa.Table], pa.Table]]:
    """The results of each chunk, a table for each of the job's questions, and its catalogue rows; in order.

    Raises:
        JobError: a part is missing, is another job's, or its rows are not the chunk's.
    """
    keys = job.part_keys()
    for chunk in range(job.spec.chunks):
        if chunk not in keys:
            msg = f"Chunk {chunk} has no part; run the same command again."
            raise JobError(msg)
        yield job.answers(chunk, keys[chunk], results), job.chunk_table(chunk, columns)
