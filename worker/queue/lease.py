"""A chunk is worked on by one process at a time, as far as Redis knows."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final

from worker.queue.identity import Owner
from worker.queue.ledger import Ledger, RedisError

__all__ = ["held_lease"]

RENEW_S: Final = 3.0


@contextmanager
def held_lease(ledger: Ledger, job: str, chunk: int) -> Iterator[bool]:
    """Hold the lease of a chunk for as long as the block runs.

    Where Redis cannot be reached the work goes on: the first commit of a part wins, whoever makes it.

    Yields:
        ``False`` when another process, not known to be dead, holds it.
    """
    owner = Owner.this()
    if not _taken(ledger, job, chunk, owner):
        yield False
        return
    ended = Event()
    renewal = Thread(target=_renew, args=(ledger, job, chunk, owner, ended), name="lease", daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        ended.set()
        renewal.join()
        with suppress(RedisError):
            ledger.end_lease(job, chunk, owner)


def _taken(ledger: Ledger, job: str, chunk: int, owner: Owner) -> bool:
    try:
        return ledger.take_lease(job, chunk, owner)
    except RedisError:
        return True


def _renew(ledger: Ledger, job: str, chunk: int, owner: Owner, ended: Event) -> None:
    while not ended.wait(RENEW_S):
        with suppress(RedisError):
            ledger.renew_lease(job, chunk, owner)
