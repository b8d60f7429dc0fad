"""A job: a folder with a catalogue's rows and their results. A part file has one chunk's results.

A question is one model's part of a job, and is itself a :class:`Job`. A job's questions share its files.
"""

import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalogue.photo import DownloadLimits
from catalogue.photos import Photos, open_photos
from catalogue.urls import photo_cells, scheme_of
from models.decision import rule_text
from models.errors import ImageFault, InputError, JobError
from models.storage.storage import Storage
from models.text import numbered
from models.whole_file import naming_full_disk
from worker.job.parts import latest_parts, part_key, question_tables, read_part
from worker.request import JobOptions, Priority

if TYPE_CHECKING:
    from catalogue.addresses import Lookup

CHUNKS_PER_FILE: Final = 256
BATCH_ROWS: Final = 16_384


class Batch(NamedTuple):
    """Consecutive rows. ``first``: index of the first row, from 0. ``answers``: each question's results."""

    first: int
    answers: list[pa.Table]
    rows: pa.Table
    schemas: list[pa.Schema]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class ModelPin(_Record):
    """The job's model, fixed when the job was created.

    ``precision``: the promised precision, or None. ``all_to_review``: whether no class reaches the promised precision.
    ``threshold``: a confidence threshold instead of a promised precision. ``taxonomy``: label → its parent.
    """

    path: str
    reference: str
    variant: str
    digest: str
    precision: float | None = None
    all_to_review: bool = False
    threshold: float | None = None
    taxonomy: dict[str, str] | None = None

    @property
    def is_promised(self) -> bool:
        """Whether a precision is promised for at least one class."""
        return self.precision is not None and not self.all_to_review

    @property
    def rule(self) -> str:
        """A sentence that explains which rows are labeled."""
        return rule_text(self.precision, self.threshold, all_to_review=self.all_to_review)


class Question(_Record):
    """A model of the job. ``name``: prefix of its columns; empty in a job with one model."""

    name: str
    model: ModelPin


class JobSpec(_Record):
    """The contents of ``job.json``.

    Workers with another ``preprocess_version`` refuse the job. ``confined``: whether local photos must be inside
    ``image_root``. ``needs_root``: whether each worker needs the folder ``image_root``. ``left_out``: number of
    skipped files by extension. ``delimiter``: separator in the job's CSV files.
    """

    schema_version: Literal[1] = 1
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
    questions: Annotated[tuple[Question, ...], Field(min_length=1)]
    options: JobOptions
    confined: bool
    needs_root: bool
    chunks_per_file: Annotated[int, Field(ge=1)] = CHUNKS_PER_FILE
    delimiter: str = ","

    @property
    def named(self) -> bool:
        """Whether the job has named models, each with its own columns."""
        return bool(self.questions[0].name)


RETRYABLE: Final = frozenset({ImageFault.DOWNLOAD, ImageFault.TIMEOUT, ImageFault.CRASHED, ImageFault.MISSING})
"""Errors that a retry may fix. The other values of :class:`ImageFault` are permanent."""
_WIDTH: Final = 5
JOB_FILE: Final = "job.json"
CANCELLED: Final = "cancelled"
"""Workers skip a job with this file. The file has the reason for a failed merge, or is empty after a cancellation."""
QUESTIONS: Final = "questions"
_SCRATCH: Final = ".scratch-"
_OLD_S: Final = 3600.0
_LONGEST_URI: Final = 64


class Retry(_Record):
    """A retry of failed rows. ``number``: from 1, as in names of its part files (``.r1.arrow``); 0 means no retry."""

    number: int = 0
    chunks: frozenset[int] = frozenset()
    rows: int = 0
    begun_at: str = ""

    def lowest_retry(self, chunk: int) -> int:
        """The minimum retry number of a finished chunk's part file."""
        return self.number if chunk in self.chunks else 0


def begin_retry(job: "Job", number: int) -> Counter[str]:
    """Begin a retry of a finished job's rows that may succeed now; returns error → row count.

    A row that failed for one question is retried for all questions, since its photo may have changed.
    """
    kinds: Counter[str] = Counter()
    chunks: list[int] = []
    for chunk, key in sorted(job.part_keys().items()):
        faults = _passing(job, chunk, key)
        kinds.update(faults)
        chunks += [chunk] if faults else []
    if chunks:
        job.storage.delete(CANCELLED)  # cancelled after the job had ended
        if not commit_retry(job.storage, number, chunks, kinds.total()):
            msg = "Somebody else has just begun a retry of this job; watch it with hangtag jobs watch."
            raise JobError(msg)
    return kinds


def _passing(job: "Job", chunk: int, key: str) -> list[str]:
    rows = zip(*(part.column(0).to_pylist() for part in job.answers(chunk, key, ["error"])), strict=True)
    failed = (next((error for error in errors if error in RETRYABLE), None) for errors in rows)
    return [error for error in failed if error]


def commit_retry(storage: Storage, number: int, chunks: list[int], rows: int) -> bool:
    """Write a retry's file; False if a retry with this number exists."""
    retry = Retry(number=number, chunks=frozenset(chunks), rows=rows, begun_at=datetime.now(UTC).isoformat())
    return storage.commit(_retry_key(number), retry.model_dump_json().encode())


@lru_cache(maxsize=8)
def _read_retry(storage: Storage, number: int, _job: str) -> Retry:
    """Read a retry's file. ``_job`` is part of the cache key, since a new job may reuse the folder."""
    return Retry.model_validate_json(storage.read(_retry_key(number)))


def _retry_key(number: int) -> str:
    return f"retries/{number:0{_WIDTH}d}.json"


@dataclass(frozen=True)
class Job:
    """A whole job, or one question of the job ``whole``. ``storage``: the folder with the receipt."""

    spec: JobSpec
    storage: Storage
    name: str = ""
    whole: "Job | None" = None

    @property
    def home(self) -> Storage:
        """The whole job's storage, with the rows, part files and retries."""
        return self.whole.storage if self.whole else self.storage

    @property
    def _whole_id(self) -> str:
        return self.whole.spec.id if self.whole else self.spec.id

    @property
    def questions(self) -> "tuple[Job, ...]":
        """A :class:`Job` for each named model, or only this job if it has one model."""
        return tuple(map(self._question, self.spec.questions)) if self.spec.named else (self,)

    def question(self, name: str) -> "Job | None":
        """The question with this name, or None. In a job with one model, the name is empty."""
        return next((one for one in self.questions if one.name == name), None)

    def _question(self, question: Question) -> "Job":
        changes = {
            "id": f"{self.spec.id}.{question.name}",
            "options": self.spec.options.of_question(question.name),
            "questions": (question.model_copy(update={"name": ""}),),
        }
        storage = question_storage(self.storage, question.name)
        return Job(self.spec.model_copy(update=changes), storage, question.name, self)

    @property
    def model(self) -> ModelPin:
        """The first model, often the only one."""
        return self.spec.questions[0].model

    def chunk_images(self, chunk: int) -> list[str | None]:
        """A chunk's image cells; bytes that are not UTF-8 become surrogates."""
        column = self.chunk_table(chunk, [self.spec.image_column]).column(0)
        return photo_cells(column, self.spec.options.image_suffix, "surrogateescape")

    def chunk_table(self, chunk: int, columns: list[str] | None = None) -> pa.Table:
        """The catalogue rows of a chunk."""
        return self._rows(range(chunk, chunk + 1), columns)

    def _rows(self, chunks: range, columns: Sequence[str] | None) -> pa.Table:
        number, group = divmod(chunks[0], self.spec.chunks_per_file)
        file, reading = _rows_file(self.home, rows_key(number), self._whole_id)
        with reading:
            return file.read_row_groups(range(group, group + len(chunks)), columns, use_threads=False)

    def part(self, chunk: int, key: str, columns: list[str] | None = None) -> pa.Table:
        """Read one question's results from a part file."""
        return question_tables(self._part_table(chunk, key), [self.name], columns)[0]

    def answers(self, chunk: int, key: str, columns: list[str] | None = None) -> list[pa.Table]:
        """Read each question's results from a part file."""
        return question_tables(self._part_table(chunk, key), [question.name for question in self.questions], columns)

    def _part_table(self, chunk: int, key: str) -> pa.Table:
        return read_part(self.home, key, self._whole_id, self.rows_in_chunk(chunk))

    def batches(self, results: list[str] | None = None, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield all rows in order with their results, thousands at a time. Raises JobError."""
        keys, names, each = self.part_keys(), [question.name for question in self.questions], self.spec.chunks_per_file
        if missing := [chunk for chunk in range(self.spec.chunks) if chunk not in keys]:
            msg = f"Chunk {missing[0]} has no results; run the same command again."
            raise JobError(msg)
        for start in range(0, self.spec.chunks, each):  # one file of rows at a time, to save memory
            whole = range(start, min(start + each, self.spec.chunks))
            for chunks in (whole[at : at + self._at_once] for at in range(0, len(whole), self._at_once)):
                parts = [self._part_table(chunk, keys[chunk]) for chunk in chunks]
                answers = [one.combine_chunks() for one in question_tables(pa.concat_tables(parts), names, results)]
                first = chunks[0] * self.spec.chunk_rows
                yield Batch(first, answers, self._rows(chunks, columns), [part.schema for part in parts])

    @property
    def _at_once(self) -> int:
        return max(1, BATCH_ROWS // self.spec.chunk_rows)

    def part_keys(self) -> dict[int, str]:
        """Labelled chunk → key of its latest part file."""
        names = self.home.names("parts")
        return {chunk: part_key(chunk, retry) for chunk, retry in latest_parts(names).items()}

    def retry(self) -> Retry:
        """The job's latest :class:`Retry`."""
        number = max(numbered(self.home.names("retries"), ".json", width=_WIDTH), default=0)
        return _read_retry(self.home, number, self._whole_id) if number else Retry()

    def missing_chunks(self) -> list[int]:
        """Numbers of chunks that must still be labelled, in order."""
        return self.missing_from(latest_parts(self.home.names("parts")), self.retry())

    def missing_from(self, parts: dict[int, int], retry: Retry) -> list[int]:
        """Compute :meth:`missing_chunks` without reading files. ``parts``: from :func:`latest_parts`."""
        return [chunk for chunk in range(self.spec.chunks) if parts.get(chunk, -1) < retry.lowest_retry(chunk)]

    def rows_left(self, chunk: int, retry: Retry) -> int:
        """Number of rows to label in an unfinished chunk; in a retry, only failed rows."""
        earlier = self.earlier_part(chunk, retry.lowest_retry(chunk))
        return len(_passing(self, chunk, earlier)) if earlier else self.rows_in_chunk(chunk)

    def earlier_part(self, chunk: int, retry: int) -> str | None:
        """Key of a chunk's latest part file before a retry, or None."""
        keys = (part_key(chunk, number) for number in reversed(range(retry)))
        return next(filter(self.home.exists, keys), None)

    @property
    def cancelled(self) -> bool:
        """Whether workers skip the job: it was cancelled, or its results cannot be merged."""
        return self.home.exists(CANCELLED)

    @property
    def failure(self) -> str:
        """Why the results cannot be merged, or empty."""
        with suppress(FileNotFoundError):
            return self.home.read(CANCELLED).decode()
        return ""

    def rows_in_chunk(self, chunk: int) -> int:
        """Number of rows in a chunk."""
        return min(self.spec.chunk_rows, self.spec.rows - chunk * self.spec.chunk_rows)


def images_of(job: Job, table: pa.Table) -> list[str | None]:
    r"""Image cells for display: bytes that are not UTF-8 appear as ``\xff``."""
    return photo_cells(table.column(job.spec.image_column), job.spec.options.image_suffix)


def images_at(job: Job, numbers: list[int]) -> dict[int, str | None]:
    """Row index, from 0 → image cell."""
    chunks: defaultdict[int, list[int]] = defaultdict(list)
    for number in numbers:
        chunks[number // job.spec.chunk_rows].append(number)
    images: dict[int, str | None] = {}
    for chunk, own in chunks.items():
        cells = images_of(job, job.chunk_table(chunk, [job.spec.image_column]))
        images |= {number: cells[number % job.spec.chunk_rows] for number in own}
    return images


def shown_cell(cell: str | None) -> str | None:
    """An image cell for display; data URIs are shortened."""
    if cell and len(cell) > _LONGEST_URI and scheme_of(cell) == "data":
        return f"{cell[:_LONGEST_URI]}…"
    return cell


def open_job(storage: Storage) -> Job | None:
    """Open the job in a folder; None if ``job.json`` is missing. Raises JobError."""
    if not storage.exists(JOB_FILE):
        return None
    try:
        return Job(JobSpec.model_validate_json(storage.read(JOB_FILE)), storage)
    except ValidationError as error:
        msg = f"{JOB_FILE} in {storage.place} is damaged, or from another Hangtag version; use another name."
        raise JobError(msg) from error


def photos_of(job: Job, limits: DownloadLimits | None = None, lookup: "Lookup | None" = None) -> Photos:
    """Open a job's photos with the job's options. ``limits``, ``lookup``: see :func:`open_photos`."""
    spec, per_host = job.spec, job.spec.options.per_host
    if limits is None:
        limits = replace(DownloadLimits(), per_host=per_host, per_bucket=per_host) if per_host else DownloadLimits()
    hosts, headers = spec.options.allow_hosts or (), spec.options.headers or ()
    return open_photos(spec.image_root, hosts, limits, lookup, headers=headers, confined=spec.confined)


@contextmanager
def scratch_folder(storage: Storage) -> Iterator[Path]:
    """A temporary folder for files to upload. Deletes old folders of killed processes."""
    storage.scratch.mkdir(parents=True, exist_ok=True)
    for remains in storage.scratch.glob(f"{_SCRATCH}*"):
        with suppress(FileNotFoundError):  # another process may delete the folder first
            if remains.stat().st_mtime < time.time() - _OLD_S:
                shutil.rmtree(remains, ignore_errors=True)
    with (
        naming_full_disk(storage.scratch),
        tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=storage.scratch) as folder,
    ):
        yield Path(folder)


def question_storage(storage: Storage, name: str) -> Storage:
    """A question's folder inside the job's folder."""
    return storage.child(f"{QUESTIONS}/{name}") if name else storage


def rows_key(number: int) -> str:
    """Key of a file with catalogue rows."""
    return f"rows/{number:05d}.parquet"


@lru_cache(maxsize=2)
def _rows_file(storage: Storage, key: str, job: str) -> tuple[pq.ParquetFile, Lock]:
    """``job`` is part of the cache key, since a new job may reuse the folder."""
    try:
        return pq.ParquetFile(storage.source(key)), Lock()
    except FileNotFoundError as error:
        msg = f"Expected rows of job {job} at {key} in {storage.place}, but they are gone; start the job again."
        raise InputError(msg) from error
