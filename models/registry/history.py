"""The history of a model's versions, in order: the only source of which exist and what their aliases are."""

import getpass
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from models.errors import RegistryError
from models.registry.state import Change, State
from models.statistics.confidence import Record
from models.storage.storage import Storage
from models.text import numbered

_FOLDER: Final = "history"


class What(StrEnum):
    """What can happen to a version."""

    PUBLISHED = "published"
    PROMOTED = "promoted"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    ALIASED = "aliased"
    DELETED = "deleted"


class Event(Record):
    """Something that happened: an event of a model's history, and the state from then on.

    Attributes:
        number: its place in the history, from 1.
        by: who: ``user@host``, after the name of a person whom a page asked to give one.
        why: the reason, in a person's words or a cycle's.
        numbers: the figures that it rested on, for people and scripts.
        cycle: the retraining cycle behind it; None if a person did it.
        forced: whether a refusal was overruled.
    """

    schema_version: Literal[1]
    number: Annotated[int, Field(ge=1)]
    at: str
    by: str
    what: What
    version: int
    why: str
    numbers: dict[str, Any]
    cycle: str | None
    forced: bool
    after: State


class History:
    """The events of one model, in its folder. Each is a file that is written once: the first writer wins."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def numbers(self) -> list[int]:
        """The numbers of all events, in order."""
        return numbered(self._storage.names(_FOLDER), ".json")

    def last(self) -> Event | None:
        """The latest event; None if nothing has happened."""
        numbers = self.numbers()
        return self._event(numbers[-1]) if numbers else None

    def state(self) -> State:
        """What holds now."""
        last = self.last()
        return last.after if last else State()

    def events(self) -> list[Event]:
        """All events, the oldest first; RegistryError if one is damaged."""
        return [self._event(number) for number in self.numbers()]

    def _event(self, number: int) -> Event:
        key = _key(number)
        try:
            return Event.model_validate_json(self._storage.read(key))
        except ValidationError as error:
            msg = f"{key} in {self._storage.place} is damaged, or of another version; restore it from a copy."
            raise RegistryError(msg) from error

    def append(
        self,
        what: What,
        change: Change,
        why: str,
        numbers: Mapping[str, Any] | None = None,
        *,
        cycle: str | None = None,
        forced: bool = False,
        by: str | None = None,
    ) -> Event | None:
        """Append an event, even while others write; returns None if there was nothing to do.

        ``change`` makes the new state, or raises; it is called again whenever somebody else was quicker. ``forced``
        allows overruling a refusal; the event says whether one was overruled. ``by`` is the name of the person for whom
        this account acts.
        """
        account = f"{_user()}@{socket.gethostname()}"
        while True:
            last = self.last()
            before = last.after if last else State()
            changed = change(before)
            if changed is None:
                return None
            version, after = changed
            event = Event(
                schema_version=1,
                number=last.number + 1 if last else 1,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                by=f"{by} ({account})" if by else account,
                what=what,
                version=version,
                why=why,
                numbers=dict(numbers or {}),
                cycle=cycle,
                forced=forced and bool(before.versions[version].refused),
                after=after,
            )
            if self._storage.commit(_key(event.number), event.model_dump_json(indent=1).encode()):
                return event


def _key(number: int) -> str:
    return f"{_FOLDER}/{number:06d}.json"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return str(os.getuid())
