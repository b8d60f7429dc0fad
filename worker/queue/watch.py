"""Follow a job until it ends, and keep its queue supplied meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from kombu.exceptions import OperationalError

from worker.finish import finish_job
from worker.job import Job
from worker.progress import JobProgress, JobState, ProgressReader
from worker.queue.control import Control
from worker.queue.lease import held_lease
from worker.queue.ledger import Ledger, Presence, RedisError
from worker.queue.runner import FINISH

__all__ = ["Situation", "WatchView", "watch"]

PERIOD_S: Final = 1.0


@dataclass(frozen=True)
class Situation:
    """What is there beside the job's folder.

    Attributes:
        redis_error: why Redis cannot be reached; none when it can.
        workers: those that announce themselves.
        trouble: host → what keeps it from doing chunks of the job.
    """

    redis_error: str | None
    workers: tuple[Presence, ...]
    trouble: dict[str, str]


class WatchView(Protocol):
    """Shows a job to a person."""

    def show(self, progress: JobProgress, situation: Situation) -> None:
        """Called about once a second."""


def watch(name: str, job: Job, control: Control, view: WatchView) -> JobProgress:
    """Follow a job until it is finished or cancelled.

    Where no worker is there to merge it, it is merged here.
    """
    reader, jobs_id = ProgressReader(job), control.jobs.identity()
    while True:
        situation = look_around(name, control.ledger, control.reconciler.tick)
        progress = reader.read()
        view.show(progress, situation)
        if progress.state in {JobState.FINISHED, JobState.CANCELLED}:
            return progress
        if progress.state is JobState.MERGING and all(worker.jobs_id != jobs_id for worker in situation.workers):
            with held_lease(control.ledger, name, FINISH) as held:
                if held:
                    finish_job(job)
                    continue
        time.sleep(PERIOD_S)


def look_around(name: str, ledger: Ledger, first: Callable[[], object] = lambda: None) -> Situation:
    """See who is there, once something else has been done that Redis may refuse."""
    try:
        first()
        return Situation(None, tuple(ledger.workers()), ledger.trouble(name))
    except (RedisError, OperationalError) as error:
        return Situation(str(error), (), {})
