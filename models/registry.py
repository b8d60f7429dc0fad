"""Models by name and version: which there are, which is the champion, and what became of each.

    <registry>/<name>/<version>/          a bundle; never changed once it is published
    <registry>/<name>/training/<version>/ what a retraining starts from: splits.csv, best.keras
    <registry>/<name>/history/000007.json what happened, an event a file: the truth
    <registry>/<name>/history.jsonl       the same to read, and aliases.json

A version is there when the history says so, and the history says so when the bundle is whole. Any number of processes
may write at once: each event is written by one of them.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from models.bundle import MANIFEST_FILE, Bundle, open_bundle
from models.errors import RegistryError
from models.registry_history import CHALLENGER, CHAMPION, Event, History, State, VersionState, What
from models.storage.open_storage import open_storage
from models.storage.storage import Storage

__all__ = ["Published", "Registry", "check_model_name", "open_registry"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CLAIMS: Final = "claims"


@dataclass(frozen=True)
class Published:
    """A version of a model.

    Attributes:
        version: its number.
        new: whether this call published it; the same bundle has one version only.
    """

    version: int
    new: bool


class Registry:
    """Models by name.

    Args:
        storage: where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def place(self) -> str:
        """Where it is, as a person would write it."""
        return self._storage.place

    def names(self) -> list[str]:
        """The models that have a history, in order."""
        return [name for name in self._storage.folders() if _NAME.fullmatch(name) and self.history(name).numbers()]

    def history(self, name: str) -> History:
        """What happened to a model.

        Raises:
            RegistryError: no model can have that name.
        """
        check_model_name(name)
        return History(self._storage.child(name))

    def state(self, name: str) -> State:
        """What holds of a model now.

        Raises:
            RegistryError: there is no such model; the message names those that are there.
        """
        last = self.history(name).last()
        if last is None:
            there = ", ".join(self.names()) or "none"
            msg = f"Expected a model {name} in the registry {self.place}, found none; models there: {there}."
            raise RegistryError(msg)
        return last.after

    def resolve(self, name: str, which: str) -> int:
        """The version that an alias or a number means.

        Raises:
            RegistryError: there is no such model, alias or version.
        """
        state = self.state(name)
        if which.isdecimal():
            version = int(which)
            if version in state.versions:
                return version
        elif which in state.aliases:
            return state.aliases[which]
        there = ", ".join([*state.aliases, *map(str, state.versions)]) or "none"
        msg = f"Expected {name}@{which} in the registry {self.place}, found {there} of {name}."
        raise RegistryError(msg)

    def path(self, name: str, version: int) -> Path:
        """A version's bundle as a folder of this machine; it is copied here where the registry is elsewhere.

        Raises:
            RegistryError: there is no such version.
            BundleError: a file of it is damaged.
        """
        return Path(self.place) / name / str(version)

    def training(self, name: str, version: int, file: str) -> Path | None:
        """A file that a retraining of a version starts from, on this machine; none where it was not kept."""
        raise NotImplementedError

    def publish(
        self,
        name: str,
        bundle_path: Path,
        why: str,
        *,
        numbers: Mapping[str, Any] | None = None,
        training: Mapping[str, Path] | None = None,
        cycle: str | None = None,
        alias: str | None = None,
    ) -> Published:
        """Keep a bundle as a new version. One that is there already stays as it is, with its number.

        Args:
            name: of the model.
            bundle_path: a bundle's folder.
            why: for the history.
            numbers: for the history.
            training: file name → file, of what a retraining starts from.
            cycle: the retraining cycle that made it.
            alias: that is to mean this version.

        Raises:
            RegistryError: no model can have that name.
            BundleError: it is no bundle, or damaged.
        """
        history, bundle = self.history(name), open_bundle(bundle_path)
        version = self._claim(name, bundle.digest)
        self._copy(name, version, bundle, training or {})

        def change(state: State) -> tuple[int, State] | None:
            if version in state.versions:
                return None
            there = {**state.versions, version: VersionState(digest=bundle.digest, published_at=_now())}
            aliases = {**state.aliases, **({alias: version} if alias else {})}
            last = max(version, state.last_version)
            return version, state.model_copy(update={"versions": there, "aliases": aliases, "last_version": last})

        event = history.append(What.PUBLISHED, change, why, numbers, cycle=cycle)
        return Published(version, new=event is not None)

    def promote(
        self,
        name: str,
        version: int,
        why: str,
        *,
        numbers: Mapping[str, Any] | None = None,
        cycle: str | None = None,
        instead_of: int | None = None,
        force: bool = False,
    ) -> Event | None:
        """Make a version the champion.

        Args:
            name: of the model.
            version: to promote.
            why: for the history.
            numbers: for the history.
            cycle: the retraining cycle that decided it.
            instead_of: the champion that it was found better than, 0 for none; whatever is champion where not given.
            force: promote it though a gate has refused it.

        Returns:
            The event; none where it is the champion already.

        Raises:
            RegistryError: it is not there, a gate has refused it, or another version is champion by now.
        """

        def change(state: State) -> tuple[int, State] | None:
            self._check_there(name, version, state)
            champion = state.aliases.get(CHAMPION, 0)
            if champion == version:
                return None
            if instead_of is not None and champion != instead_of:
                msg = f"{name}@{version} was compared with version {instead_of}, but {champion or 'none'} is champion."
                raise RegistryError(msg)
            refused = state.versions[version].refused
            if refused and not force:
                msg = f"{name}@{version} was refused: {'; '.join(refused)}. Promote it with --force and a reason."
                raise RegistryError(msg)
            aliases = {
                alias: number for alias, number in state.aliases.items() if (alias, number) != (CHALLENGER, version)
            }
            return version, state.model_copy(
                update={"aliases": {**aliases, CHAMPION: version}, "champions": (*state.champions, version)}
            )

        return self.history(name).append(What.PROMOTED, change, why, numbers, cycle=cycle, forced=force)

    def refuse(
        self, name: str, version: int, reasons: tuple[str, ...], numbers: Mapping[str, Any], cycle: str | None = None
    ) -> Event | None:
        """Write down that a gate has refused a version.

        Args:
            name: of the model.
            version: that was refused.
            reasons: why, a sentence each; at least one.
            numbers: for the history.
            cycle: the retraining cycle that decided it.

        Returns:
            The event; none where it is written down already.

        Raises:
            RegistryError: it is not there.
        """

        def change(state: State) -> tuple[int, State] | None:
            self._check_there(name, version, state)
            if state.versions[version].refused == reasons:
                return None
            refused = state.versions[version].model_copy(update={"refused": reasons})
            return version, state.model_copy(update={"versions": {**state.versions, version: refused}})

        return self.history(name).append(What.REFUSED, change, "; ".join(reasons), numbers, cycle=cycle)

    def rollback(self, name: str, why: str) -> Event:
        """Make that version the champion again which was it before, of those that are still there.

        Raises:
            RegistryError: there is no such version.
        """

        def change(state: State) -> tuple[int, State] | None:
            earlier = [version for version in state.champions[:-1] if version in state.versions]
            current = state.aliases.get(CHAMPION)
            while earlier and earlier[-1] == current:
                earlier.pop()
            if not earlier:
                msg = f"Expected an earlier champion of {name} to go back to, found none; see hangtag models history."
                raise RegistryError(msg)
            aliases = {**state.aliases, CHAMPION: earlier[-1]}
            return earlier[-1], state.model_copy(update={"aliases": aliases, "champions": tuple(earlier)})

        event = self.history(name).append(What.ROLLED_BACK, change, why)
        assert event is not None  # noqa: S101 - the change above always says what happens
        return event

    def delete(self, name: str, version: int, why: str) -> Event | None:
        """Take a version away that no alias means.

        Raises:
            RegistryError: it is not there, or an alias means it.
        """
        raise NotImplementedError

    def _check_there(self, name: str, version: int, state: State) -> None:
        if version not in state.versions:
            there = ", ".join(map(str, state.versions)) or "none"
            msg = f"Expected version {version} of {name} in the registry {self.place}, found {there}."
            raise RegistryError(msg)

    def _claim(self, name: str, digest: str) -> int:
        """The number of a bundle's version: that which somebody has begun to publish it under, or the next."""
        storage = self._storage.child(name)
        while True:
            claims = sorted(int(one.removesuffix(".json")) for one in storage.names(_CLAIMS))
            state = self.history(name).state()
            for number in reversed(claims):
                with suppress(FileNotFoundError):
                    claimed = json.loads(storage.read(f"{_CLAIMS}/{number:06d}.json"))["digest"]
                    gone = number <= state.last_version and number not in state.versions
                    if claimed == digest and not gone:
                        return number
            number = (claims[-1] if claims else 0) + 1
            if storage.commit(f"{_CLAIMS}/{number:06d}.json", json.dumps({"digest": digest}).encode()):
                return number

    def _copy(self, name: str, version: int, bundle: Bundle, training: Mapping[str, Path]) -> None:
        storage = self._storage.child(name)
        for file in bundle.manifest.files:
            _keep(storage, f"{version}/{file}", bundle.read(file))
        _keep(storage, f"{version}/{MANIFEST_FILE}", (bundle.path / MANIFEST_FILE).read_bytes())
        for file, path in training.items():
            _keep(storage, f"training/{version}/{file}", path.read_bytes())


def _keep(storage: Storage, key: str, data: bytes) -> None:
    """Write what a killed process may have written before; what is wrong of it is mended."""
    if not storage.commit(key, data) and storage.read(key) != data:
        storage.replace(key, data)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def open_registry(place: str) -> Registry:
    """The registry at a folder's path, or at an ``s3://bucket/folder`` URL.

    Raises:
        InputError: it is neither.
    """
    return Registry(open_storage(place))


def check_model_name(name: str) -> None:
    """Refuse a name that no model can have.

    Raises:
        RegistryError: it has other characters than letters, digits, ``.``, ``_`` and ``-``, or is too long.
    """
    if not _NAME.fullmatch(name):
        msg = (
            f"Expected a model's name of letters, digits, '.', '_' and '-' (at most 64, the first a letter or a "
            f"digit), got {name!r}."
        )
        raise RegistryError(msg)
