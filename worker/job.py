"""A job: the labelling of one catalogue with one bundle, as a folder that says all there is to know."""

import hashlib
import io
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import InputError, JobError
from worker.catalogue import Catalogue
from worker.storage import FolderStorage

__all__ = ["JOB_KEY", "Job", "JobOptions", "JobSpec", "ModelPin", "create_job", "job_digest", "open_job"]

JOB_FILE: Final = "job.json"
JOB_KEY: Final = b"hangtag.job"
"""Schema metadata of a part: the job it belongs to."""

CHUNK_ROWS: Final = 128
CHUNKS_PER_FILE: Final = 256
_PART_NAME: Final = re.compile(r"(\d{6,})\.r(\d+)\.parquet")


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
    """The contents of ``job.json``; never changed once written."""

    schema_version: Literal[1]
    id: str
    created_at: str
    source: str
    image_column: str
    image_root: str
    rows: int
    chunk_rows: int
    chunks: int
    rows_digest: str
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
    storage: FolderStorage

    def chunk_images(self, chunk: int) -> list[str | None]:
        """The photo's path of each row of a chunk, as the catalogue gives it."""
        return images_of(self, self.chunk_table(chunk, [self.spec.image_column]))

    def chunk_table(self, chunk: int, columns: list[str] | None = None) -> pa.Table:
        """The catalogue rows of a chunk."""
        file = _rows_file(self.storage.root / _rows_key(chunk // CHUNKS_PER_FILE), self.spec.id)
        return file.read_row_group(chunk % CHUNKS_PER_FILE, columns=columns)

    def part_keys(self) -> dict[int, str]:
        """Chunk → key of its part, the latest retry's, for every chunk that is done."""
        latest: dict[int, tuple[int, str]] = {}
        for name in self.storage.names("parts"):
            match = _PART_NAME.fullmatch(name)
            if match:
                chunk, retry = int(match[1]), int(match[2])
                latest[chunk] = max(latest.get(chunk, (-1, "")), (retry, f"parts/{name}"))
        return {chunk: key for chunk, (_, key) in latest.items()}

    def missing_chunks(self) -> list[int]:
        """Chunks that have no part yet, in order."""
        done = self.part_keys()
        return [chunk for chunk in range(self.spec.chunks) if chunk not in done]

    def rows_in_chunk(self, chunk: int) -> int:
        """How many rows a chunk has; the last one may have fewer."""
        return min(self.spec.chunk_rows, self.spec.rows - chunk * self.spec.chunk_rows)


def images_of(job: Job, table: pa.Table) -> list[str | None]:
    """The photo's path of each of some catalogue rows."""
    column: list[str | None] = table.column(job.spec.image_column).cast("string").to_pylist()
    return column


def part_key(chunk: int, retry: int = 0) -> str:
    """Key of the part that holds a chunk's results."""
    return f"parts/{chunk:06d}.r{retry}.parquet"


def create_job(
    storage: FolderStorage, catalogue: Catalogue, model: ModelPin, options: JobOptions, chunk_rows: int = CHUNK_ROWS
) -> Job:
    """Write a catalogue into a job folder; ``job.json`` comes last, so that a job is whole or absent.

    Returns:
        The new job.
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
        schema_version=1,
        id=uuid.uuid4().hex[:12],
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        source=str(catalogue.path.resolve()),
        image_column=catalogue.image_column,
        image_root=str(catalogue.image_root),
        rows=rows,
        chunk_rows=chunk_rows,
        chunks=chunks,
        rows_digest=rows_digest,
        model=model,
        options=options,
        digest=_digest(rows_digest, catalogue, model, options),
    )
    _commit_new(storage, JOB_FILE, spec.model_dump_json(indent=1).encode())
    return Job(spec, storage)


def _commit_new(storage: FolderStorage, key: str, data: bytes) -> None:
    if not storage.commit(key, data):
        msg = f"Expected no {key} in {storage.root} yet, found one; pass --restart to begin anew."
        raise JobError(msg)


def job_digest(catalogue: Catalogue, model: ModelPin, options: JobOptions, chunk_rows: int = CHUNK_ROWS) -> str:
    """The digest that a job of this catalogue, model and options has; reads the catalogue to its end."""
    hasher = _RowsHasher(catalogue.schema)
    for table in _chunk_tables(catalogue, chunk_rows):
        hasher.update(table)
    return _digest(hasher.digest(), catalogue, model, options)


def open_job(storage: FolderStorage) -> Job | None:
    """The job in a folder; none where no ``job.json`` was ever completed.

    Raises:
        JobError: ``job.json`` is of another version, or damaged.
    """
    if not storage.exists(JOB_FILE):
        return None
    try:
        return Job(JobSpec.model_validate_json(storage.read(JOB_FILE)), storage)
    except ValidationError as error:
        msg = f"{storage.root / JOB_FILE} is damaged or of another version of Hangtag; pass --restart to begin anew."
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
def _rows_file(path: Path, job: str) -> pq.ParquetFile:
    """The open file; ``job`` keeps apart two jobs that were in the same folder one after the other."""
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        msg = f"Expected the job's rows at {path}, they are gone; pass --restart to begin anew."
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
