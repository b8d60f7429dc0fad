"""The jobs that the page shows: those of a folder of jobs, and those of results of ``hangtag label``."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import InputError, JobError
from models.storage.storage import FolderStorage, Storage, open_storage
from worker.job import Job, open_job
from worker.jobs import Jobs

__all__ = ["JobIndex", "WebJob"]

_LOCAL_JOB = ".job"


@dataclass(frozen=True)
class WebJob:
    """A job that the page shows.

    Attributes:
        id: in addresses: the name of a queued job; of a local one its result's name and some digits.
        title: as people read it.
        result: of ``hangtag label``; none for a queued job, whose result lies in its folder.
    """

    id: str
    title: str
    job: Job
    result: Path | None = None


class JobIndex:
    """Finds jobs by what stands for them in addresses; a folder is looked at each time, so new jobs are found.

    Args:
        jobs: the folder of queued jobs, or an ``s3://`` URL.
        results: results of ``hangtag label``.
    """

    def __init__(self, jobs: str, results: tuple[Path, ...] = ()) -> None:
        self.queued = Jobs(open_storage(jobs))
        self._results = tuple(result.absolute() for result in results)

    def all(self) -> list[WebJob]:
        """Every job, the newest first; damaged ones are left out."""
        return sorted(self._found(), key=lambda found: found.job.spec.created_at, reverse=True)

    def find(self, id: str) -> WebJob:
        """The job of that id.

        Raises:
            InputError: there is none.
        """
        for found in self._found():
            if found.id == id:
                return found
        msg = f"Expected a job {id[:80]!r} in {self.queued.place}, found none; it may have been deleted."
        raise InputError(msg)

    def _found(self) -> Iterator[WebJob]:
        for name in self.queued.names():
            if job := _whole(self.queued.storage(name)):
                yield WebJob(name, name, job)
        for result in self._local_results():
            if job := _whole(FolderStorage(result.with_name(f"{result.name}{_LOCAL_JOB}"))):
                yield WebJob(_local_id(result), str(result), job, result)

    def _local_results(self) -> list[Path]:
        """Those that were named, and those of jobs that the page has started without Redis."""
        folder = Path(self.queued.place)
        started = sorted(folder.glob(f"*/*{_LOCAL_JOB}")) if folder.is_dir() else []
        return list(dict.fromkeys([*self._results, *(path.absolute().with_suffix("") for path in started)]))


def _whole(storage: Storage) -> Job | None:
    """The job there; none where there is none that this version can read."""
    try:
        return open_job(storage)
    except JobError:
        return None


def _local_id(result: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", result.name)[:40]
    return f"{name}-{hashlib.sha256(str(result).encode()).hexdigest()[:8]}"
