"""What there is beside a worker: Redis, what waits in it, and how far the running jobs are."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import HangtagError
from worker.finish import finished_receipt
from worker.job import Job, ModelPin
from worker.jobs import Jobs
from worker.parts import latest_parts, part_key, part_work
from worker.queue.ledger import Ledger, RedisError
from worker.queue.messages import QUEUES

__all__ = ["JobFigures", "Overview", "OverviewReader"]

_TURN_S: Final = 1.0
"""How long one reading may look at jobs; it goes on where it stopped in the next."""

_EFFORT: Final = 0.05
"""The share of its time that looking at jobs may take: the slower their folder, the rarer."""

_REST_S: Final = 30.0
"""How long a job that does not run is left alone."""


@dataclass(frozen=True)
class JobFigures:
    """How far a running job is.

    Attributes:
        name: of the job.
        model: that it is pinned to.
        rows: in the catalogue.
        done: rows in chunks that are done.
        failed: failed rows among them, in as many parts as could be looked at so far.
    """

    name: str
    model: ModelPin
    rows: int
    done: int
    failed: int


@dataclass(frozen=True)
class Overview:
    """What was found.

    Attributes:
        redis_up: whether Redis answered.
        waiting: queue → messages in it; empty where Redis did not answer.
        jobs: those that run, by name.
    """

    redis_up: bool
    waiting: dict[str, int]
    jobs: tuple[JobFigures, ...]


@dataclass
class _Look:
    """The last look at a job; ``failed`` is the failed rows of each of its parts that was opened."""

    figures: JobFigures | None = None
    id: str = ""
    failed: dict[str, int] = field(default_factory=dict)
    looked_at: float = 0.0
    again_at: float = 0.0


class OverviewReader:
    """Reads an overview again and again, with a limit on the work of each reading; each part is opened once.

    Args:
        jobs: the folder of jobs.
        ledger: where messages wait.
        opening: held while a part is open; no process may be forked then, for Arrow's locks would stay locked in it.
        effort: the share of the time that looking at jobs may take.
    """

    def __init__(self, jobs: Jobs, ledger: Ledger, opening: Lock, effort: float = _EFFORT) -> None:
        self._jobs = jobs
        self._ledger = ledger
        self._opening = opening
        self._effort = effort
        self._rest_until = 0.0
        self._looks: dict[str, _Look] = {}

    def read(self) -> Overview:
        """See what there is; a folder of jobs that cannot be read raises ``OSError``."""
        waiting: dict[str, int] = {}
        with suppress(RedisError):
            waiting = {queue: self._ledger.waiting(queue) for queue in QUEUES.values()}
        start = time.monotonic()
        if start >= self._rest_until:
            self._look_at_jobs(start + _TURN_S)
            self._rest_until = start + (time.monotonic() - start) / self._effort
        running = (look.figures for _, look in sorted(self._looks.items()))
        return Overview(bool(waiting), waiting, tuple(figures for figures in running if figures))

    def _look_at_jobs(self, until: float) -> None:
        self._looks = {name: self._looks.get(name) or _Look() for name in self._jobs.names()}
        for name, look in sorted(self._looks.items(), key=lambda item: item[1].looked_at):
            now = time.monotonic()
            if now > until:
                return
            if now < look.again_at:
                continue
            look.looked_at = now
            look.figures = self._figures(name, look, until)
            look.again_at = 0.0 if look.figures else now + _REST_S

    def _figures(self, name: str, look: _Look, until: float) -> JobFigures | None:
        try:
            job = self._jobs.get(name)
            if job is None or job.cancelled or finished_receipt(job):
                return None
            if look.id != job.spec.id:
                look.id, look.failed = job.spec.id, {}
            parts = latest_parts(job.storage.names("parts"))
            keys = [part_key(chunk, retry) for chunk, retry in parts.items()]
            self._open(job, (key for key in keys if key not in look.failed), look.failed, until)
            missing = job.missing_from(parts, job.retry())
        except (HangtagError, OSError, ValueError):  # the reconciler says so
            return None
        done = job.spec.rows - sum(map(job.rows_in_chunk, missing))
        failed = sum(look.failed.get(key, 0) for key in keys)
        return JobFigures(name, job.spec.model, job.spec.rows, done, failed)

    def _open(self, job: Job, keys: Iterable[str], failed: dict[str, int], until: float) -> None:
        for key in keys:
            if time.monotonic() > until:
                return
            with self._opening, suppress(pa.ArrowException):  # damaged: merging says so
                failed[key] = part_work(pq.read_schema(job.storage.source(key))).failed
