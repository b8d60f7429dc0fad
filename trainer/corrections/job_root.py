"""The folder of the photos that ``review.csv`` of a job, or ``label_issues.csv`` of a run, names."""

from pathlib import Path

from models.errors import InputError, JobError
from models.storage.storage import FolderStorage
from trainer.data.path_cell import data_folder
from trainer.run import Run
from worker.job import open_job

__all__ = ["job_root"]


def job_root(file: Path) -> Path | None:
    """The folder at which relative paths start in a file that lies beside a job's or a run's own files.

    ``None`` if there is no job and no run, if the job's photos are not files, or if the folder is not on this machine.
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
