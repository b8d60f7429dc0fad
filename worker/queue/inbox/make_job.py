"""The job of a name, made by whoever comes first."""

from collections.abc import Callable

from models.errors import JobError
from worker.jobs import Jobs
from worker.queue.submit import SubmitRequest, Submitted, submit
from worker.sources.catalogue import Catalogue

__all__ = ["make_job"]


def make_job(
    request: SubmitRequest, jobs: Jobs, on_rows: Callable[[int], None], catalogue: Catalogue | None = None
) -> Submitted:
    """Submit, unless the job is there: the name says what it is made of, and somebody else may be making it now.

    Raises:
        InputError: the source or an option cannot be used.
        BundleError: the model is damaged or disagrees with itself on this machine.
        JobError: rows of another job are under that name, or the job is damaged.
    """
    job = jobs.get(request.name)
    if job is None:
        try:
            return submit(request, jobs, on_rows, catalogue)
        except JobError:
            job = jobs.get(request.name)
            if job is None:
                raise
    return Submitted(request.name, job, new=False)
