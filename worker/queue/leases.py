"""The leases of the chunks that a task works on, and the extra chunks that it takes while downloads leave it idle."""

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread
from typing import Final, Self

from models.process import Owner
from worker.job.job import Job
from worker.labelling.chunk import earlier_attempts, is_done
from worker.queue.app import BusyProcesses
from worker.queue.redis_state import RedisError, RedisState

RENEW_S: Final = 3.0

MOST: Final = 64
"""Extra chunks that one task takes; the results of their rows are in memory."""

BEGIN_S: Final = 20.0
"""Seconds in which a task takes extra chunks; then it ends, so that more urgent jobs have their turn."""

_BLOCK: Final = 16


class HeldLeases:
    """The leases of chunks of a job that this process holds, renewed as long as a ``with`` block lasts.

    The work goes on while Redis is away: the first commit of a part wins.
    """

    def __init__(self, state: RedisState, job: str) -> None:
        self._redis = state
        self._job = job
        self._owner = Owner.this()
        self._held: dict[int, None] = {}
        self._ended = Event()
        self._renewal = Thread(target=self._renew, name="leases", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        if self._renewal.is_alive():
            self._renewal.join()
        held, self._held = list(self._held), {}
        with suppress(RedisError):  # around all: a silent Redis is waited for once, not for each chunk
            for chunk in held:
                self._redis.end_lease(self._job, chunk, self._owner)

    def take(self, chunk: int) -> bool:
        """Take the lease of a chunk; ``False`` if another process, not known to be dead, holds it."""
        try:
            taken = self._redis.take_lease(self._job, chunk, self._owner)
        except RedisError:
            taken = True
        if taken:
            self._held[chunk] = None
            if not self._renewal.is_alive():
                self._renewal.start()
        return taken

    def end(self, chunk: int) -> None:
        """Give back a lease that is held."""
        del self._held[chunk]
        with suppress(RedisError):
            self._redis.end_lease(self._job, chunk, self._owner)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            chunks = list(self._held)
            with suppress(RedisError):
                self._redis.renew_leases(self._job, chunks, self._owner)
                for chunk in chunks:
                    if chunk not in self._held:  # it was given back at this moment
                        self._redis.end_lease(self._job, chunk, self._owner)


class ExtraChunks:
    """The feed of a queued task: the chunk of its message, and others while downloads leave the processor idle.

    A chunk that killed a process before gets a task of its own, and so do chunks of a job whose chunks fail: one error
    ends the work on all chunks of a task.
    """

    def __init__(
        self, name: str, job: Job, first: int, leases: HeldLeases, state: RedisState, busy: BusyProcesses
    ) -> None:
        self._name = name
        self._job = job
        self._leases = leases
        self._redis = state
        self._busy = busy
        self._first: int | None = first
        self._extra = 0
        self._until = time.monotonic() + (0.0 if self._is_risky(first) else BEGIN_S)
        self._others = self._free_chunks()

    def next(self, *, wait: bool) -> int | None:
        """See :class:`worker.labelling.labeller.Feed`."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if wait or self._busy.stops or self._extra >= MOST or time.monotonic() >= self._until:
            return None
        with suppress(RedisError):  # ends the task's search for others
            chunk = next(self._others, None)
            self._extra += chunk is not None
            return chunk
        return None

    def _is_risky(self, chunk: int) -> bool:
        try:
            return earlier_attempts(self._job.storage, chunk).deaths > 0 or self._redis.failures(self._name) > 0
        except RedisError:
            return True

    def _free_chunks(self) -> Iterator[int]:
        """Chunks whose leases it takes; from a random place on, so that processes seek different ones."""
        missing = self._job.missing_chunks()
        start = random.randrange(max(1, len(missing)))  # noqa: S311 - no secret
        chunks = missing[start:] + missing[:start]
        for place in range(0, len(chunks), _BLOCK):
            block = chunks[place : place + _BLOCK]
            leased = self._redis.leased(self._name, block)
            yield from (chunk for chunk in block if chunk not in leased and self._takes(chunk))

    def _takes(self, chunk: int) -> bool:
        if earlier_attempts(self._job.storage, chunk).deaths or not self._leases.take(chunk):
            return False
        if is_done(self._job, chunk):
            self._leases.end(chunk)
            return False
        return True
