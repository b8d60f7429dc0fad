"""The jobs that the page shows: those of a folder of jobs, and those of results of ``hangtag label``."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import InputError, JobError
from models.storage.storage import FolderStorage, open_storage
from models.text import is_name
from worker.job.job import Job, open_job
from worker.job.jobs import Jobs
from worker.label import job_folder

_AT_ONCE: Final = 16
_OF: Final = "~"
"""Between a job's id and the name of its question; no name of a job or a result has it in its id."""


@dataclass(frozen=True)
class WebJob:
    """A job that the page shows.

    Attributes:
        id: in addresses: the name of a queued job; of a local one its result's name and some digits; of a question
            its job's, ``~`` and its name.
        title: as people read it.
        result: of ``hangtag label``; none for a queued job, whose result lies in its folder.
        of: the whole job, of a question.
    """

    id: str
    title: str
    job: Job
    result: Path | None = None
    of: "WebJob | None" = None

    @property
    def whole(self) -> "WebJob":
        """What is started, cancelled and retried: all questions of a job together."""
        return self.of or self

    @property
    def questions(self) -> list["WebJob"]:
        """Those of a job with named models; each is reviewed by itself."""
        if not self.job.spec.named:
            return []
        return [
            WebJob(f"{self.id}{_OF}{one.name}", f"{self.title}, {one.name}", one, self.result, self)
            for one in self.job.questions
        ]


class NoSuchJobError(InputError):
    """There is no job of that id."""


class JobIndex:
    """Finds jobs by what stands for them in addresses; a folder is looked at each time, so new jobs are found.

    Args:
        jobs: the folder of queued jobs, or an ``s3://`` URL; those that the page starts without Redis lie there too.
        results: results of ``hangtag label``.
    """

    def __init__(self, jobs: str, results: tuple[Path, ...] = ()) -> None:
        self.queued = Jobs(open_storage(jobs))
        self._results = {_local_id(result): result for result in (result.absolute() for result in results)}

    def all(self) -> list[WebJob]:
        """Every job, the newest first; damaged ones are left out."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:  # in S3 each takes a while
            found = filter(None, threads.map(self._whole, self.ids()))
            return sorted(found, key=lambda found: found.job.spec.created_at, reverse=True)

    def ids(self) -> list[str]:
        """What may be jobs, without looking into them."""
        return [*self.queued.names(), *self._results]

    def find(self, id: str) -> WebJob:
        """The job of that id.

        Raises:
            NoSuchJobError: there is none.
            JobError: it is damaged, or of another version.
        """
        found = self.get(id)
        if found is None:
            msg = f"Expected a job {id[:80]!r} in {self.queued.place}, found none; it may have been deleted."
            raise NoSuchJobError(msg)
        return found

    def get(self, id: str) -> WebJob | None:
        """The job of that id, if there is one.

        Raises:
            JobError: it is damaged, or of another version.
        """
        result = self._results.get(id)
        if result:
            job = open_job(FolderStorage(job_folder(result)))
            return WebJob(id, result.name, job, result) if job else None
        job = self.queued.get(id) if is_name(id) else None
        return WebJob(id, id, job) if job else self._question(id)

    def _question(self, id: str) -> WebJob | None:
        """A question of a job, by the job's id and its name."""
        of, mark, name = id.partition(_OF)
        whole = self.get(of) if mark else None
        return next((one for one in whole.questions if one.job.name == name), None) if whole else None

    def _whole(self, id: str) -> WebJob | None:
        try:
            return self.get(id)
        except JobError:
            return None


def _local_id(result: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", result.name)[:40]
    return f"{name}-{hashlib.sha256(str(result).encode()).hexdigest()[:8]}"
