"""Where the photos are that a file of a job or of a run names (``review.csv``, ``label_issues.csv``), as these say."""

from pathlib import Path

from models.errors import InputError, JobError
from models.storage.storage import FolderStorage
from trainer.data.path_cell import data_folder
from trainer.run import Run
from worker.job import open_job

__all__ = ["job_root"]


def job_root(file: Path) -> Path | None:
    """The folder where relative paths of a file start that lies in the folder of a job or of a run.

    None where neither lies there, where a job's photos are no files, or where that folder is not on this machine.
    """
    folder = file.absolute().parent
    root = _of_run(folder) or _of_job(folder)
    return root if root is not None and root.is_absolute() and root.is_dir() else None


def _of_run(folder: Path) -> Path | None:
    try:
        return data_folder(Path(Run(folder).args().data))
    except (OSError, InputError):
        return None  # no run, or of another version: as if it were not there


def _of_job(folder: Path) -> Path | None:
    try:
        job = open_job(FolderStorage(folder))
    except JobError:
        return None  # of another version: as if it were not there
    return None if job is None or "://" in job.spec.image_root else Path(job.spec.image_root)
