"""Where the photos of a job's ``review.csv`` are, as the job itself says."""

from pathlib import Path

from models.errors import JobError
from models.storage.storage import FolderStorage
from worker.job import open_job

__all__ = ["job_root"]


def job_root(file: Path) -> Path | None:
    """The folder where relative paths of a file start that lies in a job's folder.

    None where no job lies there, where its photos are no files, or where that folder is not on this machine.
    """
    try:
        job = open_job(FolderStorage(file.absolute().parent))
    except JobError:
        return None  # of another version: as if it were not there
    if job is None or "://" in job.spec.image_root:
        return None
    root = Path(job.spec.image_root)
    return root if root.is_absolute() and root.is_dir() else None
