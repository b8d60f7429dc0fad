"""Where a person sits who uses the queue: a Redis, one ``hangtag worker``, and a folder of jobs."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pyarrow.parquet as pq

from tests.command import clean_environment, run_hangtag
from tests.integration.jobs import Row
from tests.integration.processes import WorkerProcess
from worker.queue.private_redis import PrivateRedis

__all__ = ["SPRING_ROWS", "Place", "environment", "one_line"]

SPRING_ROWS = 600


@dataclass
class Place:
    """Commands about the jobs of one folder.

    Attributes:
        folder: holds the folder of jobs, and what a test likes.
        server: the Redis.
        worker: the worker; all of its processes are one process group.
    """

    folder: Path
    server: PrivateRedis
    worker: WorkerProcess

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.server.url, self.jobs)

    def run(self, *arguments: object, **changes: str) -> "CompletedProcess[str]":
        """A command to its end; nobody may see a traceback."""
        return run_hangtag(*map(str, arguments), env=self.environment | changes)

    def must(self, *arguments: object) -> str:
        """What a command that succeeds prints, on one line."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return one_line(done.stdout)

    def rows(self, job: str) -> list[Row]:
        rows: list[Row] = pq.read_table(self.jobs / job / "labels.parquet").to_pylist()
        return rows

    @contextmanager
    def stopped_worker(self) -> Iterator[None]:
        """As long as the block runs the worker does nothing."""
        self.worker.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.worker.signal_all(signal.SIGCONT)


def environment(url: str, jobs: Path) -> dict[str, str]:
    """A terminal wide enough for tables, and settings of ours."""
    return clean_environment(HANGTAG_REDIS_URL=url, HANGTAG_JOBS=str(jobs), COLUMNS="200")


def one_line(text: str) -> str:
    return " ".join(text.split())
