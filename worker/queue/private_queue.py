"""A queue of our own for a while: a private Redis, and workers on this machine."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from models.errors import JobError
from models.python_process import python_environment
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
        logs = [folder / f"worker-{number}.log" for number in range(workers)]
        processes = [stack.enter_context(_worker(settings, log)) for log in logs]
        _await_workers(settings, processes, folder)
        yield settings


def _await_workers(settings: QueueSettings, processes: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    with closing(Ledger(connect(settings))) as ledger:
        while len(ledger.workers()) < len(processes):
            if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
                msg = f"Expected {len(processes)} workers to start, they did not; see the logs in {folder}."
                raise JobError(msg)
            time.sleep(0.1)


@contextmanager
def _worker(settings: QueueSettings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "hangtag", "worker", "--concurrency", "1"]
    options = ["--redis", settings.redis_url, "--jobs", settings.jobs]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *options], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=python_environment()
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
