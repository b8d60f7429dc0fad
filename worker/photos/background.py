"""The thread in which photos are downloaded, as the thread sees it that takes them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from worker.photos.downloads import Client, Downloads
from worker.photos.fetch import Arrival, Ask, Chunk
from worker.photos.limits import Limits
from worker.photos.photo import Photo
from worker.photos.room import Room
from worker.photos.target import Target

__all__ = ["Background", "MakeClient"]

MakeClient = Callable[[], Client]
"""Called in the thread, within its event loop."""

_READY: Final = 256
"""Photos that may wait to be taken before more are worth asking for."""
_END_S: Final = 10.0


class Background:
    """Downloads in a thread of its own, which begins at once. All methods are called by one other thread.

    Args:
        limits: how much may be asked of whom.
        make_client: who speaks to hosts.
    """

    def __init__(self, limits: Limits, make_client: MakeClient) -> None:
        self._limits = limits
        self._make_client = make_client
        self._room = Room(limits)
        self._arrivals: SimpleQueue[Arrival | BaseException] = SimpleQueue()
        self._ready: deque[tuple[Ask, Photo, int]] = deque()
        self._left = 0
        self._told = 0
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        started: Future[Downloads] = Future()
        self._thread = Thread(target=self._run, args=(started,), name="hangtag-photos", daemon=True)
        self._thread.start()
        self._downloads = started.result()

    def want(self, asked: Sequence[tuple[Ask, Target, str | None]]) -> None:
        """Ask for photos; with each comes the ETag that its host may find unchanged."""
        for ask, _, _ in asked:
            ask.chunk.downloading += 1
        self._left += len(asked)
        self._told += 1
        self._loop.call_soon_threadsafe(self._downloads.want, asked)

    def take(self, timeout_s: float) -> Photo | None:
        """A photo that has come; none where none comes in time, or none is wanted.

        Raises:
            Exception: whatever went wrong with this machine.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            while self._ready:
                ask, photo, held = self._ready.popleft()
                self._took(held)
                if not ask.chunk.given_up:
                    ask.chunk.downloading -= 1
                    self._left -= 1
                    return photo
            if not self._receive(deadline - time.monotonic() if self._left else 0.0):
                return None

    def forget(self, chunk: Chunk) -> None:
        """Stop the downloads of a chunk that was given up."""
        self._left -= chunk.downloading
        self._loop.call_soon_threadsafe(self._downloads.forget, chunk)

    @property
    def hungry(self) -> bool:
        """Whether more could be downloaded at once than was asked for."""
        is_idle = self._downloads.heard == self._told and self._downloads.idle
        return is_idle and len(self._ready) + self._arrivals.qsize() < _READY

    def close(self) -> None:
        """Stop all downloads, and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(_END_S)

    def _receive(self, timeout_s: float) -> bool:
        """Take up one download that is over, if there is one in time."""
        try:
            arrival = self._arrivals.get(block=timeout_s > 0, timeout=max(timeout_s, 0.0))
        except Empty:
            return False
        if isinstance(arrival, BaseException):
            raise arrival
        asks = [ask for ask in arrival.asks if not ask.chunk.given_up]
        if not asks:
            self._took(arrival.held)
        for number, ask in enumerate(asks):
            self._ready.append((ask, _photo(ask, arrival, number), arrival.held if ask is asks[-1] else 0))
        return True

    def _took(self, held: int) -> None:
        if held and self._room.took(held):
            self._loop.call_soon_threadsafe(self._make_room)

    def _make_room(self) -> None:
        self._room.look_again()
        self._downloads.begin()

    def _run(self, started: "Future[Downloads]") -> None:
        try:
            self._loop.run_until_complete(self._serve(started))
        except BaseException as error:  # noqa: BLE001 - the other thread raises it
            if started.done():
                self._arrivals.put(error)
            else:
                started.set_exception(error)
        finally:
            self._loop.close()

    async def _serve(self, started: "Future[Downloads]") -> None:
        downloads = Downloads(self._limits, self._room, self._make_client(), self._arrivals.put)
        started.set_result(downloads)
        await self._end.wait()
        await downloads.close()


def _photo(ask: Ask, arrival: Arrival, number: int) -> Photo:
    """The photo for one of the rows that want it; the first has brought it."""
    first = number == 0
    return Photo(
        ask.wanted,
        arrival.outcome,
        arrival.url,
        arrival.etag,
        arrival.seconds if first else 0.0,
        arrival.downloaded if first else 0,
    )
