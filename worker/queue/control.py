"""The queue as submitting and watching see it: opens it, looks for workers, and follows a job."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from models.errors import JobError
from worker.job.job import Job
from worker.job.jobs import Jobs, open_jobs
from worker.queue.leases import HeldLeases
from worker.queue.messages import FINISH
from worker.queue.reconciler import Reconciler
from worker.queue.redis_state import Presence, RedisError, RedisState, connect, redis_expected
from worker.queue.settings import QueueSettings
from worker.results.finish import finish_job
from worker.results.progress import JobProgress, JobState, ProgressReader

PERIOD_S: Final = 1.0


@dataclass(frozen=True)
class Control:
    """What the commands about jobs need, opened once."""

    settings: QueueSettings
    jobs: Jobs
    state: RedisState
    reconciler: Reconciler

    def check_redis(self) -> None:
        """Raise a :class:`JobError` that says what to do when Redis cannot be reached."""
        try:
            self.state.ping()
        except RedisError as error:
            raise JobError(redis_expected(self.settings.redis_name, error)) from error


@contextmanager
def open_control(settings: QueueSettings) -> Iterator[Control]:
    """Open the queue; Redis is not asked for anything yet.

    Raises:
        InputError: there is no place for the folder of jobs.
    """
    jobs, state = open_jobs(settings.jobs), RedisState(connect(settings))
    try:
        yield Control(settings, jobs, state, Reconciler(jobs, state))
    finally:
        state.close()


@dataclass(frozen=True)
class QueueStatus:
    """The running workers, or why Redis cannot be reached; and host → what keeps its workers from doing chunks."""

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
    """Follow a job until it is finished or cancelled, keep its queue supplied, and show it about once a second.

    Where no worker is there to merge it, it is merged here.
    """
    reader, jobs_id = ProgressReader(job), control.jobs.identity()
    while True:
        status = look_around(name, control.state, control.reconciler.tick)
        progress = reader.read()
        show(progress, status)
        if progress.is_over:
            return progress
        if progress.state is JobState.MERGING and all(worker.jobs_id != jobs_id for worker in status.workers):
            with HeldLeases(control.state, name) as leases:
                if leases.take(FINISH):
                    finish_job(job)
                    continue
        time.sleep(PERIOD_S)
