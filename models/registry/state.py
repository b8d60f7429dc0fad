"""The state of a model's versions, and the rules of how it may change; nothing here reads or writes files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from models.errors import RegistryError
from models.manifest import Measured
from models.statistics.confidence import Record

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"


class VersionState(Record):
    """A version that is there.

    Attributes:
        refused: why a gate refused it; empty if none did.
        bytes: of the default variant's ONNX file.
        measured: the figure that its training's report leads with.
        promise: the precision that it promises by default, ``0.95`` or ``none``.
    """

    digest: str
    published_at: str
    refused: Annotated[tuple[str, ...], Field(strict=False)] = ()
    bytes: int
    measured: Measured
    promise: str


class State(Record):
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
