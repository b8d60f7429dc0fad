"""What happened to the versions of a model, in order: the one truth about which there are and what they are called."""

import getpass
import os
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import RegistryError
from models.storage.storage import Storage

__all__ = ["CHALLENGER", "CHAMPION", "Event", "History", "State", "VersionState", "What"]

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
_FOLDER: Final = "history"
_SCHEMA: Final = 1


class What(StrEnum):
    """What can happen to a version."""

    PUBLISHED = "published"
    PROMOTED = "promoted"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    DELETED = "deleted"


class _Record(BaseModel):
    """What a later version of Hangtag writes besides is left out, so that a registry outlives an upgrade."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class VersionState(_Record):
    """A version that is there.

    Attributes:
        digest: of its bundle.
        published_at: in UTC.
        refused: why a gate refused it; empty where none did.
    """

    digest: str
    published_at: str
    refused: tuple[str, ...] = ()


class State(_Record):
    """All that holds after an event.

    Attributes:
        aliases: name → version; always of versions that are there.
        versions: number → what is known of it; deleted ones are not here.
        champions: versions that were champion, in order; the last is the champion.
        last_version: the highest number that was ever given.
    """

    aliases: dict[str, int] = Field(default_factory=dict)
    versions: dict[int, VersionState] = Field(default_factory=dict)
    champions: tuple[int, ...] = ()
    last_version: int = 0


class Event(_Record):
    """Something that happened.

    Attributes:
        number: its place in the history, from 1.
        at: when, in UTC.
        by: who, as ``user@host``.
        what: happened.
        version: that it happened to.
        why: in a person's words, or a cycle's.
        numbers: that it rested on, for people and scripts.
        cycle: the retraining cycle behind it; none where a person did it.
        forced: whether a refusal was overruled.
        after: what holds from then on.
    """

    schema_version: int = _SCHEMA
    number: Annotated[int, Field(ge=1)]
    at: str
    by: str
    what: What
    version: int
    why: str
    numbers: dict[str, Any] = Field(default_factory=dict)
    cycle: str | None = None
    forced: bool = False
    after: State


class History:
    """The events of one model. Each is a file that is written once, by whoever comes first; the last one says all.

    Args:
        storage: the model's folder.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def numbers(self) -> list[int]:
        """Of all events, in order."""
        names = (name.removesuffix(".json") for name in self._storage.names(_FOLDER))
        return sorted(int(name) for name in names if name.isdecimal())

    def last(self) -> Event | None:
        """The latest event; none where nothing has happened."""
        numbers = self.numbers()
        return self.event(numbers[-1]) if numbers else None

    def state(self) -> State:
        """What holds now."""
        last = self.last()
        return last.after if last else State()

    def event(self, number: int) -> Event:
        """One event.

        Raises:
            RegistryError: it is damaged.
        """
        key = _key(number)
        try:
            return Event.model_validate_json(self._storage.read(key))
        except ValidationError as error:
            msg = (
                f"{key} in {self._storage.place} is damaged, or of another version of Hangtag; restore it from a copy."
            )
            raise RegistryError(msg) from error

    def events(self) -> list[Event]:
        """All of them, the oldest first."""
        return [self.event(number) for number in self.numbers()]

    def append(
        self,
        what: What,
        change: Callable[[State], tuple[int, State] | None],
        why: str,
        numbers: Mapping[str, Any] | None = None,
        *,
        cycle: str | None = None,
        forced: bool = False,
    ) -> Event | None:
        """Let something happen, whoever else writes at this moment.

        Args:
            what: happens.
            change: says, of what holds, which version it happens to and what holds then; nothing where it has happened
                already; raises where it may not. It is asked anew whenever somebody else was quicker.
            why: see :class:`Event`; so are the others.
            numbers: that it rests on.
            cycle: behind it.
            forced: whether a refusal is overruled.

        Returns:
            The event; none where nothing was to be done.
        """
        while True:
            last = self.last()
            changed = change(last.after if last else State())
            if changed is None:
                return None
            version, after = changed
            event = Event(
                number=last.number + 1 if last else 1,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                by=f"{_user()}@{socket.gethostname()}",
                what=what,
                version=version,
                why=why,
                numbers=dict(numbers or {}),
                cycle=cycle,
                forced=forced,
                after=after,
            )
            if self._storage.commit(_key(event.number), event.model_dump_json(indent=1).encode()):
                self._mirror()
                return event

    def _mirror(self) -> None:
        """Write ``history.jsonl`` and ``aliases.json``, for people and other tools; nothing here reads them."""
        written = 0
        while (numbers := self.numbers()) and numbers[-1] != written:
            events = [self.event(number) for number in numbers]
            lines = "".join(f"{event.model_dump_json(exclude={'after'})}\n" for event in events)
            self._storage.replace("history.jsonl", lines.encode())
            aliases = events[-1].after.model_dump_json(include={"aliases"}, indent=1)
            self._storage.replace("aliases.json", aliases.encode())
            written = numbers[-1]


def _key(number: int) -> str:
    return f"{_FOLDER}/{number:06d}.json"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return str(os.getuid())
