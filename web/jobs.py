"""Finds queued jobs and the jobs of ``hangtag label``."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import InputError
from models.storage.storage import FolderStorage, open_storage
from models.text import is_name
from worker.job.job import Job, open_job
from worker.job.jobs import Jobs
from worker.label import job_folder

_OF: Final = "~"
"""Separator in a question's id: ``JOB~NAME``. Other ids do not contain ``~``."""


@dataclass(frozen=True)
class WebJob:
    """A job, with an id and a title for the web page.

    A job with several models has one question (such as colour) per model.

    Attributes:
        id: used in URLs. The name of a queued job, or :func:`result_id`. A question's id is ``ID~NAME``.
        title: the display name.
        result: result of ``hangtag label``. None for a queued job.
        of: the job that this question belongs to. None for a job.
    """

    id: str
    title: str
    job: Job
    result: Path | None = None
    of: "WebJob | None" = None

    @property
    def whole(self) -> "WebJob":
        """The job that a question belongs to, or this job. Cancelling or retrying applies to the whole job."""
        return self.of or self

    @property
    def questions(self) -> list["WebJob"]:
        """One question per model, if the job has several models."""
        if not self.job.spec.named:
            return []
        return [
            WebJob(f"{self.id}{_OF}{one.name}", f"{self.title}, {one.name}", one, self.result, self)
            for one in self.job.questions
        ]


class NoSuchJobError(InputError):
    """No job has this id."""


class JobIndex:
    """Finds jobs by id. Reads the folders at each call, so that new jobs are found.

    Args:
        jobs: the folder of jobs, or an ``s3://`` URL. It also contains jobs of the web page.
        results: results of ``hangtag label``.
    """

    def __init__(self, jobs: str, results: Iterable[Path] = ()) -> None:
        self.queued = Jobs(open_storage(jobs))
        self._results = {result_id(result): result.absolute() for result in results}

    def ids(self) -> list[str]:
        """The ids of all jobs. A folder of jobs may also contain incomplete jobs."""
        return [*self.queued.names(), *self._results]

    def find(self, id: str) -> WebJob:
        """The job with this id. Raises NoSuchJobError or JobError."""
        found = self._whole(id) or self._question(id)
        if found is None:
            msg = f"Expected a job {id[:80]!r} in {self.queued.place}, found none; it may have been deleted."
            raise NoSuchJobError(msg)
        return found

    def _whole(self, id: str) -> WebJob | None:
        result = self._results.get(id)
        if result:
            job = open_job(FolderStorage(job_folder(result)))
            return WebJob(id, result.name, job, result) if job else None
        job = self.queued.get(id) if is_name(id) else None
        return WebJob(id, id, job) if job else None

    def _question(self, id: str) -> WebJob | None:
        of, mark, name = id.partition(_OF)
        whole = self._whole(of) if mark else None
        return next((one for one in whole.questions if one.job.name == name), None) if whole else None


def result_id(result: Path) -> str:
    """The job id of a result: the file name and a hash of the path."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", result.name)[:40]
    return f"{name}-{hashlib.sha256(str(result.absolute()).encode()).hexdigest()[:8]}"
