"""Known photos in a database that may fail: then it knows less, and no row does."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from worker.events import log_event
from worker.known.known import Labelled
from worker.known.photo_table import PhotoTable
from worker.results import RowResult

__all__ = ["Shelf"]

_PAUSE_S: Final = 30.0
"""How long nothing is added after something could not be: a lock that is held for ever must not stop every batch."""

_Answer = TypeVar("_Answer")


class Shelf:
    """The tables of a database, which is locked, full, damaged or taken away now and then.

    What cannot be read is not known from then on; what cannot be added is left out. Both are logged, once each.

    Args:
        connection: to the database; in autocommit.
        model: what results say that they are of.
        place: of the database, for the log.

    Attributes:
        damaged: whether it has been found to be no database, or no whole one.
    """

    def __init__(self, connection: sqlite3.Connection, model: str, place: str) -> None:
        self._connection = connection
        self._table: PhotoTable | None = PhotoTable(connection, model)
        self._place = place
        self._adds_from = 0.0
        self._told: set[str] = set()
        self.damaged = False

    def find(self, sha256: str) -> RowResult | None:
        """See :meth:`PhotoTable.find`."""
        return self._asked(lambda table: table.find(sha256), None)

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """See :meth:`PhotoTable.etags`."""
        return self._asked(lambda table: table.etags(urls), {})

    def at(self, url: str, etag: str) -> RowResult | None:
        """See :meth:`PhotoTable.at`."""
        return self._asked(lambda table: table.at(url, etag), None)

    def add(self, rows: Iterable[Labelled]) -> None:
        """Keep what is worth it, in one transaction."""
        if self._table is None or time.monotonic() < self._adds_from:
            return
        try:
            with self._table.transaction():
                self._table.put(rows)
        except sqlite3.Error as error:
            self._tell("known_photos_not_kept", error)
            self._adds_from = time.monotonic() + _PAUSE_S
            if _is_damage(error):
                self._give_up(error)

    def close(self) -> None:
        """Let go of the files."""
        self._table = None
        self._connection.close()

    def _asked(self, ask: Callable[[PhotoTable], _Answer], nothing: _Answer) -> _Answer:
        if self._table is None:
            return nothing
        try:
            return ask(self._table)
        except (sqlite3.Error, ValueError) as error:
            self._tell("known_photos_lost", error)
            self._give_up(error)
            return nothing

    def _give_up(self, error: Exception) -> None:
        self.damaged = self.damaged or _is_damage(error)
        self.close()

    def _tell(self, event: str, error: Exception) -> None:
        if event not in self._told:
            self._told.add(event)
            log_event(event, logging.WARNING, place=self._place, error=f"{type(error).__name__}: {error}")


def _is_damage(error: Exception) -> bool:
    """Whether a database is at fault, and not what is around it (locks, a disk, its user)."""
    return not isinstance(error, sqlite3.OperationalError)
