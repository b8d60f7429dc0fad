"""A model's versions: what holds now, the rules of a change, and the history, an event a file."""

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
    """A version that is there.

    Attributes:
        refused: why a gate refused it; empty if none did.
        bytes: of the default variant's ONNX file.
        measured: the main figure of its training's report.
        promise: the precision that it promises by default, ``0.95`` or ``none``.
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
        aliases: name → version, which always exists.
        versions: number → its state, without deleted ones.
        champions: versions that were champion, in order; the last is the champion.
        last_version: the highest number ever given.
        deleted: numbers of versions that were deleted, in order; they are never given again.
    """

    aliases: dict[str, int] = Field(default_factory=dict)
    versions: dict[int, VersionState] = Field(default_factory=dict)
    champions: Annotated[tuple[int, ...], Field(strict=False)] = ()
    last_version: int = 0
    deleted: Annotated[tuple[int, ...], Field(strict=False)] = ()


Changed = tuple[int, State] | None
"""The version that changes and the new state; None if nothing would change."""
Change = Callable[[State], Changed]


@dataclass(frozen=True)
class VersionRules:
    """The changes that a model's versions allow; all others raise a RegistryError with name and place."""

    name: str
    place: str

    def version(self, state: State, version: int) -> VersionState:
        """A version's state; RegistryError names the versions that exist if this one does not."""
        if version not in state.versions:
            there = ", ".join(map(str, state.versions)) or "none"
            msg = f"Expected version {version} of {self.name} in the registry {self.place}, found {there}."
            raise RegistryError(msg)
        return state.versions[version]

    def published(self, state: State, version: int, what: VersionState, alias: str | None) -> Changed:
        """Add a version, and point an alias at it if one is given. A deleted version does not come back."""
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
            msg = f"{self.name}@{version} was compared with {compared}, but {champion or 'none'} is champion by now."
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
        """Restore the previous champion that still exists."""
        current = state.aliases.get(CHAMPION)
        if current != instead_of:
            msg = (
                f"Meanwhile {self.name}@{current} became champion instead of {self.name}@{instead_of}; nothing was "
                f"changed. See hangtag models history {self.name}, and roll back again if need be."
            )
            raise RegistryError(msg)
        earlier = [version for version in state.champions[:-1] if version in state.versions]
        while earlier and earlier[-1] == current:
            earlier.pop()
        if not earlier:
            gone = [str(version) for version in dict.fromkeys(state.champions[:-1]) if version in state.deleted]
            deleted = f" ({', '.join(gone)} deleted)" if gone else ""
            msg = (
                f"Expected an earlier champion of {self.name} to go back to, found none{deleted}; see "
                f"hangtag models history {self.name}, and promote another version."
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
            msg = f"Expected {alias} to mean {self.name}@{version}, found these aliases: {there}."
            raise RegistryError(msg)
        return version, _with_aliases(state, {name: to for name, to in state.aliases.items() if name != alias})

    def deleted(self, state: State, version: int) -> Changed:
        """Delete a version that no alias means."""
        if version in state.deleted:
            return None
        self.version(state, version)
        names = [alias for alias, number in state.aliases.items() if number == version]
        if names:
            way_out = (
                f"promote another first, or go back: hangtag models rollback {self.name}."
                if names[0] == CHAMPION
                else f"remove it first: hangtag models alias {self.name}@{version} {names[0]} --remove."
            )
            msg = f"Expected a version without an alias, {self.name}@{version} is {', '.join(names)}; {way_out}"
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
    """What can happen to a version."""

    PUBLISHED = "published"
    PROMOTED = "promoted"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    ALIASED = "aliased"
    DELETED = "deleted"


class Event(StrictModel):
    """An event of a model's history, and the state after it.

    Attributes:
        number: its place in the history, from 1.
        by: ``user@host``, after the person's name if a page has asked for it.
        why: the reason, in a person's words or a cycle's.
        numbers: the figures behind it, for people and scripts.
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
        """The latest event; None without events."""
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
            msg = f"{key} in {self._storage.place} is damaged, or of another version of hangtag; restore a copy."
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

        ``change`` makes the new state, or raises; it is called again if another writer was quicker. ``forced`` allows
        overruling a refusal; the event records an overruled refusal. ``by`` is the name of the person for whom this
        account acts.
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
