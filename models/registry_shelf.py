"""Models by name and version, as they are looked up: in a folder, or in S3; nothing here changes one."""

from pathlib import Path

from models.bundle import read_manifest
from models.bundle_copy import bring_bundle, is_whole
from models.errors import BundleError, HangtagError, RegistryError
from models.names import is_name, name_expected
from models.registry_history import History
from models.registry_publish import TRAINING
from models.registry_state import State, VersionRules, VersionState
from models.storage.storage import Storage

__all__ = ["Shelf", "check_model_name"]


class Shelf:
    """Models by name, to be looked up.

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
        return [name for name in self._storage.folders() if is_name(name) and self.history(name).numbers()]

    def model_storage(self, name: str) -> Storage:
        """All that is kept of a model: its versions, its history, and what others keep beside them, such as locks.

        Raises:
            RegistryError: no model can have that name.
        """
        check_model_name(name)
        return self._storage.child(name)

    def history(self, name: str) -> History:
        """What happened to a model.

        Raises:
            RegistryError: no model can have that name.
        """
        return History(self.model_storage(name))

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
        """A version's bundle as a folder of this machine; it is copied to the cache where the registry is elsewhere.

        Raises:
            RegistryError: there is no such version.
            BundleError: it is damaged.
        """
        digest = self._version(name, version).digest
        place = self.model_storage(name).child(str(version))
        on_disk = place.on_disk("")
        here = on_disk or self._storage.scratch / digest
        try:
            if not here.is_dir() or (on_disk is None and not is_whole(here)):
                bring_bundle(place, here)
        except FileNotFoundError as error:
            msg = f"Expected the bundle of {name}@{version} in {place.place}, it is gone; publish it again."
            raise BundleError(msg) from error
        if read_manifest(here).digest != digest:
            msg = f"{here} is not the bundle that was published as {name}@{version}; restore it from a copy."
            raise BundleError(msg)
        return here

    def find(self, name: str, which: str) -> tuple[int, Path]:
        """The version that an alias or a number means, and its bundle as a folder of this machine.

        Raises:
            RegistryError: there is no such model, alias or version.
            BundleError: it is damaged.
        """
        while True:
            version = self.resolve(name, which)
            try:
                return version, self.path(name, version)
            except HangtagError:
                if self.resolve(name, which) == version:  # else its alias had gone on to another, and it was deleted
                    raise

    def training(self, name: str, version: int, file: str) -> Path | None:
        """A file that a retraining of a version starts from, on this machine; none where it was not kept.

        Raises:
            RegistryError: there is no such version.
        """
        digest = self._version(name, version).digest
        storage, key = self.model_storage(name), f"{TRAINING}/{version}/{file}"
        if not storage.exists(key):
            return None
        if found := storage.on_disk(key):
            return found
        here = self._storage.scratch / f"{name}@{version}.{digest[:16]}"
        here.mkdir(exist_ok=True)
        return storage.local(key, here)

    def rules(self, name: str) -> VersionRules:
        """What may happen to a model's versions."""
        return VersionRules(name, self.place)

    def _version(self, name: str, version: int) -> VersionState:
        state = self.state(name)
        self.rules(name).check_there(version, state)
        return state.versions[version]


def check_model_name(name: str) -> None:
    """Refuse a name that no model can have.

    Raises:
        RegistryError: it has other characters than letters, digits, ``.``, ``_`` and ``-``, or is too long.
    """
    if not is_name(name):
        raise RegistryError(name_expected("a model", name))
