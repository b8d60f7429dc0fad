"""A folder of jobs, a Redis, and the workers between them."""

import sys
from pathlib import Path
from subprocess import CompletedProcess

import redis

from worker.job import JobOptions
from worker.priority import Priority
from worker.queue.control import open_control
from worker.queue.messages import QUEUES
from worker.queue.private_redis import PrivateRedis
from worker.queue.settings import QueueSettings
from worker.queue.submit import SubmitRequest, submit

from .jobs import QueuedJob
from .processes import HANGTAG, WorkerProcess, clean_environment, run_hangtag

__all__ = ["Farm"]


class Farm:
    """Submits jobs, starts workers, and ends those that are left at the end of a test.

    Args:
        folder: an empty one, for the folder of jobs and the workers' logs.
        server: the Redis.
    """

    def __init__(self, folder: Path, server: PrivateRedis) -> None:
        self.folder = folder
        self.server = server
        self.jobs = folder / "jobs"
        self.client = redis.Redis.from_url(server.url, decode_responses=True)
        self.workers: list[WorkerProcess] = []

    @property
    def settings(self) -> QueueSettings:
        """What workers and submitters agree on."""
        return QueueSettings(redis_url=self.server.url, jobs=str(self.jobs))

    def submit(
        self,
        source: Path,
        model: Path,
        name: str = "job",
        *,
        root: Path | None = None,
        timeout_s: float = 10.0,
        priority: Priority = Priority.NORMAL,
    ) -> QueuedJob:
        """Write a job and queue its first chunks, as ``hangtag submit`` does."""
        options = JobOptions(timeout_s=timeout_s)
        request = SubmitRequest(source, model, options, name=name, image_root=root, priority=priority)
        with open_control(self.settings) as control:
            job = submit(request, control.jobs, lambda _: None).job
            control.reconciler.supply(name)
        return QueuedJob(name, job, self.jobs / name, self.client)

    def worker(
        self,
        slots: int = 2,
        *,
        url: str | None = None,
        jobs: Path | str | None = None,
        env: dict[str, str] | None = None,
    ) -> WorkerProcess:
        """Start ``hangtag worker``, and wait until it takes tasks."""
        options = ("--concurrency", str(slots), "--redis", url or self.server.url, "--jobs", str(jobs or self.jobs))
        worker = self.start((*HANGTAG, "worker", *options), env)
        worker.wait_until_ready()
        return worker

    def early_worker(self, url: str | None = None) -> WorkerProcess:
        """Start ``hangtag worker``, and wait for nothing: Redis may be away."""
        return self.start((*HANGTAG, "worker", "--redis", url or self.server.url, "--jobs", str(self.jobs)))

    def celery_worker(self) -> WorkerProcess:
        """Start a worker the way Celery's own documentation does."""
        command = (sys.executable, "-m", "celery", "-A", "worker", "worker", "--concurrency", "2")
        return self.start(command, {"HANGTAG_REDIS_URL": self.server.url, "HANGTAG_JOBS": str(self.jobs)})

    def start(self, command: tuple[str, ...], env: dict[str, str] | None = None) -> WorkerProcess:
        """Start a worker."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        worker = WorkerProcess.start(command, log, clean_environment(**(env or {})), elsewhere)
        self.workers.append(worker)
        return worker

    def hangtag(self, *arguments: str) -> "CompletedProcess[str]":
        """Run a command about the farm's jobs."""
        environment = clean_environment(HANGTAG_REDIS_URL=self.server.url, HANGTAG_JOBS=str(self.jobs))
        return run_hangtag(*arguments, env=environment)

    def waiting(self) -> list[str]:
        """The messages in the queues."""
        return [text for queue in QUEUES.values() for text in self.client.lrange(queue, 0, -1)]

    def lose_waiting(self) -> int:
        """Take the messages out of the queues and drop them, as a worker does that is killed after ``BRPOP``."""
        return sum(len(self.client.rpop(queue, 10_000) or []) for queue in QUEUES.values())

    def is_idle(self) -> bool:
        """Whether no message waits, and none is in hand."""
        return not self.waiting() and not self.client.exists("unacked")

    def close(self) -> None:
        """Kill the workers, and show what they logged, for the report of a test that failed."""
        for worker in self.workers:
            worker.kill_all()
            print(f"--- {worker.log.name}, exit status {worker.process.returncode}\n{worker.log.read_text()}")
        self.client.close()
