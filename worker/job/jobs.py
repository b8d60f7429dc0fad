"""A folder of jobs and their models, on a shared disk or in S3."""

import hashlib
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from catalogue.urls import is_url
from models.bundle import bring, bring_bundle, is_whole, keep, keep_bundle, open_bundle
from models.errors import BundleError, InputError
from models.storage.storage import Storage, open_storage
from models.text import is_name, name_expected
from worker.job.job import JOB_FILE, Job, open_job
from worker.job.receipt import job_receipt

_LONE_FILE: Final = "lone.onnx"
_IDENTITY: Final = "_jobs.id"
_NAMED: Final = 10


class BundleStore:
    """Bundles and separate ONNX files, in folders named by digest."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def put(self, model: Path, digest: str) -> None:
        """Store a bundle or an ``.onnx`` file; replaces a damaged copy. Raises BundleError."""
        place, data = self._storage.child(digest), model.read_bytes() if model.is_file() else b""
        bundle = None if data else open_bundle(model)
        if digest != (bundle.digest if bundle else hashlib.sha256(data).hexdigest()):
            msg = f"{model} was replaced while the job was being submitted; submit it again."
            raise BundleError(msg)
        if bundle:
            keep_bundle(place, bundle)
        else:
            keep(place, _LONE_FILE, data)

    def fetch(self, digest: str) -> Path:
        """The local path of a bundle or ``.onnx`` file; downloads it first if it is remote."""
        here = self._storage.scratch / digest
        lone = here / _LONE_FILE
        is_copy = here != self._storage.child(digest).on_disk("")
        if not here.is_dir() or (is_copy and not (lone.is_file() or is_whole(here))):
            self._bring(digest, here)
        return lone if lone.is_file() else here

    def _bring(self, digest: str, here: Path) -> None:
        place = self._storage.child(digest)
        try:
            if place.exists(_LONE_FILE):
                bring([(_LONE_FILE, place.read(_LONE_FILE))], here)
            else:
                bring_bundle(place, here)
        except FileNotFoundError as error:
            msg = f"Expected the model {digest[:12]} in {self._storage.place}, but it is gone; submit the job again."
            raise BundleError(msg) from error


class Jobs:
    """Jobs by name, each in its own folder. The folder ``_bundles`` has the models."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.bundles = BundleStore(storage.child("_bundles"))

    @property
    def place(self) -> str:
        """The path or URL of the folder of jobs."""
        return self._storage.place

    def identity(self) -> str:
        """The id of this folder of jobs, the same at every mount point. The first call creates the id."""
        if known := self.known_identity():
            return known
        self._storage.commit(_IDENTITY, uuid.uuid4().hex.encode())
        return self._storage.read(_IDENTITY).decode()

    def known_identity(self) -> str:
        """The id of this folder of jobs, or empty if it has none yet."""
        with suppress(FileNotFoundError):
            return self._storage.read(_IDENTITY).decode()
        return ""

    def names(self) -> list[str]:
        """Names of job folders, in order. Includes incomplete jobs, which are being submitted."""
        return [name for name in self._storage.folders() if is_name(name)]

    def storage(self, name: str) -> Storage:
        """The folder of the job with this name."""
        return self._storage.child(name)

    def get(self, name: str) -> Job | None:
        """The job with this name, or None."""
        return open_job(self.storage(name))

    def unfinished(self, name: str) -> Job | None:
        """The job with this name; None if it is cancelled, finished or missing."""
        job = self.get(name)
        return None if job is None or job.cancelled or job_receipt(job) else job

    def find(self, name: str) -> Job:
        """The job with this name. Raises InputError."""
        check_name(name)
        job = self.get(name)
        if job is None:
            names = self.names()
            there = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "") or "none"
            msg = f"Expected {JOB_FILE} of job {name} in {self.place}, found none; jobs there: {there}. Check --jobs."
            raise InputError(msg)
        return job


def open_jobs(place: str) -> Jobs:
    """Open the folder of jobs at a path or an ``s3://`` URL. The first write creates the folder."""
    jobs = Jobs(open_storage(place))
    parent = None if is_url(place) else Path(place).resolve().parent
    if parent and not parent.is_dir():
        msg = f"Expected the folder {parent} of --jobs {place}, found none; mount its disk, or make the folder."
        raise InputError(msg)
    return jobs


def check_name(name: str) -> None:
    """Raise InputError if a job cannot have this name."""
    if not is_name(name):
        raise InputError(name_expected("a job", name))
