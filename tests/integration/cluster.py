"""A folder of jobs, a Redis, and the workers between them."""

import sys
from collections.abc import Mapping
from pathlib import Path

import redis

from models.storage.storage import FolderStorage
from tests.command import HANGTAG
from worker.job.job import open_job
from worker.queue.control import open_control
from worker.queue.private_redis import PrivateRedis
from worker.queue.redis_state import QUEUES
from worker.queue.settings import QueueSettings
from worker.queue.submit import submit
from worker.request import JobOptions, Priority, SubmitRequest

from .jobs import QueuedJob, write_list
from .processes import Processes, WorkerProcess


class Cluster(Processes):
    def __init__(self, folder: Path, server: PrivateRedis, url: str | None = None, **environment: str) -> None:
        self.server = server
        self.jobs = folder / "jobs"
        self.client = redis.Redis.from_url(url or server.url, decode_responses=True)
        self.settings = QueueSettings(redis_url=url or server.url, jobs=str(self.jobs))
        lead = {"HANGTAG_REDIS_URL": url or server.url, "HANGTAG_JOBS": str(self.jobs)}
        super().__init__(folder, lead | environment)

    @property
    def workers(self) -> list[WorkerProcess]:
        return self.processes

    def submit(
        self,
        names: list[str] | Path,
        model: Path | Mapping[str, Path],
        name: str = "job",
        *,
        root: Path | None = None,
        timeout_s: float = 10.0,
        priority: Priority = Priority.NORMAL,
    ) -> QueuedJob:
        """Write a job of some photos or of a catalogue, and queue its first chunks, like ``hangtag submit``."""
        source = names if isinstance(names, Path) else write_list(self.folder / f"{name}.txt", names)
        options = JobOptions(timeout_s=timeout_s, image_root=root and str(root))
        request = SubmitRequest(source, model, options, name=name, priority=priority)
        with open_control(self.settings) as control:
            submit(request, control.jobs)
            control.reconciler.supply(name)
        return self.job(name)

    def job(self, name: str) -> QueuedJob:
        found = open_job(FolderStorage(self.jobs / name))
        assert found
        return QueuedJob(name, found, self.jobs / name, self.client)

    def worker(
        self,
        slots: int = 2,
        *,
        url: str | None = None,
        jobs: Path | str | None = None,
        env: dict[str, str] | None = None,
    ) -> WorkerProcess:
        worker = self.early_worker(url, "--workers", str(slots), "--jobs", str(jobs or self.jobs), env=env)
        worker.wait_until_ready()
        return worker

    def early_worker(self, url: str | None = None, *options: str, env: dict[str, str] | None = None) -> WorkerProcess:
        """Start ``hangtag worker`` without waiting: Redis may be away."""
        return self.start((*HANGTAG, "worker", *(("--redis", url) if url else ()), *options), env)

    def celery_worker(self) -> WorkerProcess:
        """Start a worker with Celery's own command."""
        return self.start((sys.executable, "-m", "celery", "-A", "worker", "worker", "--concurrency", "2"))

    def waiting(self) -> list[str]:
        return [text for queue in QUEUES.values() for text in self.client.lrange(queue, 0, -1)]

    def lose_waiting(self) -> int:
        """Take the messages out of the queues and drop them, like a worker killed after ``BRPOP``."""
        return sum(len(self.client.rpop(queue, 10_000) or []) for queue in QUEUES.values())

    def is_idle(self) -> bool:
        return not self.waiting() and not self.client.exists("unacked")

    def close(self) -> None:
        super().close()
        self.client.close()
