"""Queues each chunk without a part file in its job's folder, unless a worker labels it.

Any number of reconcilers may run. Only the folder of jobs is reliable: Redis may lose its data, and messages may be
lost or arrive twice.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from models.events import log_event
from worker.job.job import Job
from worker.job.jobs import Jobs
from worker.job.parts import part_key
from worker.queue.redis_state import FINISH, RedisError, RedisState
from worker.request import Priority

MIN_WINDOW: Final = 4
WINDOW_PER_SLOT: Final = 2
"""Number of queued messages for each labelling process. One message starts a task of several chunks."""

BLOCK: Final = 64
AT_ONCE: Final = 16
"""Number of parallel requests to the storage, since a request takes 15 ms."""

TICK_S: Final = 2.0
"""Maximum seconds in each tick for reading jobs, and for queueing chunks. The next tick continues."""

REST_S: Final = 5.0
EFFORT: Final = 0.05

Send = Callable[[str, int, Priority], None]
"""Like :meth:`worker.queue.app.HangtagCelery.send`."""

T = TypeVar("T")


class JobPoller(Generic[T]):
    """Reads jobs repeatedly, and caches their state. Idle jobs are read every ``rest_s`` seconds."""

    def __init__(self, look: Callable[[str], T | None], rest_s: float) -> None:
        self._look = look
        self._rest_s = rest_s
        self._seen: dict[str, tuple[T | None, float]] = {}

    def forget(self, name: str) -> None:
        """Remove a job's state from the cache."""
        self._seen.pop(name, None)

    def rest(self, name: str) -> None:
        """Skip a job for ``rest_s`` seconds."""
        self._seen[name] = (None, time.monotonic() + self._rest_s)

    def poll(self, names: Sequence[str], within_s: float) -> dict[str, T]:
        """Read due jobs for ``within_s`` seconds, the most overdue first; returns name → state of active jobs."""
        self._seen = {name: self._seen[name] for name in names if name in self._seen}
        due = {name: self._seen[name][1] if name in self._seen else 0.0 for name in names}
        until = time.monotonic() + within_s
        for name in sorted(names, key=due.__getitem__):
            start = time.monotonic()
            if due[name] <= start <= until:
                seen = self._look(name)
                pause = (time.monotonic() - start) / EFFORT
                self._seen[name] = (seen, start + (pause if seen is not None else max(pause, self._rest_s)))
        return {name: seen for name, (seen, _) in self._seen.items() if seen is not None}


class Reconciler:
    """Queues chunks without a part file, lease or waiting message."""

    def __init__(self, jobs: Jobs, state: RedisState, send: Send) -> None:
        self._jobs = jobs
        self._redis = state
        self._send = send
        self._poller = JobPoller(self._look, REST_S)
        self._last = ""
        """Name of the last job that was checked; the next tick begins with the next job."""

    def tick(self) -> int:
        """Queue unfinished chunks of all jobs, unless another reconciler has just done so; returns their number."""
        return self._supply(self._jobs.names()) if self._redis.win_tick() else 0

    def supply(self, name: str) -> int:
        """Queue unfinished chunks of one job immediately; returns their number."""
        self._poller.forget(name)
        self._redis.reset_backoff(name)
        return self._supply([name])

    def _supply(self, names: list[str]) -> int:
        waiting = self._redis.waiting()
        window = max(MIN_WINDOW, WINDOW_PER_SLOT * sum(worker.slots for worker in self._redis.workers()))
        unfinished = self._poller.poll(names, TICK_S)
        sent, until = 0, time.monotonic() + TICK_S
        for name in sorted(unfinished, key=lambda name: (name <= self._last, name)):
            if time.monotonic() > until:
                break
            self._last = name
            try:
                sent += self._top_up(name, *unfinished[name], window, waiting.get(name, set()), until)
            except RedisError:
                raise
            except Exception as error:  # noqa: BLE001 - an error with one job must not stop the others
                _log_unusable(name, error)
                self._poller.rest(name)
        return sent

    def _look(self, name: str) -> tuple[Job, list[int]] | None:
        try:
            job = self._jobs.unfinished(name)
            return (job, job.missing_chunks()) if job else None
        except Exception as error:  # noqa: BLE001 - an error with one job must not stop the others
            _log_unusable(name, error)
            return None

    def _top_up(self, name: str, job: Job, missing: list[int], window: int, waiting: set[int], until: float) -> int:
        failures = self._redis.failures(name)
        if failures and (waiting or not self._redis.may_retry(name, failures)):
            return 0  # let other jobs use the workers
        if not missing:
            return 0 if FINISH in waiting else send_finish(self._redis, self._send, name, job)
        most = (
            1 if failures else window - len(waiting.intersection(missing))
        )  # waiting messages of finished chunks do not count
        sent = 0
        for chunk in self._candidates(name, job, missing, waiting, most, until):
            sent += _send_once(self._redis, self._send, name, chunk, job)
            if sent >= most:
                break
        return sent

    def _candidates(
        self, name: str, job: Job, missing: list[int], waiting: set[int], most: int, until: float
    ) -> Iterator[int]:
        """Yield chunks that have no part file, lease or waiting message. Stops at time ``until``."""
        if most < 1 or job.cancelled:
            return
        retry = job.retry()
        missing = [chunk for chunk in missing if chunk not in waiting]
        start, size = 0, min(BLOCK, most)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            while start < len(missing):
                block = missing[start : start + size]
                start, size = start + size, min(BLOCK, 2 * size)
                leased = self._redis.leased(name, block)
                free = [chunk for chunk in block if chunk not in leased]
                done = threads.map(job.storage.exists, [part_key(chunk, retry.lowest_retry(chunk)) for chunk in free])
                yield from (chunk for chunk, is_done in zip(free, done, strict=True) if not is_done)
                if time.monotonic() > until:
                    return


def send_finish(state: RedisState, send: Send, name: str, job: Job) -> int:
    """Queue a job's merge if all chunks are finished; returns the number of queued messages, 0 or 1."""
    if job.cancelled or job.missing_chunks() or state.leased(name, [FINISH]):
        return 0
    return _send_once(state, send, name, FINISH, job)


def _send_once(state: RedisState, send: Send, name: str, chunk: int, job: Job) -> int:
    if not state.mark_sent(name, chunk):
        return 0
    send(name, chunk, job.spec.priority)
    return 1


def _log_unusable(name: str, error: Exception) -> None:
    log_event("job_unusable", job=name, error=f"{type(error).__name__}: {error}")
