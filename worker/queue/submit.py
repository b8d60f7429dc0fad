"""Write a catalogue into the folder of jobs, for workers to label."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from models.errors import InputError, JobError
from models.manifest import AUTO
from models.reference import ModelReference, resolve_model
from models.text import number_of
from worker.earlier.previous import carry_over, check_done, terms_of
from worker.job import Job
from worker.job_writer import create_job, differences
from worker.jobs import Jobs, check_name
from worker.model import fallback_pin, moved_words, note_model, verified_pin
from worker.photos.address import check_allow_hosts
from worker.photos.photo import Limits
from worker.places import is_url, stem_of
from worker.queue.settings import TIME_LIMIT_S
from worker.request import SubmitRequest
from worker.sources.catalogue import Catalogue

__all__ = ["Submitted", "chunk_rows", "name_part", "new_name", "previous_job", "submit"]

CHUNK_ROWS: Final = 256
_SHARE: Final = 0.9
_TRIES: Final = 2
_START_S: Final = 1.0
"""What a photo that hangs costs at most: so many tries in throw-away processes, and seconds to start each."""


@dataclass(frozen=True)
class Submitted:
    """A job in the folder of jobs; ``new`` if this call wrote it, since it may have been submitted before.

    It also says what may be taken over from an earlier job, which model and variant were found, and which column names
    the photos.
    """

    name: str
    job: Job
    new: bool
    carried: str = ""
    model: ModelReference | None = None
    column_words: str = ""
    variant_words: str = ""

    @property
    def record(self) -> dict[str, object]:
        """For machines."""
        spec, model = self.job.spec, {"model": self.model.said} if self.model else {}
        sizes = {"rows": spec.rows, "chunks": spec.chunks}
        return {"job": self.name, "new": self.new, "folder": self.job.storage.place, **sizes, **model}

    @property
    def size(self) -> str:
        """For people."""
        return f"{number_of(self.job.spec.rows, 'row')} in {number_of(self.job.spec.chunks, 'chunk')}"


def submit(
    request: SubmitRequest,
    jobs: Jobs,
    on_rows: Callable[[int], None] = lambda _: None,
    catalogue: Catalogue | None = None,
) -> Submitted:
    """Write a job: its model, its rows in chunks, and then ``job.json``; from then on workers can see it.

    Args:
        request: what to label, with what.
        jobs: where the job goes.
        on_rows: called with the number of rows read so far, before those that have just been read are written.
        catalogue: the rows, unless they are to be read from the source.

    Raises:
        InputError: the source or an option cannot be used.
        BundleError: the model is damaged or disagrees with itself on this machine.
        JobError: another job has that name, or the job to carry over from is not done.
        RegistryError: the registry has no such model, version or alias.
    """
    name = request.name
    check_name(name)
    check_allow_hosts(request.options.allow_hosts or ())
    if request.previous == name:
        msg = f"The job {name} cannot be carried over from itself; name another --job than --previous."
        raise InputError(msg)
    previous = previous_job(request.previous, jobs)
    model = resolve_model(request.model, request.registry)
    words, options = list[str](), request.options
    pin = verified_pin(model.path, request.variant, options, words.append)
    fallback = fallback_pin(model.path, pin, request.variant, options)
    catalogue = request.catalogue(".parquet", confined=True, given=catalogue)
    catalogue = replace(catalogue, batches=_counted(catalogue.batches, on_rows))
    jobs.bundles.put(model.path, pin.digest)
    earlier = jobs.get(name)
    if earlier is not None:
        if request.variant == AUTO and earlier.spec.model.digest == pin.digest:
            pin, fallback = earlier.spec.model, earlier.spec.fallback  # it goes on with what it was submitted with
        if other := differences(earlier.spec, catalogue, pin, options, fallback):
            msg = (
                f"There is a job {name} already, and it is not this one: {other}.{moved_words(earlier, model)} Pass "
                "another --job."
            )
            raise JobError(msg)
        return Submitted(name, earlier, new=False, model=model, column_words=catalogue.column_words)
    storage = jobs.storage(name)
    carried = carry_over(previous, storage, terms_of(pin, options)) if previous else ""
    rows = chunk_rows(options.timeout_s, options.download_timeout_s, request.per_host)
    note_model(storage, pin, model, fallback)
    job = create_job(
        storage,
        catalogue,
        pin,
        options,
        rows,
        request.priority,
        fallback=fallback,
        confined=True,
        per_host=request.per_host,
    )
    said = " ".join(words)
    return Submitted(
        name, job, new=True, carried=carried, model=model, column_words=catalogue.column_words, variant_words=said
    )


def previous_job(name: str | None, jobs: Jobs) -> Job | None:
    """The job to carry over from, if one is named.

    Raises:
        InputError: there is none.
        JobError: it is not done.
    """
    if name is None:
        return None
    job = jobs.find(name)
    check_done(job, name)
    return job


def chunk_rows(timeout_s: float, download_timeout_s: float | None = None, per_host: int | None = None) -> int:
    """How many rows a chunk has: so few that it ends within a task's time limit even if every photo times out.

    Args:
        timeout_s: that decoding a photo may take; photos are decoded one at a time.
        download_timeout_s: that downloading one may take; photos are decoded while others of their host come.
        per_host: downloads from one host at once.
    """
    limits = Limits()
    download_s = (download_timeout_s or limits.total_s) / (per_host or limits.per_host)
    return max(1, min(CHUNK_ROWS, int(TIME_LIMIT_S * _SHARE / max(_TRIES * timeout_s + _START_S, download_s))))


def new_name(source: Path | str) -> str:
    """A name for a job: its source's name and the time."""
    called = stem_of(str(source)) if is_url(str(source)) else Path(source).resolve().stem
    return f"{name_part(called)}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def name_part(called: str) -> str:
    """The beginning of a job's name: its source's name, at most 40 characters, only those that a name may have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", called).strip("-_")[:40] or "job"


def _counted(batches: Iterator[pa.RecordBatch], on_rows: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        on_rows(rows)
        yield batch
