"""A job's progress, read from its folder."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import pyarrow as pa

from models.errors import JobError
from worker.job.job import Job
from worker.job.parts import Status, latest_parts, part_key, read_work
from worker.job.receipt import job_receipt, started_at

_RECENT_S: Final = 60.0
_AT_ONCE: Final = 16


class JobState(StrEnum):
    """The state of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    MERGING = "merging"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class JobProgress:
    """A job's progress. ``done``: finished rows, including failed rows.

    ``rate``: rows per second in the last minute. ``reason``: why the results of a failed job cannot be merged.
    """

    state: JobState
    rows: int
    done: int
    failed: int
    deaths: int
    rate: float
    reason: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Remaining seconds at the present rate; None if the rate is 0 or all rows are done."""
        return (self.rows - self.done) / self.rate if self.rate and self.done < self.rows else None

    @property
    def is_over(self) -> bool:
        """Whether the job is finished, cancelled or failed."""
        return self.state in {JobState.FINISHED, JobState.CANCELLED, JobState.FAILED}

    @property
    def all_failed(self) -> bool:
        """Whether the job is finished and every row failed."""
        return self.state is JobState.FINISHED and self.failed == self.rows


class _Part(NamedTuple):
    failed: int
    deaths: int
    seconds: float


class ProgressReader:
    """Reads a job's progress. Later calls open only new part files."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._parts: dict[str, _Part] = {}

    def read(self) -> JobProgress:
        """Read the job's present progress."""
        job = self._job
        receipt = job_receipt(job)
        if receipt:
            failed = receipt.by_status[Status.FAILED]
            return JobProgress(JobState.FINISHED, receipt.rows, receipt.rows, failed, receipt.work.deaths, 0.0)
        written = {entry.name: entry.modified for entry in job.home.entries("parts")}
        latest = latest_parts(written)
        keys = {chunk: part_key(chunk, retry) for chunk, retry in latest.items()}
        new = [key for key in keys.values() if key not in self._parts]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            self._parts |= zip(new, threads.map(self._part, new), strict=True)
        retry = job.retry()
        missing = job.missing_from(latest, retry)
        done = keys.keys() - missing
        parts = [self._parts[keys[chunk]] for chunk in done]
        moments = {chunk: written[keys[chunk].removeprefix("parts/")] for chunk in done}
        first = min((chunk for chunk in done if latest[chunk] == retry.number), key=moments.__getitem__, default=None)
        begun = None if first is None else started_at(job, retry, moments[first], self._parts[keys[first]].seconds)
        rate = self._rate(moments, begun)
        state, reason = JobState.RUNNING if rate else JobState.WAITING, ""
        if job.cancelled:
            reason, rate = job.failure, 0.0
            state = JobState.FAILED if reason else JobState.CANCELLED
        elif not missing:
            state = JobState.MERGING
        rows = sum(map(job.rows_in_chunk, done))
        failed, deaths = sum(part.failed for part in parts), sum(part.deaths for part in parts)
        return JobProgress(state, job.spec.rows, rows, failed, deaths, rate, reason)

    def _part(self, key: str) -> _Part:
        try:
            work = read_work(self._job.home, key)
        except (JobError, OSError, pa.ArrowException):
            if not self._job.failure:  # the job's failure already names the damaged part file
                raise
            return _Part(0, 0, 0.0)
        return _Part(work.failed, work.deaths, work.seconds)

    def _rate(self, written: dict[int, float], begun: float | None) -> float:
        now = time.time()
        recent = [chunk for chunk, modified in written.items() if modified > now - _RECENT_S]
        since = max(now - _RECENT_S, begun or 0.0)  # max(): the machines' clocks may differ
        return sum(map(self._job.rows_in_chunk, recent)) / max(1.0, now - since)
