"""Writes a catalogue into a job folder, in chunks. Refuses catalogue columns with names of result columns."""

import hashlib
import io
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, islice
from math import ceil
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogue.catalogue import Catalogue, open_catalogue
from catalogue.readers import JSON_FIELD
from catalogue.urls import URL_OR_DATA, is_url, photo_cells
from catalogue.writers import with_checked_cells
from models.errors import InputError, JobError
from models.preprocess import VERSION as PREPROCESS_VERSION
from models.storage.storage import Storage
from worker.job.job import CHUNKS_PER_FILE, JOB_FILE, Job, JobSpec, Question, rows_key
from worker.job.parts import PRODUCT_SCHEMA, REVIEW_FIRST, REVIEW_LAST, THUMBNAIL, WORST, result_schema
from worker.request import USUAL_OPTIONS, JobOptions, JobRequest, Priority

CHUNK_ROWS: Final = 128
CHUNK_BYTES: Final = 32 * 1024 * 1024
"""Maximum bytes of a chunk, estimated from the first rows. A labelling process holds a chunk in memory."""
MOST_CHUNK_BYTES: Final = 1024 * 1024 * 1024
"""Maximum bytes of a chunk, measured while its rows are read."""
_FEWEST_ROWS: Final = 16
"""A small catalogue is divided among many processes, but not into smaller chunks."""
_OPTIONS: Final = (
    *("image_suffix", "prefix", "top_k", "timeout_s", "precision", "group_column", "allow_hosts", "excel_safe"),
    *("threshold", "fixed_thresholds"),
)
_DECISIVE: Final = {name: f"--{name.replace('_', '-')}" for name in _OPTIONS} | {
    "allow_hosts": "--allow-host",
    "timeout_s": "--decode-timeout",
}
"""Options that change a job's results."""
_BEGINNING: Final = 400
"""Number of characters at the start of a cell that are searched for a path."""
FILE_BYTES: Final = 64 * 1024 * 1024
"""Target size of a file of rows, in bytes."""


def create_job(
    storage: Storage,
    catalogue: Catalogue,
    questions: Sequence[Question],
    options: JobOptions = USUAL_OPTIONS,
    chunk_rows: int = CHUNK_ROWS,
    priority: Priority = Priority.NORMAL,
    *,
    confined: bool = False,
    processes: int | None = None,
) -> Job:
    """Write a catalogue's rows into a job folder, then ``job.json``, which makes the folder a job.

    A chunk has at most ``chunk_rows`` rows, and fewer if rows are large. ``processes``: divide a small catalogue evenly
    among this number of processes.
    """
    catalogue, chunk_rows = _sized(catalogue, chunk_rows, processes)
    written = _write_rows(storage, catalogue, chunk_rows)
    spec = JobSpec(
        id=uuid.uuid4().hex[:12],
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        source=catalogue.source,
        image_column=catalogue.image_column,
        image_root=catalogue.image_root,
        rows=written.rows,
        chunk_rows=chunk_rows,
        chunks=written.chunks,
        rows_digest=written.digest,
        left_out=dict(catalogue.left_out),
        priority=priority,
        preprocess_version=PREPROCESS_VERSION,
        questions=tuple(questions),
        options=options,
        confined=confined,
        needs_root=written.has_paths and not is_url(catalogue.image_root),
        chunks_per_file=written.chunks_per_file,
        delimiter=catalogue.delimiter,
    )
    _commit_new(storage, JOB_FILE, spec.model_dump_json(indent=1).encode())
    return Job(spec, storage)


@dataclass(frozen=True)
class _Written:
    """The files of a catalogue's rows. ``has_paths``: whether some cells are local paths."""

    rows: int
    chunks: int
    digest: str
    has_paths: bool
    chunks_per_file: int


def _write_rows(storage: Storage, catalogue: Catalogue, chunk_rows: int) -> _Written:
    hasher = _RowsHasher(catalogue.schema)
    rows = chunks = 0
    has_paths = False
    tables = _chunk_tables(catalogue, chunk_rows)
    first = next(tables)
    chunks_per_file = max(1, min(CHUNKS_PER_FILE, FILE_BYTES // max(1, first.nbytes)))
    for number, file_chunks in enumerate(_groups(chain([first], tables), chunks_per_file)):
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, catalogue.schema, compression="zstd") as writer:
            for table in file_chunks:
                writer.write_table(table, row_group_size=chunk_rows)
                hasher.update(table)
                rows += table.num_rows
                chunks += 1
                if not has_paths:
                    cells = photo_cells(table.column(catalogue.image_column))
                    text = pa.array([cell and cell[:_BEGINNING] for cell in cells], pa.string())
                    names = pc.and_(pc.not_equal(text, ""), pc.invert(pc.match_substring_regex(text, URL_OR_DATA)))
                    has_paths = bool(pc.any(names).as_py())
        _commit_new(storage, rows_key(number), buffer.getvalue())
    return _Written(rows, chunks, hasher.digest(), has_paths, chunks_per_file)


def _sized(catalogue: Catalogue, most_rows: int, processes: int | None) -> tuple[Catalogue, int]:
    held = [next(catalogue.batches)]
    row_bytes = held[0].nbytes // max(1, held[0].num_rows)
    rows = max(1, min(most_rows, CHUNK_BYTES // max(1, row_bytes)))
    while processes and sum(batch.nbytes for batch in held) < CHUNK_BYTES:
        batch = next(catalogue.batches, None)
        if batch is None:  # all rows are read
            counted = sum(batch.num_rows for batch in held)
            each = ceil(counted / (rows * processes))
            rows = min(rows, max(_FEWEST_ROWS, ceil(counted / (each * processes))))
            break
        held.append(batch)
    return replace(catalogue, batches=chain(held, catalogue.batches)), rows


def _commit_new(storage: Storage, key: str, data: bytes) -> None:
    if not storage.commit(key, data) and storage.read(key) != data:
        msg = f"Expected no {key} in {storage.place}, but found another job's; name another place, or delete that job."
        raise JobError(msg)


def differences(job: JobSpec, catalogue: Catalogue, questions: Sequence[Question], options: JobOptions) -> str:
    """How a request differs from an existing job, such as ``--precision was 0.95, is now 0.9``; empty if they agree.

    Ignores ``--header``, which may have a new access token.
    """
    hasher = _RowsHasher(catalogue.schema)
    for table in _chunk_tables(catalogue, job.chunk_rows):
        hasher.update(table)
    changes: list[str] = []
    if hasher.digest() != job.rows_digest:
        moved = f"its catalogue is {job.source}, not {catalogue.source}"
        changes += [f"the rows of {job.source} have changed" if job.source == catalogue.source else moved]
    values: dict[str, tuple[object, object]] = {
        "--image-column": (job.image_column, catalogue.image_column),
        "--image-root": (job.image_root, catalogue.image_root),
        **{flag: (getattr(job.options, name), getattr(options, name)) for name, flag in _DECISIVE.items()},
    }
    changes += [f"{flag} was {_text(was)}, is now {_text(now)}" for flag, (was, now) in values.items() if was != now]
    return "; ".join([*changes, *_model_changes(job.questions, questions)])


def _model_changes(before: Sequence[Question], after: Sequence[Question]) -> Iterator[str]:
    if [(one.name, one.model.digest) for one in before] != [(one.name, one.model.digest) for one in after]:
        was, now = _models(before), _models(after)
        yield f"--model was {was}, is now {now}" if was != now else "the model's files have changed"
    elif (was := _variants(before)) != (now := _variants(after)):
        yield f"--variant was {was}, is now {now}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "given" if value else "not given"
    text = " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
    return text or "not given"


def _variants(questions: Iterable[Question]) -> str:
    return " ".join(one.model.variant for one in questions)


def _models(questions: Iterable[Question]) -> str:
    return " ".join(f"{one.name}={one.model.reference}" if one.name else one.model.reference for one in questions)


def _chunk_tables(catalogue: Catalogue, chunk_rows: int) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in catalogue.batches:
        held.append(batch)
        count += batch.num_rows
        if count < chunk_rows:
            size += batch.nbytes
            if size > MOST_CHUNK_BYTES:
                msg = (
                    f"Expected {chunk_rows} consecutive rows to have at most {MOST_CHUNK_BYTES:,} bytes, "
                    "but some have more; save photos as files, and put their paths into the cells."
                )
                raise InputError(msg)
            continue
        table = pa.Table.from_batches(held, catalogue.schema).combine_chunks()
        whole = count - count % chunk_rows
        for start in range(0, whole, chunk_rows):
            yield table.slice(start, chunk_rows)
        held, count, size = table.slice(whole).to_batches(), count - whole, 0
    if count:
        yield pa.Table.from_batches(held, catalogue.schema).combine_chunks()


def _groups(tables: Iterator[pa.Table], size: int) -> Iterator[Iterator[pa.Table]]:
    """Groups of ``size`` tables. Read all tables of a group before the next group."""
    for first in tables:
        yield chain([first], islice(tables, size - 1))


class _RowsHasher:
    """SHA-256 of the rows as an Arrow stream."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sha256 = hashlib.sha256()
        self._buffer = io.BytesIO()
        self._writer = pa.ipc.new_stream(self._buffer, schema)

    def update(self, table: pa.Table) -> None:
        self._writer.write_table(table)
        self._sha256.update(self._buffer.getvalue())
        self._buffer.seek(0)
        self._buffer.truncate()

    def digest(self) -> str:
        self._writer.close()
        self._sha256.update(self._buffer.getvalue())
        return self._sha256.hexdigest()


_OTHER_PREFIX: Final = "pass another --prefix, as in --prefix hangtag_."


def requested_catalogue(
    request: JobRequest,
    suffix: str,
    trees: Collection[str] = (),
    rows: Catalogue | None = None,
    *,
    confined: bool = False,
) -> tuple[Catalogue, JobOptions]:
    """Open the request's catalogue, unless ``rows`` is given; returns it with the options.

    The group column is spelled as in the catalogue. ``trees``: names of questions whose models have a tree of labels.
    Raises InputError if a column clashes with a new column, cannot be the group column, or does not fit into a
    ``suffix`` file.
    """
    options = request.options
    catalogue = rows or open_catalogue(
        request.source,
        options.image_column,
        options.image_root,
        options.encoding,
        options.allow_hosts,
        image_suffix=options.image_suffix,
        confined=confined,
    )
    if options.group_column is not None:
        options = replace(options, group_column=catalogue.find_column(options.group_column, "--group-column"))
    for name in request.models:
        own = options.of_question(name)
        _check_free(catalogue, own.prefix, result_schema(tree=name in trees).names)
        _check_product_column(catalogue.schema, own)
        of_review = [own.prefix + name for name in (*REVIEW_FIRST, *REVIEW_LAST) if name != THUMBNAIL]
        used = filter(None, {catalogue.image_column, options.group_column})
        if taken := _taken(used, of_review):
            msg = f"The catalogue's column {', '.join(taken)} clashes with a column of review.csv; {_OTHER_PREFIX}"
            raise InputError(msg)
    if "" not in request.models:
        _check_free(catalogue, options.prefix, [WORST])
    return with_checked_cells(catalogue, suffix, options.group_column), options


def _check_free(catalogue: Catalogue, prefix: str, added: Collection[str]) -> None:
    if taken := _taken(catalogue.schema.names, [prefix + name for name in added]):
        msg = f"The catalogue already has {', '.join(taken)}, which labelling adds; {_OTHER_PREFIX}"
        raise InputError(msg)


def _taken(names: Iterable[str], added: Iterable[str]) -> list[str]:
    """Ignores case, as Excel and SQL do."""
    folded = set(map(str.casefold, added))
    return [name for name in names if name.casefold() in folded]


def _check_product_column(schema: pa.Schema, options: JobOptions) -> None:
    column = options.group_column
    if column is None:
        return
    field = schema.field(column)
    kind = without_dictionary(field.type)
    usable = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer)
    if field.metadata == JSON_FIELD or not any(fits(kind) for fits in usable):
        mixed = "but its cells hold lists or mixed types"
        cells = mixed if field.metadata == JSON_FIELD else f"but its cells hold {field.type}"
        msg = (
            f"Expected only text, or only whole numbers, in the --group-column {column}, {cells}; write all "
            "cells as text, or name another column."
        )
        raise InputError(msg)
    if _taken([column], [options.prefix + name for name in PRODUCT_SCHEMA.names]):
        msg = f"The --group-column {column} clashes with a column of the product file by_group; {_OTHER_PREFIX}"
        raise InputError(msg)


def without_dictionary(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, without dictionary encoding."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind
