"""Reuses results of identical photos that the same process or the ``--previous`` job labelled.

The key is a photo's SHA-256, or its URL and ETag. An SQLite file stores the previous job's results. If the file is lost
or damaged, photos are labelled again.
"""

import hashlib
import json
import logging
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from catalogue.photo import PhotoLocator
from catalogue.urls import photo_cells
from models.errors import HangtagError, JobError
from models.events import log_event
from models.preprocess import VERSION as PREPROCESS_VERSION
from models.storage.storage import Storage
from models.text import number_of
from worker.job.job import RETRYABLE, Job, ModelPin, scratch_folder
from worker.job.parts import PART_SCHEMA, PartRow, Scored, Status
from worker.request import JobOptions

PREVIOUS_FILE: Final = "previous.sqlite"
_TABLES: Final = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768;
CREATE TABLE photo (sha256 BLOB, result TEXT NOT NULL, checksum INT NOT NULL);
CREATE TABLE place (url BLOB, etag TEXT NOT NULL, sha256 BLOB NOT NULL);
CREATE TABLE about (terms TEXT NOT NULL);
"""
_KEYS: Final = "CREATE INDEX photo_key ON photo (sha256); CREATE INDEX place_key ON place (url);"
"""Created last: SQLite then sorts on disk, with little memory."""
_COLUMNS: Final = tuple(name for name in PART_SCHEMA.names if name not in {"sha256", "model", "etag"})
_URLS_AT_ONCE: Final = 500
_MOST_BYTES: Final = 1 << 25
_ENTRY_BYTES: Final = 512
"""A process clears its results after 65,000 photos (fewer with many classes)."""
_TERM_WORDS: Final = {
    "digest": "the model",
    "variant": "--variant",
    "precision": "--precision",
    "top_k": "--top-k",
    "preprocess_version": "preprocessing",
    "threshold": "--threshold",
}
Terms = dict[str, Any]
"""Settings that change a photo's result."""


class Known(NamedTuple):
    """A photo's earlier result. ``carried``: whether the result is from the ``--previous`` job."""

    sha256: str
    result: Scored | PartRow
    carried: bool


def _checksum(sha256: bytes, text: str) -> int:
    return zlib.crc32(text.encode(), zlib.crc32(sha256))


def _key(url: str) -> bytes:
    return hashlib.blake2b(url.encode(), digest_size=16).digest()


class PreviousResults:
    """Results of the ``--previous`` job. Finds no more results after an error in the SQLite file."""

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._place = place

    def find(self, sha256: str) -> Known | None:
        """The result of the photo with this SHA-256, or None."""
        digest = bytes.fromhex(sha256)
        for text, checksum in self._rows("SELECT result, checksum FROM photo WHERE sha256 = ? LIMIT 1", digest):
            if _checksum(digest, str(text)) == checksum:  # str(): a damaged cell may have another type
                return Known(sha256, dict(zip(_COLUMNS, json.loads(text), strict=True)), carried=True)
            self._lose("a result's checksum differs")
        return None

    def places(self, urls: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Map each known URL to its last ETag and SHA-256."""
        places: dict[str, tuple[str, str]] = {}
        for start in range(0, len(urls), _URLS_AT_ONCE):
            by_key = {_key(url): url for url in urls[start : start + _URLS_AT_ONCE]}
            query = f"SELECT url, etag, lower(hex(sha256)) FROM place WHERE url IN ({', '.join('?' * len(by_key))})"  # noqa: S608
            places |= {by_key[key]: (etag, sha256) for key, etag, sha256 in self._rows(query, *by_key)}
        return places

    def _rows(self, query: str, *values: bytes) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall() if self._connection else []
        except sqlite3.Error as error:
            self._lose(error)
            return []

    def _lose(self, error: object) -> None:
        _log_lost(self._place, error)
        self.close()

    def close(self) -> None:
        """Close the SQLite file, so that :meth:`find` returns None."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _log_lost(place: str, error: object) -> None:
    log_event("known_photos_lost", logging.WARNING, place=place, error=str(error))


class EarlierResults:
    """Results that one model can reuse, from the previous job and this process. Not thread-safe."""

    def __init__(self, previous: PreviousResults | None = None) -> None:
        self._previous = previous
        self._bytes = 0
        self._own: dict[str, Scored | PartRow] = {}
        self._places: dict[str, tuple[str, str]] = {}

    def find(self, sha256: str) -> Known | None:
        """The result of the photo with this SHA-256, or None."""
        known = self._previous.find(sha256) if self._previous else None
        own = self._own.get(sha256)
        return known if known or own is None else Known(sha256, own, carried=False)

    def at(self, url: str, etag: str) -> Known | None:
        """The result of the photo with this URL and ETag, or None."""
        place, sha256 = self._places.get(url, ("", ""))
        if place != etag and self._previous:
            place, sha256 = self._previous.places([url]).get(url, ("", ""))
        return self.find(sha256) if place == etag and sha256 else None

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """Map URLs of photos with a result to their last ETags."""
        places = self._previous.places(urls) if self._previous else {}
        places |= {url: self._places[url] for url in urls if url in self._places}
        return {url: etag for url, (etag, _) in places.items()}

    def add(self, sha256: str, result: Scored | PartRow, places: Iterable[tuple[str | None, str | None]]) -> None:
        """Store a result for identical photos. ``places``: the photo's URLs and their ETags."""
        if self._bytes > _MOST_BYTES:
            self._own.clear()
            self._places.clear()
            self._bytes = 0
        if sha256 not in self._own:
            self._bytes += _ENTRY_BYTES + (0 if isinstance(result, dict) else result[0].nbytes)
        self._own[sha256] = result
        if not isinstance(result, dict) or result["status"] != Status.FAILED:
            self._places.update({url: (etag, sha256) for url, etag in places if url and etag})

    def close(self) -> None:
        """Close the previous job's file."""
        if self._previous:
            self._previous.close()


def open_earlier_results(job: Job) -> EarlierResults:
    """Open the reusable results of a question's previous job. Logs errors, and raises none."""
    try:
        if not job.storage.exists(PREVIOUS_FILE):
            return EarlierResults()
        with ExitStack() as copy:  # from S3
            folder = Path() if job.storage.on_disk("") else copy.enter_context(scratch_folder(job.storage))
            place = job.storage.local(PREVIOUS_FILE, folder).absolute()
            connection = sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
            terms = connection.execute("SELECT terms FROM about").fetchone()
    except (OSError, sqlite3.Error, HangtagError) as error:
        _log_lost(PREVIOUS_FILE, error)
        return EarlierResults()
    if terms == (json.dumps(terms_of(job.model, job.spec.options)),):
        return EarlierResults(PreviousResults(connection, str(place)))
    connection.close()  # a killed hangtag submit wrote this file for another model
    return EarlierResults()


def terms_of(model: ModelPin, options: JobOptions, preprocess_version: str = PREPROCESS_VERSION) -> Terms:
    """Settings that change a photo's result."""
    return {
        "digest": model.digest,
        "variant": model.variant,
        "precision": model.precision,
        "top_k": options.top_k,
        "preprocess_version": preprocess_version,
        "threshold": model.threshold,
    }


def check_done(job: Job, name: str) -> None:
    """Raise JobError if the ``--previous`` job is unfinished."""
    waiting = sum(map(job.rows_in_chunk, job.missing_chunks()))
    if waiting:
        msg = (
            f"Expected --previous {name} to be finished, but {waiting:,} of its {job.spec.rows:,} rows are not done. "
            "Let it finish first, or leave out --previous."
        )
        raise JobError(msg)


def carry_over(previous: Job, storage: Storage, terms: Terms, name: str = "") -> str:
    """Copy results with the same ``terms`` from a finished job into a new job's folder."""
    place = previous.storage.place
    questions = [
        (question, terms_of(question.model, question.spec.options, question.spec.preprocess_version))
        for question in previous.questions
    ]
    source, before = min(questions, key=lambda one: (one[1] != terms, one[0].name != name))
    changed = " and ".join(words for term, words in _TERM_WORDS.items() if before[term] != terms[term])
    if changed:
        storage.delete(PREVIOUS_FILE)  # an earlier run may have stored another job's results
        return f"Every row is labelled again, without the results of {place}: {changed} changed."
    with scratch_folder(storage) as folder:
        file = folder / PREVIOUS_FILE
        try:
            photos = _write_results(source, file, terms)
        except (FileNotFoundError, JobError) as error:
            msg = f"--previous needs all results of {place}: {error} Or leave out --previous."
            raise JobError(msg) from error
        except sqlite3.Error as error:
            msg = f"Expected to copy the results of {place} to {folder}, got {error}; make room there."
            raise JobError(msg) from error
        storage.upload(PREVIOUS_FILE, file)
    return f"Photos that are already in {place} keep their labels ({number_of(photos, 'photo')})."


def _write_results(previous: Job, file: Path, terms: Terms) -> int:
    image = previous.spec.image_column
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(_TABLES)
        connection.execute("BEGIN")
        with connection:
            connection.execute("INSERT INTO about VALUES (?)", (json.dumps(terms),))
            for batch in previous.batches(columns=[image]):
                cells = photo_cells(batch.rows.column(0), previous.spec.options.image_suffix, "surrogateescape")
                _put(connection, previous, batch.answers[0].to_pylist(), cells)
        connection.executescript(_KEYS)
        return int(connection.execute("SELECT COUNT(DISTINCT sha256) FROM photo").fetchone()[0])


def _put(connection: sqlite3.Connection, job: Job, rows: Iterable[PartRow], cells: Iterable[str | None]) -> None:
    """Store results, except failures that may succeed later."""
    urls, photos, places = PhotoLocator(job.spec.image_root, confined=job.spec.confined), [], []
    for row, cell in zip(rows, cells, strict=True):
        if row["sha256"] and row["error"] not in RETRYABLE:
            sha256 = bytes.fromhex(row["sha256"])
            text = json.dumps([row[name] for name in _COLUMNS], ensure_ascii=False, separators=(",", ":"))
            photos.append((sha256, text, _checksum(sha256, text)))
            if row["etag"] and row["status"] != Status.FAILED and (url := urls.url(cell)):
                places.append((_key(url), row["etag"], sha256))
    connection.executemany("INSERT INTO photo VALUES (?, ?, ?)", photos)
    connection.executemany("INSERT INTO place VALUES (?, ?, ?)", places)
