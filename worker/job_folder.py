"""Where the job of a result is."""

from collections.abc import Iterator
from pathlib import Path

from models.errors import InputError, JobError
from models.storage.storage import FolderStorage
from worker.finish import RESULT_FILE
from worker.job import Job, open_job

__all__ = ["check_done", "earlier_job", "job_folder"]


def job_folder(output: Path) -> Path:
    """Where the job of an output of ``hangtag label`` lives: beside it."""
    return output.with_name(output.name + ".job")


def earlier_job(result: Path) -> Job:
    """The job that a result is of, all of whose rows are done.

    Args:
        result: of ``hangtag label``; or the result in a submitted job's folder; or the folder of either.

    Raises:
        InputError: no job is there.
        JobError: it is not done, damaged, or of another version.
    """
    for folder in _folders(result):
        job = open_job(FolderStorage(folder))
        if job is not None:
            check_done(job, result.name)
            return job
    msg = (
        f"Expected an earlier result of hangtag label as --previous, with its job folder {result}.job beside it, "
        "found none there; a result whose job folder is gone cannot be carried over from."
    )
    raise InputError(msg)


def _folders(result: Path) -> Iterator[Path]:
    place = result.resolve()
    if place.name:  # not the root of the disk
        yield job_folder(place)
    if place.is_dir():
        yield place
    elif place.name == RESULT_FILE:
        yield place.parent


def check_done(job: Job, name: str) -> None:
    """Refuse a job with rows that are not done.

    Raises:
        JobError: it has some.
    """
    waiting = sum(map(job.rows_in_chunk, job.missing_chunks()))
    if waiting:
        msg = (
            f"Expected {name}, the job to carry over from, to be finished; {waiting:,} of its {job.spec.rows:,} rows "
            "are not done. Let it end first, or go without --previous."
        )
        raise JobError(msg)
