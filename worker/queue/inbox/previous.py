"""The job before a job."""

from collections.abc import Iterable

from models.errors import HangtagError
from worker.finish import finished_receipt
from worker.jobs import Jobs

__all__ = ["first_finished"]


def first_finished(names: Iterable[str], jobs: Jobs) -> str | None:
    """The first of some jobs that is there and finished; one that cannot be read is passed over."""
    return next((name for name in names if _is_finished(name, jobs)), None)


def _is_finished(name: str, jobs: Jobs) -> bool:
    try:
        job = jobs.get(name)
        return job is not None and finished_receipt(job) is not None
    except HangtagError:  # of another version, say: its results are not taken over
        return False
