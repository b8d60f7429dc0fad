"""Write a catalogue into the folder of jobs, for workers to label."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from models.errors import JobError
from worker.catalogue import open_catalogue
from worker.job import Job, JobOptions
from worker.job_writer import create_job, job_digest
from worker.jobs import Jobs, check_name
from worker.photos.address import check_allow_hosts
from worker.pin import verified_pin
from worker.priority import Priority
from worker.queue.settings import TIME_LIMIT_S
from worker.results import check_no_clash

__all__ = ["SubmitRequest", "Submitted", "new_name", "submit"]

CHUNK_ROWS: Final = 256
_SHARE: Final = 0.9
_TRIES: Final = 2
_START_S: Final = 1.0
"""What a photo that hangs costs at most: two tries in throw-away processes, and their start."""


@dataclass(frozen=True)
class SubmitRequest:
    """What a person asks of ``hangtag submit``.

    Attributes:
        source: a folder of photos, or a file that names them; a path, or an ``s3://`` or ``http(s)://`` URL.
        model: a bundle, or a lone ``.onnx`` file.
        options: what changes the results.
        name: of the job.
        variant: which of the bundle's models; its default where none is named.
        image_column: the column with the paths; the obvious one where it is not given.
        image_root: where relative paths start, on every worker: a folder or a URL.
        encoding: of a text catalogue; found from its first bytes where it is not given.
        per_host: downloads from one host at once, of each process.
        previous: name of an earlier job, whose rows are taken over where the photo is the same.
        priority: which jobs' chunks are taken first.
    """

    source: Path | str
    model: Path
    options: JobOptions
    name: str
    variant: str | None = None
    image_column: str | None = None
    image_root: Path | str | None = None
    encoding: str | None = None
    per_host: int | None = None
    previous: str | None = None
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True)
class Submitted:
    """A job that is in the folder of jobs.

    Attributes:
        name: of the job.
        job: the job.
        new: whether this call wrote it; the same job may have been submitted before.
    """

    name: str
    job: Job
    new: bool


def submit(request: SubmitRequest, jobs: Jobs, on_rows: Callable[[int], None]) -> Submitted:
    """Write a job: its model, its rows in chunks, and then ``job.json``, from when on workers can see it.

    Args:
        request: what to label, with what.
        jobs: where to.
        on_rows: called with the number of rows read so far.

    Raises:
        InputError: the source or an option cannot be used.
        BundleError: the model is damaged or disagrees with itself on this machine.
        JobError: another job has that name.
    """
    name = request.name
    check_name(name)
    check_allow_hosts(request.options.allow_hosts or ())
    pin = verified_pin(request.model, request.variant, request.options.precision)
    catalogue = open_catalogue(request.source, request.image_column, request.image_root)
    check_no_clash(catalogue.schema.names, request.options.prefix)
    catalogue = replace(catalogue, batches=_counted(catalogue.batches, on_rows))
    jobs.bundles.put(request.model, pin.digest)
    earlier = jobs.get(name)
    if earlier is not None:
        _check_same(name, earlier, job_digest(catalogue, pin, request.options, earlier.spec.chunk_rows))
        return Submitted(name, earlier, new=False)
    rows = chunk_rows(request.options.timeout_s)
    job = create_job(
        jobs.storage(name),
        catalogue,
        pin,
        request.options,
        rows,
        request.priority,
        confined=True,
        per_host=request.per_host,
    )
    return Submitted(name, job, new=True)


def chunk_rows(timeout_s: float) -> int:
    """How many rows a chunk has: as many as end within the time limit of a task even if each photo takes its whole."""
    return max(1, min(CHUNK_ROWS, int(TIME_LIMIT_S * _SHARE / (_TRIES * timeout_s + _START_S))))


def new_name(source: Path | str) -> str:
    """A name for a job of a source: what the source is called, and the time."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(source).resolve().stem).strip("-_")[:40] or "job"
    return f"{stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _counted(batches: Iterator[pa.RecordBatch], on_rows: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        yield batch
        rows += batch.num_rows
        on_rows(rows)


def _check_same(name: str, job: Job, digest: str) -> None:
    if job.spec.digest != digest:
        msg = (
            f"There is a job {name} already ({job.spec.source} with {job.spec.model.reference}), and it is not this "
            "one: the catalogue, the model or an option differs. Pass another --job."
        )
        raise JobError(msg)
