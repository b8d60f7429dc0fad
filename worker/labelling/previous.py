"""The results of an earlier job, for a new one whose model and options are the same."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from catalogue.photo import Cells
from models.errors import HangtagError, JobError
from models.events import log_event
from models.preprocess import VERSION as PREPROCESS_VERSION
from models.storage.storage import Storage
from worker.job.job import Job
from worker.job.parts import results_of
from worker.job.scratch import temporary_folder
from worker.job.spec import JobOptions, ModelPin
from worker.labelling.result_table import LabelledRow, ResultTable, put_results

PREVIOUS_FILE: Final = "previous.sqlite"
_TEMPORARY: Final = ".previous-"
_BEGIN: Final = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768;
CREATE TABLE photo (sha256 BLOB, result TEXT NOT NULL);
CREATE TABLE place (url BLOB, etag TEXT NOT NULL, sha256 BLOB NOT NULL);
CREATE TABLE about (said TEXT NOT NULL);
"""
_KEYS: Final = "CREATE INDEX photo_key ON photo (sha256); CREATE INDEX place_key ON place (url);"
"""The index is made last: rows that arrive sorted by their keys fill a database of any size in little memory."""
_TERMS: Final = {
    "digest": "the model",
    "variant": "--variant",
    "precision": "--precision",
    "top_k": "--top-k",
    "preprocess_version": "preprocessing",
    "threshold": "--threshold",
    "unpromised": "what is labeled without a promise",
}
"""What decides a photo's result, other than its bytes, with a name for people."""
_LATER: Final = ("threshold", "unpromised")
Terms = dict[str, Any]


def terms_of(model: ModelPin, options: JobOptions, preprocess_version: str = PREPROCESS_VERSION) -> Terms:
    """What decides the results of a job, other than the bytes of its photos."""
    return {
        "digest": model.digest,
        "variant": model.variant,
        "precision": model.precision,
        "top_k": options.top_k,
        "preprocess_version": preprocess_version,
        "threshold": model.threshold,
        "unpromised": model.unpromised,
    }


def check_done(job: Job, name: str) -> None:
    """Refuse to carry over from a job with rows that are not done.

    Raises:
        JobError: it has such rows.
    """
    waiting = sum(map(job.rows_in_chunk, job.missing_chunks()))
    if waiting:
        msg = (
            f"Expected {name}, the job to carry over from, to be finished; {waiting:,} of its {job.spec.rows:,} rows "
            "are not done. Let it end first, or leave out --previous."
        )
        raise JobError(msg)


def carry_over(previous: Job, storage: Storage, terms: Terms, name: str = "") -> str:
    """Write the results of a finished job into the folder of a new job; memory does not grow with the rows.

    ``name``: of the question that takes over. Of an earlier job's questions, one with the same model and options gives.

    Returns:
        What is carried over, for a person.

    Raises:
        JobError: a part of the earlier job is damaged, or the disk has no room for what it holds.
    """
    place = previous.storage.place
    others = sorted(previous.questions, key=lambda question: (_terms(question) != terms, question.name != name))
    previous = others[0]
    before = _terms(previous)
    changed = " and ".join(words for name, words in _TERMS.items() if before[name] != terms[name])
    if changed:
        storage.delete(PREVIOUS_FILE)  # of a run that named another job
        return f"Nothing is carried over from {place}: {changed} changed; every row is labelled again."
    with temporary_folder(storage.scratch, _TEMPORARY) as folder:
        file = folder / PREVIOUS_FILE
        try:
            rows = _written(previous, file, terms)
        except sqlite3.Error as error:
            msg = f"Expected to copy the results of {place} to {folder}, {error}; make room there."
            raise JobError(msg) from error
        storage.upload(PREVIOUS_FILE, file)
    return f"Rows whose photo is the same as one of the {rows:,} of {place} are carried over from there."


def _terms(job: Job) -> Terms:
    return terms_of(job.model, job.spec.options, job.spec.preprocess_version)


def _text(terms: Terms) -> str:
    """The terms as JSON, without newer terms that are not set, so that older jobs still match."""
    said = {name: value for name, value in terms.items() if value or name not in _LATER}
    return json.dumps(said, sort_keys=True)


def _written(previous: Job, file: Path, terms: Terms) -> int:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(_BEGIN)
        connection.execute("BEGIN")
        with connection:
            connection.execute("INSERT INTO about VALUES (?)", (_text(terms),))
            for rows in _chunks(previous):
                put_results(connection, rows)
        connection.executescript(_KEYS)
        return int(connection.execute("SELECT COUNT(*) FROM photo").fetchone()[0])


def _chunks(job: Job) -> Iterator[list[LabelledRow]]:
    keys = job.part_keys()
    cells = Cells(job.spec.image_root, confined=job.spec.confined)
    for chunk in range(job.spec.chunks):
        try:
            results = results_of(job.part(chunk, keys[chunk]))
        except (KeyError, FileNotFoundError, JobError) as error:
            msg = (
                f"Expected all results of {job.storage.place}, the job to carry over from, but those of chunk {chunk} "
                f"are gone or damaged ({error}); leave out --previous."
            )
            raise JobError(msg) from error
        images = job.chunk_images(chunk) if any(result.etag for result in results) else [None] * len(results)
        yield [LabelledRow(result, cells.url(cell)) for result, cell in zip(results, images, strict=True)]


def open_previous(job: Job, folder: Path) -> ResultTable | None:
    """The results that a job may take over, if any; those of a job in S3 are copied into ``folder``."""
    try:
        if not job.storage.exists(PREVIOUS_FILE):
            return None
        place = job.storage.local(PREVIOUS_FILE, folder).absolute()
        connection = sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        said = connection.execute("SELECT said FROM about").fetchone()
    except (OSError, sqlite3.Error, HangtagError) as error:
        log_event("known_photos_lost", logging.WARNING, place=PREVIOUS_FILE, error=f"{type(error).__name__}: {error}")
        return None
    if said == (_text(_terms(job)),):
        return ResultTable(connection, job.model.reference, str(place))
    connection.close()  # left by a submit that was killed, of a job with another model
    return None
