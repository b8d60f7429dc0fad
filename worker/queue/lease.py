"""A chunk is worked on by one process at a time, as far as Redis knows."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final, Self

from worker.owner import Owner
from worker.queue.ledger import Ledger, RedisError

__all__ = ["HeldLeases", "held_lease"]

RENEW_S: Final = 3.0


class HeldLeases:
    """The leases of chunks of a job that this process holds, renewed as long as a ``with`` block lasts.

    Where Redis cannot be reached the work goes on: the first commit of a part wins, whoever makes it.

    Args:
        ledger: where they are.
        job: its name.
    """

    def __init__(self, ledger: Ledger, job: str) -> None:
        self._ledger = ledger
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
                self._ledger.end_lease(self._job, chunk, self._owner)

    def take(self, chunk: int) -> bool:
        """Take the lease of a chunk; ``False`` when another process, not known to be dead, holds it."""
        try:
            taken = self._ledger.take_lease(self._job, chunk, self._owner)
        except RedisError:
            taken = True
        if taken:
            self._held[chunk] = None
            if not self._renewal.is_alive():
                self._renewal.start()
        return taken

    def end(self, chunk: int) -> None:
        """Give a lease back that is held."""
        del self._held[chunk]
        with suppress(RedisError):
            self._ledger.end_lease(self._job, chunk, self._owner)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            chunks = list(self._held)
            with suppress(RedisError):
                self._ledger.renew_leases(self._job, chunks, self._owner)
                for chunk in chunks:
                    if chunk not in self._held:  # it was given back at this moment
                        self._ledger.end_lease(self._job, chunk, self._owner)


@contextmanager
def held_lease(ledger: Ledger, job: str, chunk: int) -> Iterator[bool]:
    """Hold the lease of one chunk for as long as the block runs.

    Yields:
        ``False`` when another process, not known to be dead, holds it.
    """
    with HeldLeases(ledger, job) as leases:
        yield leases.take(chunk)
