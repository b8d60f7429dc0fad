"""A job: the labelling of one catalogue with one bundle, as a folder that says all there is to know."""

import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import InputError, JobError
from models.preprocess import VERSION as PREPROCESS_VERSION
from worker.catalogue import Catalogue
from worker.parts import latest_parts, part_key
from worker.priority import Priority
from worker.retry import NO_RETRY, Retry, read_retry
from worker.storage import Storage

__all__ = [
    "CANCELLED",
    "JOB_FILE",
    "Job",
    "JobOptions",
    "JobSpec",
    "ModelPin",
    "create_job",
    "images_of",
    "job_digest",
    "open_job",
]

JOB_FILE: Final = "job.json"
CANCELLED: Final = "cancelled"
CHUNK_ROWS: Final = 128
CHUNKS_PER_FILE: Final = 256


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelPin(_Record):
    """The model that a job is labelled with, whatever happens to the bundle's name later."""

    path: str
    reference: str
    variant: str
    digest: str


class JobOptions(_Record):
    """What changes the results."""

    prefix: str = ""
    top_k: Annotated[int, Field(ge=1)] = 3
    timeout_s: Annotated[float, Field(gt=0.0)] = 10.0


class JobSpec(_Record):
    """The contents of ``job.json``; never changed once written.

    Attributes:
        left_out: ending → how many files of a folder do not say image.
        preprocess_version: of ``models/preprocess.py``; workers of another version refuse the job.
    """

    schema_version: Literal[2]
    id: str
    created_at: str
    source: str
    image_column: str
    image_root: str
    rows: int
    chunk_rows: int
    chunks: int
    rows_digest: str
    left_out: dict[str, int]
    priority: Priority
    preprocess_version: str
    model: ModelPin
    options: JobOptions
    digest: str


@dataclass(frozen=True)
class Job:
    """A job on disk.

    Attributes:
        spec: what was asked.
        storage: where its rows and parts are.
    """

    spec: JobSpec
    storage: Storage

    def chunk_images(self, chunk: int) -> list[str | None]:
        """The photo's path of each row of a chunk, as the catalogue gives it."""
        return images_of(self, self.chunk_table(chunk, [self.spec.image_column]))

    def chunk_table(self, chunk: int, columns: list[str] | None = None) -> pa.Table:
        """The catalogue rows of a chunk."""
        file = _rows_file(self.storage, _rows_key(chunk // CHUNKS_PER_FILE), self.spec.id)
        return file.read_row_group(chunk % CHUNKS_PER_FILE, columns=columns)

    def part_keys(self) -> dict[int, str]:
        """Chunk → key of its part, the latest retry's, for every chunk that has one."""
        return {chunk: part_key(chunk, retry) for chunk, retry in latest_parts(self.storage.names("parts")).items()}

    def retry(self) -> Retry:
        """The latest retry of failed rows; number 0 where there was none."""
        numbers = [int(name.removesuffix(".json")) for name in self.storage.names("retries")]
        return read_retry(self.storage, max(numbers), self.spec.id) if numbers else NO_RETRY

    def missing_chunks(self) -> list[int]:
        """Chunks that have no part yet, or none of the latest retry that they belong to, in order."""
        return self.missing_from(latest_parts(self.storage.names("parts")), self.retry())

    def missing_from(self, parts: dict[int, int], retry: Retry) -> list[int]:
        """:meth:`missing_chunks`, of parts and a retry that have been looked up."""
        return [chunk for chunk in range(self.spec.chunks) if parts.get(chunk, -1) < retry.wanted(chunk)]

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cancelled it; what is done is kept."""
        return self.storage.exists(CANCELLED)

    def rows_in_chunk(self, chunk: int) -> int:
        """How many rows a chunk has; the last one may have fewer."""
        return min(self.spec.chunk_rows, self.spec.rows - chunk * self.spec.chunk_rows)


def images_of(job: Job, table: pa.Table) -> list[str | None]:
    """The photo's path of each of some catalogue rows."""
    column: list[str | None] = table.column(job.spec.image_column).cast("string").to_pylist()
    return column


def create_job(
    storage: Storage,
    catalogue: Catalogue,
    model: ModelPin,
    options: JobOptions,
    chunk_rows: int = CHUNK_ROWS,
    priority: Priority = Priority.NORMAL,
) -> Job:
    """Write a catalogue into a job folder; ``job.json`` comes last, so that a job is whole or absent.

    Rows that a killed run left there are taken as they are when they are the same.

    Returns:
        The new job.

    Raises:
        JobError: the folder holds a job, or other rows.
    """
    hasher = _RowsHasher(catalogue.schema)
    rows = chunks = 0
    for number, file_chunks in enumerate(_groups(_chunk_tables(catalogue, chunk_rows), CHUNKS_PER_FILE)):
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, catalogue.schema, compression="zstd") as writer:
            for table in file_chunks:
                writer.write_table(table, row_group_size=chunk_rows)
                hasher.update(table)
                rows += table.num_rows
                chunks += 1
        _commit_new(storage, _rows_key(number), buffer.getvalue())
    rows_digest = hasher.digest()
    spec = JobSpec(
        schema_version=2,
        id=uuid.uuid4().hex[:12],
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        source=str(catalogue.path.resolve()),
        image_column=catalogue.image_column,
        image_root=str(catalogue.image_root),
        rows=rows,
        chunk_rows=chunk_rows,
        chunks=chunks,
        rows_digest=rows_digest,
        left_out=dict(catalogue.left_out),
        priority=priority,
        preprocess_version=PREPROCESS_VERSION,
        model=model,
        options=options,
        digest=_digest(rows_digest, catalogue, model, options),
    )
    _commit_new(storage, JOB_FILE, spec.model_dump_json(indent=1).encode())
    return Job(spec, storage)


def _commit_new(storage: Storage, key: str, data: bytes) -> None:
    if not storage.commit(key, data) and storage.read(key) != data:
        msg = f"Expected no {key} in {storage.place} yet, found another's; name another place, or delete that one."
        raise JobError(msg)


def job_digest(catalogue: Catalogue, model: ModelPin, options: JobOptions, chunk_rows: int = CHUNK_ROWS) -> str:
    """The digest that a job of this catalogue, model and options has; reads the catalogue to its end."""
    hasher = _RowsHasher(catalogue.schema)
    for table in _chunk_tables(catalogue, chunk_rows):
        hasher.update(table)
    return _digest(hasher.digest(), catalogue, model, options)


def open_job(storage: Storage) -> Job | None:
    """The job in a folder; none where no ``job.json`` was ever completed.

    Raises:
        JobError: ``job.json`` is of another version, or damaged.
    """
    if not storage.exists(JOB_FILE):
        return None
    try:
        return Job(JobSpec.model_validate_json(storage.read(JOB_FILE)), storage)
    except ValidationError as error:
        msg = (
            f"{JOB_FILE} in {storage.place} is damaged, or of another version of Hangtag than this one; "
            "use the version that made it, or begin anew with --restart or another name."
        )
        raise JobError(msg) from error


def _digest(rows_digest: str, catalogue: Catalogue, model: ModelPin, options: JobOptions) -> str:
    asked = {
        "rows": rows_digest,
        "image_column": catalogue.image_column,
        "image_root": str(catalogue.image_root),
        "model": [model.digest, model.variant],
        "options": options.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _rows_key(number: int) -> str:
    return f"rows/{number:05d}.parquet"


@lru_cache(maxsize=2)
def _rows_file(storage: Storage, key: str, job: str) -> pq.ParquetFile:
    """The open file; ``job`` keeps apart two jobs that were in the same folder one after the other."""
    try:
        return pq.ParquetFile(storage.source(key))
    except FileNotFoundError as error:
        msg = f"Expected rows of job {job} at {key} in {storage.place}, they are gone; begin anew."
        raise InputError(msg) from error


def _chunk_tables(catalogue: Catalogue, chunk_rows: int) -> Iterator[pa.Table]:
    """The catalogue's rows in tables of exactly ``chunk_rows``, but for the last."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in catalogue.batches:
        held.append(batch)
        count += batch.num_rows
        if count < chunk_rows:
            continue
        table = pa.Table.from_batches(held, catalogue.schema).combine_chunks()
        whole = count - count % chunk_rows
        for start in range(0, whole, chunk_rows):
            yield table.slice(start, chunk_rows)
        held, count = table.slice(whole).to_batches(), count - whole
    if count:
        yield pa.Table.from_batches(held, catalogue.schema).combine_chunks()


def _groups(tables: Iterator[pa.Table], size: int) -> Iterator[Iterator[pa.Table]]:
    """Runs of ``size`` tables; each run must be read to its end before the next."""
    for first in tables:
        yield _run(first, tables, size)


def _run(first: pa.Table, rest: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    yield first
    for _, table in zip(range(size - 1), rest, strict=False):
        yield table


class _RowsHasher:
    """SHA-256 of rows as an Arrow stream, so that nested and dictionary columns count too."""

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
