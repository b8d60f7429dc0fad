"""A folder of jobs, on a disk that submitters and workers share, or in S3."""

import uuid
from contextlib import suppress
from typing import Final

from models.errors import InputError
from models.names import is_name, name_expected
from models.storage.storage import Storage
from worker.bundle_store import BundleStore
from worker.job import JOB_FILE, Job, open_job

__all__ = ["Jobs", "check_name"]

_IDENTITY: Final = "_jobs.id"
_NAMED: Final = 10


class Jobs:
    """Jobs by name; each has a folder of its own, and the bundles they are pinned to lie beside them.

    Args:
        storage: the folder of jobs.

    Attributes:
        bundles: the models.
        watched: notes on the folders whose files become jobs.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.bundles = BundleStore(storage.child("_bundles"))
        self.watched = storage.child("_watched")

    @property
    def place(self) -> str:
        """Where it is, as a person would write it."""
        return self._storage.place

    def identity(self) -> str:
        """What tells this folder from every other, wherever it is mounted; made when first asked for."""
        with suppress(FileNotFoundError):
            return self._storage.read(_IDENTITY).decode()
        self._storage.commit(_IDENTITY, uuid.uuid4().hex.encode())
        return self._storage.read(_IDENTITY).decode()

    def names(self) -> list[str]:
        """Names of the folders that may hold a job, in order; one that is just being submitted holds none yet."""
        return [name for name in self._storage.folders() if is_name(name)]

    def storage(self, name: str) -> Storage:
        """Where a job of that name is, or will be."""
        return self._storage.child(name)

    def get(self, name: str) -> Job | None:
        """The job of that name; none where there is none, or it is not whole yet.

        Raises:
            JobError: it is damaged, or of another version.
        """
        return open_job(self.storage(name))

    def find(self, name: str) -> Job:
        """The job of that name.

        Raises:
            InputError: there is none; the message names those that are there.
        """
        check_name(name)
        job = self.get(name)
        if job is None:
            names = self.names()
            there = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "") or "none"
            msg = f"Expected {JOB_FILE} of job {name} in {self.place}, found none; jobs there: {there}. Check --jobs."
            raise InputError(msg)
        return job


def check_name(name: str) -> None:
    """Refuse a name that no job can have.

    Raises:
        InputError: it has other characters than letters, digits, ``.``, ``_`` and ``-``, or is too long.
    """
    if not is_name(name):
        raise InputError(name_expected("a job", name))
