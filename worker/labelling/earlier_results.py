"""Results that a labelling process takes over: its own of this job, and the previous job's.

The key is a photo's SHA-256, or its URL and ETag. An SQLite file has the previous job's results, each with a checksum.
The file may be damaged or removed at any time: then photos are labelled again.
"""

import hashlib
import json
import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from models.errors import HangtagError
from models.events import log_event
from models.preprocess import VERSION as PREPROCESS_VERSION
from worker.job.job import RETRYABLE, Job, ModelPin, scratch_folder
from worker.job.parts import PART_SCHEMA, PartRow, Scored, Status
from worker.request import JobOptions

PREVIOUS_FILE: Final = "previous.sqlite"
_COLUMNS: Final = tuple(name for name in PART_SCHEMA.names if name not in {"sha256", "model", "etag"})
_FIND: Final = "SELECT sha256, result, checksum FROM photo WHERE sha256 = ? LIMIT 1"
_AT: Final = "SELECT sha256, result, checksum FROM place JOIN photo USING (sha256) WHERE url = ? AND etag = ? LIMIT 1"
_PUT_PHOTO: Final = "INSERT INTO photo VALUES (?, ?, ?)"
_PUT_PLACE: Final = "INSERT INTO place VALUES (?, ?, ?)"
_URLS_AT_ONCE: Final = 500
_MOST_BYTES: Final = 1 << 25
_ENTRY_BYTES: Final = 512
"""A process remembers its own results of 65,000 photos, fewer if there are many classes; then it begins anew."""
Terms = dict[str, Any]
"""The settings that decide a photo's result."""


class Known(NamedTuple):
    """The result of a photo's bytes, and whether it is the previous job's."""

    sha256: str
    result: Scored | PartRow
    carried: bool


def put_results(
    connection: sqlite3.Connection,
    rows: Iterable[PartRow],
    images: Iterable[str | None],
    url_of: Callable[[str | None], str | None],
) -> None:
    """Keep rows' results, except failures that may pass."""
    photos, places = [], []
    for row, image in zip(rows, images, strict=True):
        if row["sha256"] and row["error"] not in RETRYABLE:
            sha256 = bytes.fromhex(row["sha256"])
            cells = [row[name] for name in _COLUMNS]
            text = json.dumps(cells, ensure_ascii=False, separators=(",", ":"))
            photos.append((sha256, text, _checksum(sha256, text)))
            if row["etag"] and row["status"] != Status.FAILED and (url := url_of(image)):
                places.append((_key(url), row["etag"], sha256))
    connection.executemany(_PUT_PHOTO, photos)
    connection.executemany(_PUT_PLACE, places)


def _checksum(sha256: bytes, text: str) -> int:
    return zlib.crc32(text.encode(), zlib.crc32(sha256))


def _key(url: str) -> bytes:
    return hashlib.blake2b(url.encode(), digest_size=16).digest()


class PreviousResults:
    """The results of the previous job; after an error, every photo is unknown."""

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._place = place

    def find(self, sha256: str) -> Known | None:
        """The result of a photo with these bytes."""
        return self._known(_FIND, bytes.fromhex(sha256))

    def at(self, url: str, etag: str) -> Known | None:
        """The result of the bytes to which a host gave this ETag."""
        return self._known(_AT, _key(url), etag)

    def etags(self, urls: Sequence[str]) -> dict[str, str]:
        """URL → the ETag that its host last gave."""
        by_key, etags = {_key(url): url for url in urls}, dict[str, str]()
        waiting = iter(by_key)
        while keys := list(islice(waiting, _URLS_AT_ONCE)):
            marks = ", ".join("?" * len(keys))
            rows = self._rows(f"SELECT url, etag FROM place WHERE url IN ({marks})", *keys)  # noqa: S608
            etags.update({by_key[key]: etag for key, etag in rows})
        return etags

    def _known(self, query: str, *values: bytes | str) -> Known | None:
        for sha256, text, checksum in self._rows(query, *values):
            if _checksum(sha256, str(text)) == checksum:  # a changed cell may have another type
                return Known(sha256.hex(), dict(zip(_COLUMNS, json.loads(text), strict=True)), carried=True)
            self._lose("a result's checksum differs")
        return None

    def _rows(self, query: str, *values: bytes | str) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall() if self._connection else []
        except sqlite3.Error as error:
            self._lose(error)
            return []

    def _lose(self, error: object) -> None:
        _log_lost(self._place, error)
        self.close()

    def close(self) -> None:
        """Close the file; then every photo is unknown."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _log_lost(place: str, error: object) -> None:
    log_event("known_photos_lost", logging.WARNING, place=place, error=str(error))


class EarlierResults:
    """The results of one question: the previous job's, then this process's own; used in one thread."""

    def __init__(self, previous: PreviousResults | None = None) -> None:
        self._previous = previous
        self._bytes = 0
        self._own: dict[str, Scored | PartRow] = {}
        self._places: dict[str, tuple[str, str]] = {}

    def find(self, sha256: str) -> Known | None:
        """The result of a photo with these bytes."""
        known = self._previous.find(sha256) if self._previous else None
        own = self._own.get(sha256)
        return known if known or own is None else Known(sha256, own, carried=False)

    def at(self, url: str, etag: str) -> Known | None:
        """The result of the bytes that a host gave that ETag."""
        known = self._previous.at(url, etag) if self._previous else None
        place, sha256 = self._places.get(url, ("", ""))
        own = self._own.get(sha256) if place == etag else None
        return known if known or own is None else Known(sha256, own, carried=False)

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """URL → the ETag that its host last gave, if its bytes are known."""
        etags = self._previous.etags(urls) if self._previous else {}
        return etags | {url: self._places[url][0] for url in urls if url in self._places}

    def add(self, sha256: str, result: Scored | PartRow, places: Iterable[tuple[str | None, str | None]]) -> None:
        """Remember a result that would be the same another time; ``places``: URLs of the photo, with their ETags."""
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
    """A question's earlier results: at its start the previous job's. An error is logged."""
    return EarlierResults(_open_previous(job))


def _open_previous(job: Job) -> PreviousResults | None:
    """The previous job's results; from S3, the file is copied here."""
    try:
        if not job.storage.exists(PREVIOUS_FILE):
            return None
        with ExitStack() as copy:
            folder = Path() if job.storage.on_disk("") else copy.enter_context(scratch_folder(job.storage))
            place = job.storage.local(PREVIOUS_FILE, folder).absolute()
            connection = sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
            terms = connection.execute("SELECT terms FROM about").fetchone()
    except (OSError, sqlite3.Error, HangtagError) as error:
        _log_lost(PREVIOUS_FILE, error)
        return None
    if terms == (json.dumps(terms_of(job.model, job.spec.options)),):
        return PreviousResults(connection, str(place))
    connection.close()  # a killed submit with another model left it
    return None


def terms_of(model: ModelPin, options: JobOptions, preprocess_version: str = PREPROCESS_VERSION) -> Terms:
    """The settings that decide a photo's result."""
    return {
        "digest": model.digest,
        "variant": model.variant,
        "precision": model.precision,
        "top_k": options.top_k,
        "preprocess_version": preprocess_version,
        "threshold": model.threshold,
    }
