"""Carries the results of an earlier job over into a new one whose model and options are the same (``--previous``)."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from catalogue.photo import PhotoLocator
from catalogue.urls import photo_cells
from models.errors import JobError
from models.storage.storage import Storage
from models.text import number_of
from worker.job.job import Job, scratch_folder
from worker.labelling.earlier_results import PREVIOUS_FILE, Terms, put_results, terms_of

_TABLES: Final = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768;
CREATE TABLE photo (sha256 BLOB, result TEXT NOT NULL, checksum INT NOT NULL);
CREATE TABLE place (url BLOB, etag TEXT NOT NULL, sha256 BLOB NOT NULL);
CREATE TABLE about (terms TEXT NOT NULL);
"""
_KEYS: Final = "CREATE INDEX photo_key ON photo (sha256); CREATE INDEX place_key ON place (url);"
"""The index is made last: SQLite sorts the keys on disk, in little memory."""
_TERM_WORDS: Final = {
    "digest": "the model",
    "variant": "--variant",
    "precision": "--precision",
    "top_k": "--top-k",
    "preprocess_version": "preprocessing",
    "threshold": "--threshold",
}


def check_done(job: Job, name: str) -> None:
    """Raise JobError if a job for ``--previous`` is not finished."""
    waiting = sum(map(job.rows_in_chunk, job.missing_chunks()))
    if waiting:
        msg = (
            f"Expected {name}, which --previous names, to be finished; {waiting:,} of its {job.spec.rows:,} rows are "
            "not done. Let it end first, or leave out --previous."
        )
        raise JobError(msg)


def carry_over(previous: Job, storage: Storage, terms: Terms, name: str = "") -> str:
    """Write a finished job's results of the question with the same ``terms`` into the folder of a new job."""
    place = previous.storage.place
    source = min(previous.questions, key=lambda question: (_terms(question) != terms, question.name != name))
    before = _terms(source)
    changed = " and ".join(words for term, words in _TERM_WORDS.items() if before[term] != terms[term])
    if changed:
        storage.delete(PREVIOUS_FILE)  # of a run that named another job
        return f"Every row is labelled again, without the results of {place}: {changed} changed."
    with scratch_folder(storage) as folder:
        file = folder / PREVIOUS_FILE
        try:
            photos = _write_results(source, file, terms)
        except (FileNotFoundError, JobError) as error:
            msg = f"Expected all results of {place} for --previous: {error} Or leave out --previous."
            raise JobError(msg) from error
        except sqlite3.Error as error:
            msg = f"Expected to copy the results of {place} to {folder}, {error}; make room there."
            raise JobError(msg) from error
        storage.upload(PREVIOUS_FILE, file)
    return f"Photos that are already in {place} keep their answers (it has {number_of(photos, 'photo')})."


def _terms(job: Job) -> Terms:
    return terms_of(job.model, job.spec.options, job.spec.preprocess_version)


def _write_results(previous: Job, file: Path, terms: Terms) -> int:
    cells, image = PhotoLocator(previous.spec.image_root, confined=previous.spec.confined), previous.spec.image_column
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(_TABLES)
        connection.execute("BEGIN")
        with connection:
            connection.execute("INSERT INTO about VALUES (?)", (json.dumps(terms),))
            for batch in previous.batches(columns=[image]):
                images = photo_cells(batch.rows.column(0), previous.spec.options.image_suffix, "surrogateescape")
                put_results(connection, batch.answers[0].to_pylist(), images, cells.url)
        connection.executescript(_KEYS)
        return int(connection.execute("SELECT COUNT(DISTINCT sha256) FROM photo").fetchone()[0])
