"""What the commands and the page do with queued jobs: find workers, follow, cancel, resume and retry a job."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from models.errors import JobError
from worker.job.job import CANCELLED, Job, begin_retry
from worker.job.jobs import Jobs, open_jobs
from worker.job.receipt import job_receipt
from worker.queue.reconciler import Reconciler
from worker.queue.redis_state import Presence, RedisError, RedisState, connect, redis_expected
from worker.queue.settings import QueueSettings
from worker.results.progress import JobProgress, ProgressReader

if TYPE_CHECKING:
    from worker.queue.app import HangtagCelery

PERIOD_S: Final = 1.0


@dataclass(frozen=True)
class Control:
    """What the commands about jobs need, opened once."""

    settings: QueueSettings
    jobs: Jobs
    state: RedisState
    reconciler: Reconciler

    def check_redis(self) -> None:
        """Raise a :class:`JobError` that says what to do if Redis cannot be reached."""
        try:
            self.state.ping()
        except RedisError as error:
            raise JobError(redis_expected(self.settings.redis_name, error)) from error


@contextmanager
def open_control(settings: QueueSettings) -> Iterator[Control]:
    """Open the queue, without a request to Redis yet."""
    with ExitStack() as stack:

        @cache
        def app() -> "HangtagCelery":
            from worker.queue.app import HangtagCelery  # 0.1 s, and most commands send nothing

            opened: HangtagCelery = stack.enter_context(HangtagCelery(settings))
            return opened

        jobs = open_jobs(settings.jobs)
        state = stack.enter_context(closing(RedisState(connect(settings))))
        yield Control(settings, jobs, state, Reconciler(jobs, state, lambda *message: app().send(*message)))


@dataclass(frozen=True)
class QueueStatus:
    """The running workers, or why Redis cannot be reached; and host → why chunks fail there."""

    redis_error: str | None
    workers: tuple[Presence, ...]
    trouble: dict[str, str]


def look_around(name: str, state: RedisState, first: Callable[[], object] = lambda: None) -> QueueStatus:
    """Find the running workers, after calling a function that Redis may refuse."""
    try:
        first()
        return QueueStatus(None, tuple(state.workers()), state.trouble(name))
    except RedisError as error:
        return QueueStatus(str(error), (), {})


def watch(name: str, job: Job, control: Control, show: Callable[[JobProgress, QueueStatus], None]) -> JobProgress:
    """Follow a job until it is finished or cancelled, keep its queue supplied, and show it about once a second."""
    reader = ProgressReader(job)
    while True:
        status = look_around(name, control.state, control.reconciler.tick)
        progress = reader.read()
        show(progress, status)
        if progress.is_over:
            return progress
        time.sleep(PERIOD_S)


def cancel(name: str, job: Job) -> None:
    """Mark a job as cancelled; workers look for the mark."""
    if job_receipt(job):
        msg = f"{name} is finished, there is nothing to cancel."
        raise JobError(msg)
    job.storage.commit(CANCELLED, b"")
    if job_receipt(job):  # it was being merged at that moment
        job.storage.delete(CANCELLED)


def resume(job: Job) -> int:
    """Take a cancellation back; returns how many rows are left to do."""
    job.storage.delete(CANCELLED)
    return sum(map(job.rows_in_chunk, job.missing_chunks()))


def retry(job: Job) -> Counter[str]:
    """Begin a retry of a finished job's failed rows that may succeed another time; returns fault → rows."""
    receipt = job_receipt(job)
    if receipt is None:
        msg = "Expected a finished job, but this one is not; wait for it, or continue it with hangtag jobs resume."
        raise JobError(msg)
    return begin_retry(job, receipt.retry + 1)
