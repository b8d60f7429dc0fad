"""The model registry: versions, aliases such as ``champion``, and their history.

    <registry>/<name>/<version>/          a bundle; never changes
    <registry>/<name>/training/<version>/ files for retraining: splits.csv, best.keras, args.json; and the reports
    <registry>/<name>/claims/000004.json  the bundle that version 4 is reserved for
    <registry>/<name>/history/000007.json an event

A version exists once its bundle is complete and the history lists the version. Many processes may write to a registry.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from models.bundle import Bundle, bring_bundle, is_whole, keep_bundle, open_bundle, read_manifest
from models.decision import promise_text
from models.errors import BundleError, HangtagError, RegistryError
from models.registry.history import CHAMPION, Event, History, State, VersionRules, VersionState, What
from models.storage.storage import Storage, open_storage
from models.text import is_name, name_expected, numbered, without_file_links

TRAINING: Final = "training"
REPORT_FILES: Final = ("report.html", "confusion_matrix.png", "classes.csv")
"""The reports of a run. If the run is known, they are stored next to the version's bundle."""
CYCLE_REPORT: Final = "cycle.html"
"""The report of the version's retraining cycle, in the folder of REPORT_FILES."""
_CLAIMS: Final = "claims"


def claim_number(storage: Storage, state: State, digest: str) -> int:
    """The version number that a bundle has or has reserved. A new bundle gets the next number.

    ``storage`` is the model's folder.
    """
    known = {number: what.digest for number, what in state.versions.items()}
    while True:
        claims = numbered(storage.names(_CLAIMS), ".json")
        last = max([state.last_version, *claims])
        for number in range(last, 0, -1):
            if number not in known and number not in state.deleted:
                known[number] = _claimed(storage, number)
            if known.get(number) == digest:
                return number
        if storage.commit(_key(last + 1), json.dumps({"digest": digest}).encode()):
            return last + 1


def _claimed(storage: Storage, number: int) -> str:
    try:
        return str(json.loads(storage.read(_key(number)))["digest"])
    except FileNotFoundError:
        return ""


def _key(number: int) -> str:
    return f"{_CLAIMS}/{number:06d}.json"


def copy_version(storage: Storage, version: int, bundle: Bundle, training: Mapping[str, Path]) -> None:
    """Write a version's files. Damaged files of the bundle are replaced. Raises BundleError."""
    keep_bundle(storage.child(str(version)), bundle)
    for file, path in training.items():
        _keep_file(storage, version, file, path)


def _keep_file(storage: Storage, version: int, file: str, path: Path) -> None:
    data = path.read_bytes()
    storage.commit(f"{TRAINING}/{version}/{file}", without_file_links(data) if file.endswith(".html") else data)


def report_files(run: Path) -> dict[str, Path]:
    """The paths of the run's reports, by name in the registry."""
    return {name: run / name for name in REPORT_FILES if (run / name).is_file()}


def remove_deleted(storage: Storage, state: State) -> None:
    """Remove files of deleted versions that a killed process left behind."""
    for folder in (storage, storage.child(TRAINING)):
        for name in set(folder.folders()).intersection(map(str, state.deleted)):
            folder.clear(name)


@dataclass(frozen=True)
class Published:
    """The number of a version, and whether the version is new. Publishing a bundle again returns the old number."""

    version: int
    new: bool


class Registry:
    """Models by name, in a folder or in S3. :func:`check_model_name` checks the names."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def place(self) -> str:
        """The folder's path or the ``s3://`` URL."""
        return self._storage.place

    def names(self) -> list[str]:
        """The models with a history, in order."""
        return [name for name in self._storage.folders() if is_name(name) and self.history(name).numbers()]

    def model_storage(self, name: str) -> Storage:
        """The storage of a model: versions, history, and other files such as locks."""
        check_model_name(name)
        return self._storage.child(name)

    def history(self, name: str) -> History:
        """The history of a model."""
        return History(self.model_storage(name))

    def state(self, name: str) -> State:
        """The current state of a model. Raises RegistryError."""
        last = self.history(name).last()
        if last is None:
            there = ", ".join(self.names()) or "none"
            msg = f"Expected a model {name} in the registry {self.place}, found none; models there: {there}."
            raise RegistryError(msg)
        return last.after

    def resolve(self, name: str, which: str) -> int:
        """The version with this alias or number.

        Raises RegistryError if the model, the alias or the version does not exist.
        """
        state = self.state(name)
        if which.isdecimal():
            if int(which) in state.versions:
                return int(which)
        elif which in state.aliases:
            return state.aliases[which]
        there = ", ".join([*state.aliases, *map(str, state.versions)]) or "none"
        msg = f"Expected {name}@{which} in the registry {self.place}, found {there} of {name}."
        raise RegistryError(msg)

    def path(self, name: str, version: int) -> Path:
        """A version's bundle as a local folder. A remote bundle is copied to the cache.

        Raises RegistryError, BundleError.
        """
        digest = self._version(name, version).digest
        place = self.model_storage(name).child(str(version))
        on_disk = place.on_disk("")
        here = on_disk or self._storage.scratch / digest
        try:
            if not here.is_dir() or (on_disk is None and not is_whole(here)):
                bring_bundle(place, here)
        except FileNotFoundError as error:
            msg = f"Expected the bundle of {name}@{version} in {place.place}, but it is gone; publish the bundle again."
            raise BundleError(msg) from error
        if read_manifest(here).digest != digest:
            msg = f"{here} is not the bundle that was published as {name}@{version}; restore it from a copy."
            raise BundleError(msg)
        return here

    def find(self, name: str, which: str) -> tuple[int, Path]:
        """The version with this alias or number, and its bundle's local folder. Raises RegistryError, BundleError."""
        while True:
            version = self.resolve(name, which)
            try:
                return version, self.path(name, version)
            except HangtagError:
                if self.resolve(name, which) == version:  # the alias has not moved
                    raise

    def training(self, name: str, version: int, file: str) -> Path | None:
        """A local copy of a version's file for retraining. None if the registry lacks it. Raises RegistryError."""
        digest = self._version(name, version).digest
        storage, key = self.model_storage(name), f"{TRAINING}/{version}/{file}"
        if not storage.exists(key):
            return None
        if path := storage.on_disk(key):
            return path
        here = self._storage.scratch / f"{name}@{version}.{digest[:16]}"
        here.mkdir(exist_ok=True)
        return storage.local(key, here)

    def keep_cycle_report(self, name: str, version: int, report: Path) -> None:
        """Store the report of a version's retraining cycle. A stored report is never overwritten."""
        _keep_file(self.model_storage(name), version, CYCLE_REPORT, report)

    def _version(self, name: str, version: int) -> VersionState:
        return self._rules(name).version(self.state(name), version)

    def _rules(self, name: str) -> VersionRules:
        return VersionRules(name, self.place)

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
        """Publish a bundle as a new version. A bundle that is already published keeps its number and aliases.

        ``why``, ``numbers`` and ``cycle`` (the retraining cycle of the bundle) go into the history. ``training``:
        paths of files for retraining, by file name. Files that a published version lacks are added. ``alias``: an alias
        for a new version. Raises RegistryError, BundleError.
        """
        storage, bundle = self.model_storage(name), open_bundle(bundle_path)
        if alias is not None:
            _check_alias(alias)
        history, what = self.history(name), _described(bundle)
        while True:
            version = claim_number(storage, history.state(), bundle.digest)
            try:
                copy_version(storage, version, bundle, training or {})
            except FileNotFoundError:
                if version not in history.state().deleted:  # not deleted by another process
                    raise
            change = partial(self._rules(name).published, version=version, what=what, alias=alias)
            event = history.append(What.PUBLISHED, change, why, numbers, cycle=cycle)
            state = history.state()
            remove_deleted(storage, state)
            if version not in state.deleted:  # if deleted meanwhile, publish again
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
        by: str | None = None,
    ) -> Event | None:
        """Make a version the champion. Returns None if the version is already champion.

        ``why``, ``numbers`` and ``cycle`` go into the history. ``instead_of`` is the champion with which the version
        was compared, or 0. ``force`` overrules a gate's refusal, and needs a reason. ``by``: the person who
        requests the change. Raises RegistryError.
        """
        if force:
            _check_reason(why, f"promote {name}@{version} by force")
        change = partial(self._rules(name).promoted, version=version, instead_of=instead_of, force=force)
        return self.history(name).append(What.PROMOTED, change, why, numbers, cycle=cycle, forced=force, by=by)

    def refuse(
        self, name: str, version: int, reasons: tuple[str, ...], numbers: Mapping[str, Any], cycle: str | None = None
    ) -> Event | None:
        """Record that a gate refused a version, with one sentence per reason.

        Returns None if the same refusal is already recorded. Raises RegistryError.
        """
        change = partial(self._rules(name).refused, version=version, reasons=reasons)
        return self.history(name).append(What.REFUSED, change, " ".join(reasons), numbers, cycle=cycle)

    def rollback(self, name: str, why: str, *, instead_of: int | None = None, by: str | None = None) -> Event:
        """Restore the most recent former champion that still exists.

        ``instead_of``: the champion to replace, by default the current champion. If two people roll back the same
        champion, only one rollback succeeds. ``by``: the person who requests the change. Raises RegistryError.
        """
        champion = self.state(name).aliases.get(CHAMPION)
        change = partial(self._rules(name).rolled_back, instead_of=instead_of or champion)
        event = self.history(name).append(What.ROLLED_BACK, change, why, by=by)
        assert event is not None  # noqa: S101 - a rollback makes a change, or raises
        return event

    def previous_champion(self, name: str) -> int | None:
        """The version that :meth:`rollback` would restore, or None. Raises RegistryError."""
        state = self.state(name)
        with suppress(RegistryError):
            changed = self._rules(name).rolled_back(state, instead_of=state.aliases.get(CHAMPION))
            return changed[0] if changed else None
        return None

    def alias(self, name: str, version: int, alias: str, why: str) -> Event | None:
        """Point an alias at a version. Returns None if nothing changes. Only promotion and rollback move ``champion``.

        Raises RegistryError.
        """
        _check_alias(alias)
        change = partial(self._rules(name).aliased, version=version, alias=alias)
        return self.history(name).append(What.ALIASED, change, why)

    def remove_alias(self, name: str, version: int, alias: str, why: str) -> Event | None:
        """Remove an alias from a version.

        Raises RegistryError if the alias is ``champion`` or points at another version.
        """
        change = partial(self._rules(name).unaliased, version=version, alias=alias)
        return self.history(name).append(What.ALIASED, change, why)

    def delete(self, name: str, version: int, why: str) -> Event | None:
        """Delete a version without aliases from the history, then its files.

        Returns None if the version is already deleted. Also removes files that a killed process left behind.

        Raises RegistryError.
        """
        _check_reason(why, f"delete {name}@{version}")
        history = self.history(name)
        event = history.append(What.DELETED, partial(self._rules(name).deleted, version=version), why)
        remove_deleted(self.model_storage(name), history.state())
        return event


def _check_reason(why: str, what: str) -> None:
    if not why.strip():
        msg = f"Expected a reason to {what}, got none; give it with --why."
        raise RegistryError(msg)


def _described(bundle: Bundle) -> VersionState:
    variant = bundle.manifest.variants[bundle.manifest.default_variant]
    return VersionState(
        digest=bundle.digest,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        bytes=(bundle.path / variant.file).stat().st_size,
        measured=bundle.manifest.measured,
        promise=promise_text(variant.precision),
    )


def open_registry(place: str) -> Registry:
    """The registry at a folder's path, or at an ``s3://bucket/folder`` URL. Raises InputError for other URLs."""
    return Registry(open_storage(place))


def check_model_name(name: str) -> None:
    """Raise RegistryError for a name that is too long, or not of letters, digits, ``.``, ``_`` and ``-``."""
    if not is_name(name):
        raise RegistryError(name_expected("a model", name))


def _check_alias(alias: str) -> None:
    if not is_name(alias):
        raise RegistryError(name_expected("an alias", alias))
    if alias.isdecimal():
        msg = f"Expected an alias that is not a number, got {alias}: shop@{alias} is a version."
        raise RegistryError(msg)
