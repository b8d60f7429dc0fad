"""A model's versions: the current state, the rules for changes, and the history (one file per event)."""

import getpass
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from models.errors import RegistryError
from models.manifest import Measured
from models.statistics.confidence import StrictModel
from models.storage.storage import Storage
from models.text import numbered

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"


class VersionState(StrictModel):
    """A published version.

    Attributes:
        refused: why a gate refused this version; empty without a refusal.
        bytes: size of the default variant's ONNX file.
        measured: the main accuracy of its training report.
        promise: the default precision, such as ``0.95``, or ``none``.
    """

    digest: str
    published_at: str
    refused: Annotated[tuple[str, ...], Field(strict=False)] = ()
    bytes: int
    measured: Measured
    promise: str


class State(StrictModel):
    """The state of a model after an event.

    Attributes:
        aliases: the version of each alias.
        versions: the state of each version, without deleted versions.
        champions: all champions in order; the last is the current champion.
        last_version: the highest version number used so far.
        deleted: numbers of deleted versions, in order.
    """

    aliases: dict[str, int] = Field(default_factory=dict)
    versions: dict[int, VersionState] = Field(default_factory=dict)
    champions: Annotated[tuple[int, ...], Field(strict=False)] = ()
    last_version: int = 0
    deleted: Annotated[tuple[int, ...], Field(strict=False)] = ()


Changed = tuple[int, State] | None
"""The changed version, and the new state. None if nothing changes."""
Change = Callable[[State], Changed]


@dataclass(frozen=True)
class VersionRules:
    """Applies changes to a model's versions. Forbidden changes raise a RegistryError."""

    name: str
    place: str

    def version(self, state: State, version: int) -> VersionState:
        """A version's state. Raises RegistryError with a list of the existing versions."""
        if version not in state.versions:
            there = ", ".join(map(str, state.versions)) or "none"
            msg = f"Expected version {version} of {self.name} in the registry {self.place}, found {there}."
            raise RegistryError(msg)
        return state.versions[version]

    def published(self, state: State, version: int, what: VersionState, alias: str | None) -> Changed:
        """Add a version, and optionally an alias. A deleted version cannot be added again."""
        if version in state.versions or version in state.deleted:
            return None
        last = max(version, state.last_version)
        after = state.model_copy(update={"versions": {**state.versions, version: what}, "last_version": last})
        if alias == CHAMPION:
            return version, _crowned(after, (*state.champions, version))
        return version, _with_aliases(after, {**state.aliases, **({alias: version} if alias else {})})

    def promoted(self, state: State, version: int, instead_of: int | None, *, force: bool) -> Changed:
        """Make a version champion; see :meth:`models.registry.registry.Registry.promote`."""
        refused = self.version(state, version).refused
        champion = state.aliases.get(CHAMPION, 0)
        if champion == version:
            return None
        if instead_of is not None and champion != instead_of:
            compared = f"version {instead_of}" if instead_of else "none"
            msg = f"{self.name}@{version} was compared with {compared}, but {champion or 'none'} is champion now."
            raise RegistryError(msg)
        if refused and not force:
            reasons = "; ".join(reason.rstrip(".") for reason in refused)
            msg = f"{self.name}@{version} was refused: {reasons}. Promote it with --force and a reason."
            raise RegistryError(msg)
        return version, _crowned(state, (*state.champions, version))

    def refused(self, state: State, version: int, reasons: tuple[str, ...]) -> Changed:
        """Record that a gate has refused a version."""
        known = self.version(state, version)
        if known.refused == reasons:
            return None
        refused = known.model_copy(update={"refused": reasons})
        return version, state.model_copy(update={"versions": {**state.versions, version: refused}})

    def rolled_back(self, state: State, instead_of: int | None) -> Changed:
        """Restore the most recent former champion that still exists."""
        current = state.aliases.get(CHAMPION)
        if current != instead_of:
            msg = (
                f"Meanwhile {self.name}@{current} became champion instead of {self.name}@{instead_of}; nothing "
                f"was changed. See hangtag models history {self.name}, and roll back again if necessary."
            )
            raise RegistryError(msg)
        earlier = [version for version in state.champions[:-1] if version in state.versions]
        while earlier and earlier[-1] == current:
            earlier.pop()
        if not earlier:
            gone = [str(version) for version in dict.fromkeys(state.champions[:-1]) if version in state.deleted]
            deleted = f" ({', '.join(gone)} deleted)" if gone else ""
            msg = (
                f"Expected an earlier champion of {self.name}, found none{deleted}; see hangtag models history "
                f"{self.name}, and promote another version."
            )
            raise RegistryError(msg)
        return earlier[-1], _crowned(state, tuple(earlier))

    def aliased(self, state: State, version: int, alias: str) -> Changed:
        """Point an alias other than ``champion`` at a version."""
        self.version(state, version)
        _check_not_champion(alias)
        if state.aliases.get(alias) == version:
            return None
        return version, _with_aliases(state, {**state.aliases, alias: version})

    def unaliased(self, state: State, version: int, alias: str) -> Changed:
        """Remove an alias other than ``champion``."""
        _check_not_champion(alias)
        if state.aliases.get(alias) != version:
            there = ", ".join(f"{name} ({number})" for name, number in state.aliases.items()) or "none"
            msg = f"Expected {alias} to point at {self.name}@{version}, found these aliases: {there}."
            raise RegistryError(msg)
        return version, _with_aliases(state, {name: to for name, to in state.aliases.items() if name != alias})

    def deleted(self, state: State, version: int) -> Changed:
        """Delete a version that has no aliases."""
        if version in state.deleted:
            return None
        self.version(state, version)
        names = [alias for alias, number in state.aliases.items() if number == version]
        if names:
            way_out = (
                f"first promote another version, or return to the last champion: hangtag models rollback {self.name}."
                if names[0] == CHAMPION
                else f"remove it first: hangtag models alias {self.name}@{version} {names[0]} --remove."
            )
            msg = f"Expected a version without an alias, but {self.name}@{version} is {', '.join(names)}; {way_out}"
            raise RegistryError(msg)
        there = {number: what for number, what in state.versions.items() if number != version}
        deleted = tuple(sorted({*state.deleted, version}))
        return version, state.model_copy(update={"versions": there, "deleted": deleted})


def _check_not_champion(alias: str) -> None:
    if alias == CHAMPION:
        msg = f"Expected an alias other than {CHAMPION}; to change the champion, use hangtag models promote."
        raise RegistryError(msg)


def _crowned(state: State, champions: tuple[int, ...]) -> State:
    champion = champions[-1]
    others = {alias: to for alias, to in state.aliases.items() if (alias, to) != (CHALLENGER, champion)}
    return _with_aliases(state.model_copy(update={"champions": champions}), {**others, CHAMPION: champion})


def _with_aliases(state: State, aliases: dict[str, int]) -> State:
    return state.model_copy(update={"aliases": aliases})


_FOLDER: Final = "history"


class What(StrEnum):
    """The type of an event."""

    PUBLISHED = "published"
    PROMOTED = "promoted"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    ALIASED = "aliased"
    DELETED = "deleted"


class Event(StrictModel):
    """An event in a model's history, and the state after it.

    Attributes:
        number: position in the history, from 1.
        by: ``user@host``. For a change on the web page: ``name (user@host)``.
        why: the reason, from a person or a retraining cycle.
        numbers: figures that explain the event.
        cycle: the retraining cycle that caused the event. None if a person made the change.
        forced: whether the event overruled a refusal.
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
    """The events of one model. Each event is a file that is never overwritten; the first writer wins."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def numbers(self) -> list[int]:
        """The numbers of all events, in order."""
        return numbered(self._storage.names(_FOLDER), ".json")

    def last(self) -> Event | None:
        """The latest event, or None."""
        numbers = self.numbers()
        return self._event(numbers[-1]) if numbers else None

    def state(self) -> State:
        """The current state."""
        last = self.last()
        return last.after if last else State()

    def events(self) -> list[Event]:
        """All events, oldest first. Raises RegistryError if an event is damaged."""
        return [self._event(number) for number in self.numbers()]

    def _event(self, number: int) -> Event:
        key = _key(number)
        try:
            return Event.model_validate_json(self._storage.read(key))
        except ValidationError as error:
            msg = f"{key} in {self._storage.place} is damaged, or from another version of hangtag; restore a copy."
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
        """Append an event. Other processes may write at the same time. Returns None if nothing changes.

        ``change`` returns the new state, or raises an error. If another process writes first, ``change`` is called
        again. ``forced`` overrules a gate's refusal. ``by``: the person who requests the change.
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
    except (OSError, KeyError):  # a user without a name, as in some containers
        return str(os.getuid())
