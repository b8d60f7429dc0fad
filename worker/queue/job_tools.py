"""What a process keeps open for the job that it works on, from one task to the next."""

from worker.job import Job
from worker.known.known import KnownPhotos
from worker.known.open_known import open_known
from worker.photos.photo import PhotoSource
from worker.photos.source import open_photos

__all__ = ["JobTools"]


class JobTools:
    """Connections to the hosts of a job's photos, and what is known of these; one job's at a time."""

    def __init__(self) -> None:
        self._job = ""
        self._open: tuple[PhotoSource, KnownPhotos] | None = None

    def of(self, job: Job) -> tuple[PhotoSource, KnownPhotos]:
        """A job's; another job's are closed."""
        if self._open is None or job.spec.id != self._job:
            self.close()
            self._job, self._open = job.spec.id, (open_photos(job), open_known(job))
        return self._open

    def close(self) -> None:
        """Let go of all of it."""
        for tool in self._open or ():
            tool.close()
        self._open = None
