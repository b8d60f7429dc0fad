"""What a process keeps open for the job that it works on, from one task to the next."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.job import Job
from worker.known.known import KnownPhotos
from worker.known.open_known import open_known
from worker.photos.photo import PhotoSource
from worker.photos.source import open_photos

__all__ = ["JobTools"]


class JobTools:
    """Connections to the hosts of a job's photos, and what is known of these; one job's at a time.

    After an error all of it is closed and opened anew: what is wrong may lie in it, such as a client of S3 that was
    made when there were no credentials, or the same error of other photos, which would spoil the next chunk.
    """

    def __init__(self) -> None:
        self._job = ""
        self._open: tuple[PhotoSource, KnownPhotos] | None = None

    @contextmanager
    def of(self, job: Job) -> Iterator[tuple[PhotoSource, KnownPhotos]]:
        """A job's, for as long as the block runs; another job's are closed."""
        if self._open is None or job.spec.id != self._job:
            self.close()
            self._job, self._open = job.spec.id, (open_photos(job), open_known(job))
        try:
            yield self._open
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of all of it."""
        tools, self._open = self._open or (), None
        for tool in tools:
            tool.close()
