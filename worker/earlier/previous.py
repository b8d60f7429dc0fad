"""The results of an earlier job, for a new one whose model and options are the same."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from models.errors import HangtagError, JobError
from models.preprocess import VERSION as PREPROCESS_VERSION
from models.storage.storage import Storage
from worker.earlier.result_table import PLAIN_TABLES, PLAIN_TABLES_KEYS, Labelled, ResultCache, ResultTable
from worker.events import log_event
from worker.job import Job, JobOptions, JobSpec, ModelPin
from worker.photos.cells import Cells
from worker.results import read_part, results_of
from worker.scratch import temporary_folder

__all__ = ["PREVIOUS_FILE", "Carried", "Terms", "carry_over", "check_done", "open_previous"]

PREVIOUS_FILE: Final = "previous.sqlite"
_TEMPORARY: Final = ".previous-"
_MEMORY_KB: Final = 32_768


@dataclass(frozen=True)
class Terms:
    """What decides a photo's result, other than its bytes.

    The fields are those of :class:`ModelPin` and :class:`JobOptions`.
    """

    digest: str
    variant: str
    precision: float | None
    top_k: int
    preprocess_version: str
    threshold: float | None = None
    unpromised: bool = False

    @classmethod
    def of(cls, spec: JobSpec) -> Self:
        """The terms of a job."""
        return cls.of_new(spec.model, spec.options, spec.preprocess_version)

    @classmethod
    def of_new(cls, model: ModelPin, options: JobOptions, version: str = PREPROCESS_VERSION) -> Self:
        """The terms of a job that is being made."""
        top_k, threshold = options.top_k, model.threshold
        return cls(model.digest, model.variant, model.precision, top_k, version, threshold, model.unpromised)

    def changes_from(self, earlier: "Terms") -> str:
        """What differs, in words; empty if nothing does."""
        words = {
            "digest": "the model",
            "variant": "--variant",
            "precision": "--precision",
            "top_k": "--top-k",
            "preprocess_version": "preprocessing",
            "threshold": "--threshold",
            "unpromised": "what is labeled without a promise",
        }
        before, now = asdict(earlier), asdict(self)
        return " and ".join(words[name] for name in words if before[name] != now[name])


@dataclass(frozen=True)
class Carried:
    """What a new job may take over.

    Attributes:
        place: of the earlier job.
        rows: how many of its rows have a result that can be carried over.
        changed: what differs between the jobs, so that nothing can; empty where all is the same.
    """

    place: str
    rows: int
    changed: str = ""

    @property
    def words(self) -> str:
        """For a person."""
        if self.changed:
            return f"Nothing is carried over from {self.place}: {self.changed} changed; every row is labelled anew."
        return f"Rows whose photo is the same as one of the {self.rows:,} of {self.place} are carried over from there."


def check_done(job: Job, name: str) -> None:
    """Refuse to carry over from a job with rows that are not done.

    Raises:
        JobError: it has some.
    """
    waiting = sum(map(job.rows_in_chunk, job.missing_chunks()))
    if waiting:
        msg = (
            f"Expected {name}, the job to carry over from, to be finished; {waiting:,} of its {job.spec.rows:,} rows "
            "are not done. Let it end first, or go without --previous."
        )
        raise JobError(msg)


def carry_over(previous: Job, storage: Storage, terms: Terms) -> Carried:
    """Write what the parts of a finished job hold into the place of a new job; memory does not grow with the rows.

    Raises:
        JobError: a part of the earlier job is damaged, or the disk has no room for what it holds.
    """
    changed = terms.changes_from(Terms.of(previous.spec))
    if changed:
        storage.delete(PREVIOUS_FILE)  # of a run that named another job
        return Carried(previous.storage.place, 0, changed)
    with temporary_folder(storage.scratch, _TEMPORARY) as folder:
        file = folder / PREVIOUS_FILE
        try:
            rows = _written(previous, file, terms)
        except sqlite3.Error as error:
            msg = f"Expected to copy the results of {previous.storage.place} to {folder}, {error}; make room there."
            raise JobError(msg) from error
        storage.upload(PREVIOUS_FILE, file)
    return Carried(previous.storage.place, rows)


def _written(previous: Job, file: Path, terms: Terms) -> int:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-{_MEMORY_KB};")
        connection.executescript(PLAIN_TABLES)
        table = ResultTable(connection, previous.spec.model.reference)
        with table.transaction():
            table.say(_text(terms))
            for rows in _chunks(previous):
                table.put(rows)
        connection.executescript(PLAIN_TABLES_KEYS)
        return table.count()


def _chunks(job: Job) -> Iterator[list[Labelled]]:
    keys = job.part_keys()
    cells = Cells(job.spec.image_root, confined=job.spec.confined)
    for chunk in range(job.spec.chunks):
        try:
            part = read_part(job.storage, keys[chunk], job.spec.id, job.rows_in_chunk(chunk))
        except (KeyError, FileNotFoundError, JobError) as error:
            msg = (
                f"Expected all results of {job.storage.place}, the job to carry over from, those of chunk {chunk} are "
                f"gone or damaged ({error}); go without --previous."
            )
            raise JobError(msg) from error
        results = results_of(part)
        if any(result.etag for result in results):
            urls = [cells.url(cell) for cell in job.chunk_images(chunk)]
        else:
            urls = [None] * len(results)
        yield [Labelled(result, url) for result, url in zip(results, urls, strict=True)]


def open_previous(job: Job, folder: Path) -> ResultCache | None:
    """The results that a job may take over, if any; of a job elsewhere a copy is made in ``folder``."""
    try:
        if not job.storage.exists(PREVIOUS_FILE):
            return None
        place = job.storage.local(PREVIOUS_FILE, folder).absolute()
        connection = sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        said = ResultTable(connection, "").said()
    except (OSError, sqlite3.Error, HangtagError) as error:
        log_event("known_photos_lost", logging.WARNING, place=PREVIOUS_FILE, error=f"{type(error).__name__}: {error}")
        return None
    if said == _text(Terms.of(job.spec)):
        return ResultCache(connection, job.spec.model.reference, str(place))
    connection.close()  # left by a submit that was killed, of a job with another model
    return None


def _text(terms: Terms) -> str:
    """The terms as JSON, without newer fields that are not set, so that jobs from before these keep what they carry."""
    later = {name for name in ("threshold", "unpromised") if not getattr(terms, name)}
    return json.dumps({name: value for name, value in asdict(terms).items() if name not in later}, sort_keys=True)
