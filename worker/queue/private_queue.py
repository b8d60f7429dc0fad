"""A queue of our own for a while: a private Redis, and workers on this machine."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from models.errors import JobError
from worker.python_process import python_environment
from worker.queue.ledger import Ledger, connect
from worker.queue.private_redis import PrivateRedis
from worker.queue.settings import QueueSettings, read_settings

__all__ = ["private_queue"]

_START_S: Final = 60.0


@contextmanager
def private_queue(folder: Path, jobs: Path, workers: int) -> Iterator[QueueSettings]:
    """Run a Redis and some workers, of one process each, as long as the block runs.

    Args:
        folder: for Redis's files and the workers' logs.
        jobs: the folder of jobs.
        workers: how many.

    Yields:
        The settings that lead to them.

    Raises:
        JobError: Redis cannot be started.
    """
    with ExitStack() as stack:
        server = stack.enter_context(PrivateRedis(folder / "redis"))
        settings = read_settings(server.url, str(jobs))
        for number in range(workers):
            stack.enter_context(_worker(settings, folder / f"worker-{number}.log"))
        _await_workers(settings, workers, folder)
        yield settings


def _await_workers(settings: QueueSettings, count: int, folder: Path) -> None:
    ledger = Ledger(connect(settings))
    deadline = time.monotonic() + _START_S
    while len(ledger.workers()) < count:
        if time.monotonic() > deadline:
            msg = f"Expected {count} workers to start within {_START_S:g} s, they did not; see the logs in {folder}."
            raise JobError(msg)
        time.sleep(0.1)
    ledger.close()


@contextmanager
def _worker(settings: QueueSettings, log: Path) -> Iterator[None]:
    command = [sys.executable, "-P", "-m", "hangtag", "worker", "--concurrency", "1"]
    options = ["--redis", settings.redis_url, "--jobs", settings.jobs]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *options], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=python_environment()
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
