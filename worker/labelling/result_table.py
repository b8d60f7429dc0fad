"""Results by the bytes of photos, and by what a host calls those bytes, in an SQLite database that may fail."""

import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from models.decision import ReviewReason
from models.events import log_event
from worker.job.job import RETRYABLE
from worker.job.parts import RowResult, Status

_FIND: Final = "SELECT result FROM photo WHERE sha256 = ?"
_AT: Final = "SELECT hex(sha256), result FROM place JOIN photo USING (sha256) WHERE url = ? AND etag = ?"
_PUT_PHOTO: Final = "INSERT OR IGNORE INTO photo VALUES (?, ?)"
_PUT_PLACE: Final = "INSERT OR REPLACE INTO place VALUES (?, ?, ?)"
_ASKED_AT_ONCE: Final = 500
_PAUSE_S: Final = 30.0
"""How long nothing is added after a write failed: a lock that is held for ever must not delay every batch."""
_Answer = TypeVar("_Answer")


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
    """Keep the results that would be the same another time; call it within a transaction.

    Where a photo failed its host is asked again: what it once gave may have been half of it.

    Raises:
        sqlite3.Error: the database is locked, full or damaged.
    """
    kept = [(row, bytes.fromhex(row.result.sha256)) for row in rows if row.result.sha256 and _stays(row.result)]
    connection.executemany(_PUT_PHOTO, ((sha256, _text(row.result)) for row, sha256 in kept))
    readable = ((row.url, row.result.etag, sha256) for row, sha256 in kept if row.result.status is not Status.FAILED)
    connection.executemany(_PUT_PLACE, [(_key(url), etag, sha256) for url, etag, sha256 in readable if url and etag])


def _stays(result: RowResult) -> bool:
    """Whether the result is complete and would be the same for the same bytes.

    A review from an old part is not complete: reasons for review were not written then.
    """
    whole = result.reason is not None or result.status is not Status.REVIEW
    return whole and result.error not in RETRYABLE


def _key(url: str) -> bytes:
    return hashlib.blake2b(url.encode(), digest_size=16).digest()


def _text(result: RowResult) -> str:
    cells = (result.label, result.confidence, result.status, result.error, result.error_message, result.top_k)
    more = (result.reason, result.label_level, result.leaf_guess, result.unknown)
    return json.dumps((*cells, *more), ensure_ascii=False, separators=(",", ":"))


def _result(text: str, sha256: str, model: str) -> RowResult:
    """The inverse of :func:`_text`; raises ``ValueError`` if the text is not one of its results.

    Earlier versions wrote no unknown score, and what is of a tree only with one.
    """
    label, confidence, status, error, error_message, best, reason, *more = json.loads(text)
    top_k = None if best is None else tuple((name, value) for name, value in best)
    why = None if reason is None else ReviewReason(reason)
    level, leaf, unknown = more + [None] * (3 - len(more))
    cells = (label, confidence, Status(status), error, error_message, top_k, sha256, model, why)
    return RowResult(*cells, label_level=level, leaf_guess=leaf, unknown=unknown)


class ResultTable:
    """The results in one database, which may be locked, full, damaged or removed at any time.

    What cannot be read counts as unknown; what cannot be added is left out. Each is logged once.

    Attributes:
        damaged: whether it turned out to be damaged, or not a database.
    """

    def __init__(self, connection: sqlite3.Connection, model: str, place: str) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._model = model
        self._place = place
        self._adds_from = 0.0
        self._told: set[str] = set()
        self.damaged = False

    def find(self, sha256: str) -> RowResult | None:
        """The result of a photo with these bytes."""

        def ask(connection: sqlite3.Connection) -> RowResult | None:
            row = connection.execute(_FIND, (bytes.fromhex(sha256),)).fetchone()
            return _result(row[0], sha256, self._model) if row else None

        return self._asked(ask, None)

    def at(self, url: str, etag: str) -> RowResult | None:
        """The result of the bytes to which a host gave this ETag, with the ETag."""

        def ask(connection: sqlite3.Connection) -> RowResult | None:
            row = connection.execute(_AT, (_key(url), etag)).fetchone()
            return replace(_result(row[1], row[0].lower(), self._model), etag=etag) if row else None

        return self._asked(ask, None)

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """URL → the ETag that its host last gave."""

        def ask(connection: sqlite3.Connection) -> dict[str, str]:
            by_key = {_key(url): url for url in urls}
            keys, found = list(by_key), {}
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                some = keys[start : start + _ASKED_AT_ONCE]
                asked = f"SELECT url, etag FROM place WHERE url IN ({', '.join('?' * len(some))})"  # noqa: S608 - of marks
                found.update({by_key[key]: etag for key, etag in connection.execute(asked, some)})
            return found

        return self._asked(ask, {})

    def _asked(self, ask: Callable[[sqlite3.Connection], _Answer], nothing: _Answer) -> _Answer:
        if self._connection is None:
            return nothing
        try:
            return ask(self._connection)
        except (sqlite3.Error, ValueError) as error:
            self._tell("known_photos_lost", error)
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
            self._tell("known_photos_not_kept", error)
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

    def _tell(self, event: str, error: Exception) -> None:
        if event not in self._told:
            self._told.add(event)
            log_event(event, logging.WARNING, place=self._place, error=f"{type(error).__name__}: {error}")


def _is_damage(error: Exception) -> bool:
    """Whether the database itself is damaged, and not merely locked, out of room or forbidden."""
    return not isinstance(error, sqlite3.OperationalError)
