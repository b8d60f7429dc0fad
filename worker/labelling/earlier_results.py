"""The results that a labelling process need not compute again: those of this job here, and of the previous one.

They are found by the bytes of photos, and by what a host calls those bytes, in SQLite databases that may be locked,
full, damaged or removed at any time: a photo that is not found is labelled again.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self, TextIO, TypeVar

from models.decision import ReviewReason
from models.errors import HangtagError
from models.events import log_event
from models.preprocess import VERSION as PREPROCESS_VERSION
from models.process import boot_id, default_cache
from models.whole_file import open_lock
from worker.job.job import RETRYABLE, Job, ModelPin
from worker.job.parts import RowResult, Status
from worker.job.receipt import RECEIPT_FILE
from worker.request import JobOptions

CACHE_FILE: Final = "photos.sqlite"
PREVIOUS_FILE: Final = "previous.sqlite"
_TABLES: Final = """
PRAGMA synchronous=OFF;
PRAGMA journal_mode=WAL;
CREATE TABLE photo (sha256 BLOB PRIMARY KEY, result TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE place (url BLOB PRIMARY KEY, etag TEXT NOT NULL, sha256 BLOB NOT NULL) WITHOUT ROWID;
"""
"""Nothing is synced to the disk: the folder is of this boot, and a power cut ends it with the machine."""
_FIND: Final = "SELECT result FROM photo WHERE sha256 = ?"
_AT: Final = "SELECT hex(sha256), result FROM place JOIN photo USING (sha256) WHERE url = ? AND etag = ?"
_PUT_PHOTO: Final = "INSERT OR IGNORE INTO photo VALUES (?, ?)"
_PUT_PLACE: Final = "INSERT OR REPLACE INTO place VALUES (?, ?, ?)"
_URLS_AT_ONCE: Final = 500
_PAUSE_S: Final = 30.0
"""How long nothing is added after a write failed: a lock that is held for ever must not delay every batch."""
_MAX_BYTES: Final = 1 << 30
"""About four million photos; then nothing more is added."""
_BUSY_S: Final = 2.0
_LOCK: Final = "lock"
_OLD_S: Final = 7 * 24 * 3600.0
_Answer = TypeVar("_Answer")
Terms = dict[str, Any]
"""What decides a photo's result, other than its bytes."""


@dataclass(frozen=True)
class EarlierResult:
    """The result of a photo's bytes, and whether it is the previous job's."""

    result: RowResult
    carried: bool


@dataclass(frozen=True)
class LabelledRow:
    """A row that has just been labelled: its result, and where its photo came from, if over a network."""

    result: RowResult
    url: str | None


def put_results(connection: sqlite3.Connection, rows: Iterable[LabelledRow]) -> None:
    """Keep the results that would be the same another time, within a transaction; failed photos are asked for again."""
    kept = [
        (row, bytes.fromhex(row.result.sha256))
        for row in rows
        if row.result.sha256 and row.result.error not in RETRYABLE
    ]
    connection.executemany(_PUT_PHOTO, ((sha256, _text(row.result)) for row, sha256 in kept))
    readable = ((row.url, row.result.etag, sha256) for row, sha256 in kept if row.result.status is not Status.FAILED)
    connection.executemany(_PUT_PLACE, [(_key(url), etag, sha256) for url, etag, sha256 in readable if url and etag])


def _key(url: str) -> bytes:
    return hashlib.blake2b(url.encode(), digest_size=16).digest()


def _text(result: RowResult) -> str:
    cells = (result.label, result.confidence, result.status, result.error, result.error_message, result.top_k)
    more = (result.reason, result.label_level, result.leaf_guess, result.unknown)
    return json.dumps((*cells, *more), ensure_ascii=False, separators=(",", ":"))


def _result(text: str, sha256: str, model: str) -> RowResult:
    """The inverse of :func:`_text`; raises ``ValueError`` if the text is not one of its results."""
    label, confidence, status, error, error_message, best, reason, level, leaf, unknown = json.loads(text)
    top_k = None if best is None else tuple((name, value) for name, value in best)
    cells = (label, confidence, Status(status), error, error_message, top_k, sha256, model)
    why = reason and ReviewReason(reason)
    return RowResult(*cells, why, label_level=level, leaf_guess=leaf, unknown=unknown)


class ResultTable:
    """The results in one database. What cannot be read counts as unknown, and what cannot be added is left out."""

    def __init__(self, connection: sqlite3.Connection, model: str, place: str) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._model = model
        self._place = place
        self._adds_from = 0.0
        self._logged: set[str] = set()
        self.damaged = False

    def find(self, sha256: str) -> RowResult | None:
        """The result of a photo with these bytes."""

        def ask(connection: sqlite3.Connection) -> RowResult | None:
            row = connection.execute(_FIND, (bytes.fromhex(sha256),)).fetchone()
            return _result(row[0], sha256, self._model) if row else None

        return self._answer(ask, None)

    def at(self, url: str, etag: str) -> RowResult | None:
        """The result of the bytes to which a host gave this ETag, with the ETag."""

        def ask(connection: sqlite3.Connection) -> RowResult | None:
            row = connection.execute(_AT, (_key(url), etag)).fetchone()
            return replace(_result(row[1], row[0].lower(), self._model), etag=etag) if row else None

        return self._answer(ask, None)

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """URL → the ETag that its host last gave."""

        def ask(connection: sqlite3.Connection) -> dict[str, str]:
            by_key = {_key(url): url for url in urls}
            keys, etags = list(by_key), dict[str, str]()
            for start in range(0, len(keys), _URLS_AT_ONCE):
                some = keys[start : start + _URLS_AT_ONCE]
                query = f"SELECT url, etag FROM place WHERE url IN ({', '.join('?' * len(some))})"  # noqa: S608 - of marks
                etags.update({by_key[key]: etag for key, etag in connection.execute(query, some)})
            return etags

        return self._answer(ask, {})

    def _answer(self, ask: Callable[[sqlite3.Connection], _Answer], nothing: _Answer) -> _Answer:
        if self._connection is None:
            return nothing
        try:
            return ask(self._connection)
        except (sqlite3.Error, ValueError) as error:
            self._log("known_photos_lost", error)
            self._give_up(error)
            return nothing

    def add(self, rows: Iterable[LabelledRow]) -> None:
        """Keep the results that are worth keeping, in one transaction."""
        if self._connection is None or time.monotonic() < self._adds_from:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                put_results(self._connection, rows)
        except sqlite3.Error as error:
            self._log("known_photos_not_kept", error)
            self._adds_from = time.monotonic() + _PAUSE_S
            if _is_damage(error):
                self._give_up(error)

    def close(self) -> None:
        """Close the files; nothing is known from then on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _give_up(self, error: Exception) -> None:
        self.damaged = self.damaged or _is_damage(error)
        self.close()

    def _log(self, event: str, error: Exception) -> None:
        if event not in self._logged:
            self._logged.add(event)
            _log_lost(event, self._place, error)


def _is_damage(error: Exception) -> bool:
    """Whether the database itself is damaged, and not merely locked, out of room or forbidden."""
    return not isinstance(error, sqlite3.OperationalError)


def _log_lost(event: str, place: str, error: Exception) -> None:
    log_event(event, logging.WARNING, place=place, error=f"{type(error).__name__}: {error}")


class EarlierResults:
    """The results of a job's previous job, and of the job itself on this machine.

    The previous job's come first: whether a row is carried over must not depend on which row came before.
    """

    def __init__(
        self,
        job: Job | None = None,
        folder: "CacheFolder | None" = None,
        own: ResultTable | None = None,
        previous: ResultTable | None = None,
    ) -> None:
        self._job = job
        self._folder = folder
        self._own = own
        self._tables = [(table, carried) for table, carried in ((previous, True), (own, False)) if table]

    def find(self, sha256: str) -> EarlierResult | None:
        """The result of a photo with these bytes."""
        return _first((table.find(sha256), carried) for table, carried in self._tables)

    def at(self, url: str, etag: str) -> EarlierResult | None:
        """The result of the bytes that a host gave that ETag."""
        return _first((table.at(url, etag), carried) for table, carried in self._tables)

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """URL → the ETag that its host last gave, of those whose bytes are known."""
        etags: dict[str, str] = {}
        for table, _ in self._tables:  # the latest last
            etags |= table.etags(urls)
        return etags

    def add(self, rows: Iterable[LabelledRow]) -> None:
        """Keep results of this job."""
        if self._own:
            self._own.add(rows)

    def close(self) -> None:
        """Close the files; remove them if the job is done or they are damaged."""
        for table, _ in self._tables:
            table.close()
        folder, self._folder = self._folder, None
        if folder is None:
            return
        folder.release()
        if self._own is None or self._own.damaged or _is_done(self._job):
            CacheFolder.remove(folder.path)


def _first(results: Iterator[tuple[RowResult | None, bool]]) -> EarlierResult | None:
    return next((EarlierResult(result, carried) for result, carried in results if result is not None), None)


def _is_done(job: Job | None) -> bool:
    with suppress(OSError, HangtagError):
        return job is not None and job.storage.exists(RECEIPT_FILE)
    return False


NO_EARLIER_RESULTS: Final = EarlierResults()


def open_earlier_results(job: Job) -> EarlierResults:
    """What this machine has labelled of a job, and the previous job's; used by one thread of the process that labels.

    A failure is logged and nothing is found then, so that rows are labelled again.
    """
    folder = own = None
    try:
        path = cache_folder(job.spec.id)
        CacheFolder.remove_remains(path.parent)
        folder = CacheFolder.hold(path)
        own = open_local_cache(folder.path, job.model.reference)
    except (OSError, RuntimeError, sqlite3.Error) as error:  # RuntimeError: nobody knows where home is
        _log_lost("known_photos_lost", str(folder.path) if folder else job.spec.id, error)
    return EarlierResults(job, folder, own, _open_previous(job, folder.path if folder else job.storage.scratch))


def _open_previous(job: Job, folder: Path) -> ResultTable | None:
    """The results that a job may take over, if any; those of a job in S3 are copied into ``folder``."""
    try:
        if not job.storage.exists(PREVIOUS_FILE):
            return None
        place = job.storage.local(PREVIOUS_FILE, folder).absolute()
        connection = sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        terms = connection.execute("SELECT terms FROM about").fetchone()
    except (OSError, sqlite3.Error, HangtagError) as error:
        _log_lost("known_photos_lost", PREVIOUS_FILE, error)
        return None
    if terms == (json.dumps(terms_of(job.model, job.spec.options)),):
        return ResultTable(connection, job.model.reference, str(place))
    connection.close()  # left by a submit that was killed, of a job with another model
    return None


def terms_of(model: ModelPin, options: JobOptions, preprocess_version: str = PREPROCESS_VERSION) -> Terms:
    """What decides the results of a job, other than the bytes of its photos."""
    return {
        "digest": model.digest,
        "variant": model.variant,
        "precision": model.precision,
        "top_k": options.top_k,
        "preprocess_version": preprocess_version,
        "threshold": model.threshold,
    }


def open_local_cache(folder: Path, model: str, busy_s: float = _BUSY_S) -> ResultTable:
    """Open the table of results in a held folder, made if it is missing; raises ``OSError`` or ``sqlite3.Error``."""
    file = folder / CACHE_FILE
    if not file.exists():
        _make_cache(file)
    connection = sqlite3.connect(file, timeout=busy_s, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={_MAX_BYTES // page_bytes}")
        connection.execute("SELECT 1 FROM photo LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return ResultTable(connection, model, str(file))


def _make_cache(file: Path) -> None:
    """Make the database, whole or not at all: other processes may be doing the same."""
    temporary = file.with_name(f".{uuid.uuid4().hex}.sqlite")
    try:
        with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            connection.executescript(_TABLES)
        with suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder(job: str) -> Path:
    """A job's cache folder on this machine until its next boot: homes may be shared, and nothing is synced to disk."""
    return default_cache() / "known" / f"{job}-{boot_id()[:8]}"


def forget_local_cache(job: Job) -> None:
    """Remove this machine's cache of a finished job; a process that uses it keeps its open files to its end."""
    with suppress(OSError, RuntimeError):
        CacheFolder.remove(cache_folder(job.spec.id))


class CacheFolder:
    """A folder that stays while it is held, by any number of processes; use :meth:`hold`."""

    def __init__(self, path: Path, lock: TextIO) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def hold(cls, path: Path) -> Self:
        """Make the folder if need be, and keep it from being removed.

        Raises:
            OSError: the system does not allow it.
        """
        with _alone(path.parent):
            path.mkdir(exist_ok=True)
            lock = open_lock(path / _LOCK)
            fcntl.flock(lock, fcntl.LOCK_SH)
            return cls(path, lock)

    def release(self) -> None:
        """Let anybody remove the folder; call it once."""
        self._lock.close()

    @staticmethod
    def remove(path: Path) -> None:
        """Remove a folder, unless somebody holds it. It is renamed first, so that nobody uses its remains."""
        with suppress(OSError), _alone(path.parent), open_lock(path / _LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remains = path.with_name(f".{uuid.uuid4().hex}")
            path.rename(remains)
            shutil.rmtree(remains, ignore_errors=True)

    @staticmethod
    def remove_remains(place: Path) -> None:
        """Remove the caches of jobs that nobody has worked on here for a week."""
        for path in place.glob("*"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _OLD_S:
                    CacheFolder.remove(path)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep others from taking or removing a folder in this place, for as long as the block runs."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_lock(place / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
