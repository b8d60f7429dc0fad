"""The leases of the chunks that a task works on, and the extra chunks that it takes while downloads leave it idle."""

import random
import time
from contextlib import suppress
from threading import Event, Thread
from typing import Final, Self

from models.process_identity import Owner
from worker.job.job import Job
from worker.labelling.chunk import earlier_attempts, is_done
from worker.queue.redis_state import RedisError, RedisState
from worker.queue.worker_state import BusyProcesses

RENEW_S: Final = 3.0

MOST: Final = 64
"""Chunks that one task works on; their rows' results are in memory."""

BEGIN_S: Final = 20.0
"""Seconds in which a task takes extra chunks; then it ends, so that more urgent jobs have their turn."""

_LOOK_S: Final = 0.5
_BLOCK: Final = 16


class HeldLeases:
    """The leases of chunks of a job that this process holds, renewed as long as a ``with`` block lasts.

    Where Redis cannot be reached the work goes on: the first commit of a part wins, whoever makes it.
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
        with suppress(RedisError):  # where it does not answer the first time, each further chunk would wait for it, too
            for chunk in held:
                self._redis.end_lease(self._job, chunk, self._owner)

    def take(self, chunk: int) -> bool:
        """Take the lease of a chunk; ``False`` when another process, not known to be dead, holds it."""
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

    A message only says that a chunk might be worth a look; the part and the lease say whether it is. A chunk that a
    dead process had in hand is left to a task of its own, which takes no others: a photo that kills processes must not
    end the work on other chunks. No others are taken while the job has setbacks either: a fault of one would end the
    work on all.
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
        self._begun = 0
        self._until = time.monotonic() + (0.0 if self._is_risky(first) else BEGIN_S)
        self._again_at = 0.0
        self._candidates: list[int] | None = None

    def next(self, *, wait: bool) -> int | None:
        """See :class:`worker.labelling.labeller.Feed`."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        now = time.monotonic()
        if wait or self._busy.stops or self._begun >= MOST or now >= self._until or now < self._again_at:
            return None
        chunk = self._another()
        if chunk is None:
            self._again_at = time.monotonic() + _LOOK_S
        else:
            self._begun += 1
        return chunk

    def _is_risky(self, chunk: int) -> bool:
        try:
            return earlier_attempts(self._job.storage, chunk).deaths > 0 or self._redis.failures(self._name) > 0
        except RedisError:
            return True

    def _another(self) -> int | None:
        if self._candidates is None:  # from a random place on: processes should not all want the same chunk
            missing = self._job.missing_chunks()
            start = random.randrange(len(missing)) if missing else 0  # noqa: S311 - no secret
            self._candidates = missing[start:] + missing[:start]
        while self._candidates:
            block, self._candidates = self._candidates[:_BLOCK], self._candidates[_BLOCK:]
            try:
                taken = self._redis.leased(self._name, block)
            except RedisError:  # nobody can say who works on what
                return None
            free = [chunk for chunk in block if chunk not in taken]
            for place, chunk in enumerate(free):
                if self._takes(chunk):
                    self._candidates = free[place + 1 :] + self._candidates
                    return chunk
        return None

    def _takes(self, chunk: int) -> bool:
        if earlier_attempts(self._job.storage, chunk).deaths or not self._leases.take(chunk):
            return False
        if is_done(self._job, chunk):
            self._leases.end(chunk)
            return False
        return True
