"""Actions on queued jobs: follow, cancel, resume and retry a job, and find workers."""

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
    """Controls queued jobs through Redis and the folder of jobs."""

    settings: QueueSettings
    jobs: Jobs
    state: RedisState
    reconciler: Reconciler

    def check_redis(self) -> None:
        """Raise :class:`JobError` if Redis cannot be reached."""
        try:
            self.state.ping()
        except RedisError as error:
            raise JobError(redis_expected(self.settings.redis_name, error)) from error


@contextmanager
def open_control(settings: QueueSettings) -> Iterator[Control]:
    """Open a :class:`Control`. Connects to Redis at first use."""
    with ExitStack() as stack:

        @cache
        def app() -> "HangtagCelery":
            from worker.queue.app import HangtagCelery  # takes 0.1 s; most commands do not need Celery

            opened: HangtagCelery = stack.enter_context(HangtagCelery(settings))
            return opened

        jobs = open_jobs(settings.jobs)
        state = stack.enter_context(closing(RedisState(connect(settings))))
        yield Control(settings, jobs, state, Reconciler(jobs, state, lambda *message: app().send(*message)))


@dataclass(frozen=True)
class QueueStatus:
    """The running workers, or an error from Redis. ``trouble``: host → why chunks fail on this host."""

    redis_error: str | None
    workers: tuple[Presence, ...]
    trouble: dict[str, str]


def look_around(name: str, state: RedisState, first: Callable[[], object] = lambda: None) -> QueueStatus:
    """Call ``first``, then find the running workers. Returns errors from Redis."""
    try:
        first()
        return QueueStatus(None, tuple(state.workers()), state.trouble(name))
    except RedisError as error:
        return QueueStatus(str(error), (), {})


def watch(name: str, job: Job, control: Control, show: Callable[[JobProgress, QueueStatus], None]) -> JobProgress:
    """Follow a job to its end: about once a second, queue unfinished chunks and call ``show``."""
    reader = ProgressReader(job)
    while True:
        status = look_around(name, control.state, control.reconciler.tick)
        progress = reader.read()
        show(progress, status)
        if progress.is_over:
            return progress
        time.sleep(PERIOD_S)


def cancel(name: str, job: Job) -> None:
    """Cancel a job. Raises JobError if it is finished."""
    if job_receipt(job):
        msg = f"{name} is finished; there is nothing to cancel."
        raise JobError(msg)
    job.storage.commit(CANCELLED, b"")
    if job_receipt(job):  # the job has just been finished
        job.storage.delete(CANCELLED)


def resume(job: Job) -> int:
    """Undo a cancellation; returns the number of remaining rows."""
    job.storage.delete(CANCELLED)
    return sum(map(job.rows_in_chunk, job.missing_chunks()))


def retry(job: Job) -> Counter[str]:
    """Retry a finished job's failed rows that may succeed now; returns error → number of rows. Raises JobError."""
    receipt = job_receipt(job)
    if receipt is None:
        msg = "Expected a finished job; wait for its end, or continue it with hangtag jobs resume."
        raise JobError(msg)
    return begin_retry(job, receipt.retry + 1)
