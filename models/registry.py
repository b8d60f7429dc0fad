"""Models by name and version: which there are, which is the champion, and what became of each.

    <registry>/<name>/<version>/          a bundle; never changed once it is published
    <registry>/<name>/training/<version>/ what a retraining starts from: splits.csv, best.keras, args.json
    <registry>/<name>/claims/000004.json  which bundle a version's number is for
    <registry>/<name>/history/000007.json what happened, an event a file: the truth
    <registry>/<name>/history.jsonl       the same to read, and aliases.json

A version is there when the history says so, and the history says so when the bundle is whole. Any number of processes
may write at once: each event is written by one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.bundle import Bundle, open_bundle
from models.errors import RegistryError
from models.names import is_name, name_expected
from models.precision import promise_text
from models.registry_history import Event, What
from models.registry_publish import claim_number, copy_version, remove_deleted
from models.registry_shelf import Shelf, check_model_name
from models.registry_state import CHAMPION, VersionState
from models.storage.storage import open_storage

__all__ = ["Published", "Registry", "check_model_name", "open_registry"]


@dataclass(frozen=True)
class Published:
    """A version of a model.

    Attributes:
        version: its number.
        new: whether this call published it; the same bundle has one version only.
    """

    version: int
    new: bool


class Registry(Shelf):
    """Models by name, to be looked up and changed.

    Args:
        storage: where they are.
    """

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
        """Keep a bundle as a new version. One that is there already stays as it is, with its number and its aliases.

        Args:
            name: of the model.
            bundle_path: a bundle's folder.
            why: for the history.
            numbers: for the history.
            training: file name → file, of what a retraining starts from. Of a version that is there, missing ones are
                added.
            cycle: the retraining cycle that made it.
            alias: that is to mean this version, if it is new.

        Raises:
            RegistryError: no model can have that name, no version that alias.
            BundleError: it is no bundle, or damaged.
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
                if version not in history.state().deleted:  # else its folder goes while it is written to
                    raise
            change = self.rules(name).published(version, what, alias)
            event = history.append(What.PUBLISHED, change, why, numbers, cycle=cycle)
            state = history.state()
            remove_deleted(storage, state)
            if version not in state.deleted:  # while this process was copying it
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
            why: for the history; not empty with ``force``.
            numbers: for the history.
            cycle: the retraining cycle that decided it.
            instead_of: the champion that it was found better than, 0 for none; whatever is champion where not given.
            force: promote it though a gate has refused it.

        Returns:
            The event; none where it is the champion already.

        Raises:
            RegistryError: it is not there, a gate has refused it, or another version is champion by now.
        """
        if force and not why.strip():
            msg = f"Expected a reason to promote {name}@{version} by force, got none; give it with --why."
            raise RegistryError(msg)
        change = self.rules(name).promoted(version, instead_of, force=force)
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
        change = self.rules(name).refused(version, reasons)
        return self.history(name).append(What.REFUSED, change, " ".join(reasons), numbers, cycle=cycle)

    def rollback(self, name: str, why: str) -> Event:
        """Make that version the champion again which was it before, of those that are still there.

        Of two at once one goes back, and the other is told: two people who see the same fault go back one version.

        Raises:
            RegistryError: there is no such version, or another one has become champion meanwhile.
        """
        champion = self.state(name).aliases.get(CHAMPION)
        event = self.history(name).append(What.ROLLED_BACK, self.rules(name).rolled_back(champion), why)
        assert event is not None  # noqa: S101 - there is always something to do, or an error
        return event

    def alias(self, name: str, version: int, alias: str, why: str) -> Event | None:
        """Let an alias mean a version; the champion's is moved by promotions and rollbacks only.

        Returns:
            The event; none where it means that version already.

        Raises:
            RegistryError: the version is not there, or no version can have that alias.
        """
        _check_alias(alias)
        return self.history(name).append(What.ALIASED, self.rules(name).aliased(version, alias), why)

    def remove_alias(self, name: str, version: int, alias: str, why: str) -> Event | None:
        """Take an alias of a version away.

        Raises:
            RegistryError: it does not mean that version, or is the champion's.
        """
        return self.history(name).append(What.ALIASED, self.rules(name).unaliased(version, alias), why)

    def delete(self, name: str, version: int, why: str) -> Event | None:
        """Take a version away that no alias means: first from the history, then its files.

        Returns:
            The event; none where it is gone already. What a killed process has left of it goes in both cases.

        Raises:
            RegistryError: it was never there, or an alias means it.
        """
        history = self.history(name)
        event = history.append(What.DELETED, self.rules(name).deleted(version), why)
        remove_deleted(self.model_storage(name), history.state())
        return event


def _described(bundle: Bundle) -> VersionState:
    variant = bundle.manifest.variants[bundle.manifest.default_variant]
    return VersionState(
        digest=bundle.digest,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        accuracy=variant.accuracy,
        bytes=(bundle.path / variant.file).stat().st_size,
        promise=promise_text(variant.precision),
    )


def open_registry(place: str) -> Registry:
    """The registry at a folder's path, or at an ``s3://bucket/folder`` URL.

    Raises:
        InputError: it is neither.
    """
    return Registry(open_storage(place))


def _check_alias(alias: str) -> None:
    if not is_name(alias):
        raise RegistryError(name_expected("an alias", alias))
    if alias.isdecimal():
        msg = f"Expected a name for an alias that is no number, got {alias}: shop@{alias} is a version."
        raise RegistryError(msg)
