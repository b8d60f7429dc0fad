"""Where a process gets its photos: from disk as it takes them, from elsewhere ahead of that, in a thread."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final

from models.errors import ImageError, ImageFault
from worker.job import Job
from worker.photos.address import Addresses
from worker.photos.cells import Cells, OnDisk, Scheme, Target, Written
from worker.photos.downloads import Client, Downloads
from worker.photos.fetch import Arrival, Ask, Chunk, MemoryBudget
from worker.photos.photo import Limits, Photo, Wanted, fails_its_photo

if TYPE_CHECKING:
    from worker.photos.names import Lookup

__all__ = ["Background", "MakeClient", "Photos", "limits_of", "open_photos", "photos_of"]

_BACKLOG: Final = 512
"""Photos on disk that may be waiting while more URLs are asked for."""
MakeClient = Callable[[], Client]
"""Called in the thread, within its event loop."""
_READY: Final = 256
"""Photos that may wait to be taken before more are worth asking for."""
_END_S: Final = 10.0


def photos_of(job: Job, limits: Limits | None = None, lookup: "Lookup | None" = None) -> "Photos":
    """:func:`open_photos` of a job, with the limits that it asks for where none are given."""
    limits = limits or limits_of(job)
    allow_hosts = job.spec.options.allow_hosts or ()
    return open_photos(job.spec.image_root, allow_hosts, limits, lookup, confined=job.spec.confined)


def limits_of(job: Job) -> Limits:
    """What downloading may take, as a job asks for it."""
    usual = Limits()
    return replace(
        usual,
        per_host=job.spec.per_host or usual.per_host,
        per_bucket=job.spec.per_host or usual.per_bucket,
        total_s=job.spec.options.download_timeout_s or usual.total_s,
    )


def open_photos(
    root: str,
    allow_hosts: Sequence[str] = (),
    limits: Limits | None = None,
    lookup: "Lookup | None" = None,
    *,
    confined: bool = False,
) -> "Photos":
    """Everything a process needs to bring photos.

    Nothing is connected, and no thread begun, before a URL is wanted; it does not go through a fork then.

    Args:
        root: where relative paths start: a folder or a URL.
        allow_hosts: ``HOST:PORT`` of the hosts that may be asked though their addresses are not public.
        limits: what downloading may take.
        lookup: finds the addresses of host names; the system's where it is not given.
        confined: whether photos on disk may be read from under ``root`` only.

    Raises:
        InputError: one of ``allow_hosts`` is not ``HOST:PORT``.
        JobError: paths start at a URL that nothing can be joined to.
    """
    addresses, some = Addresses(allow_hosts), limits or Limits()

    def downloads() -> "Background":
        from worker.photos.clients import Clients
        from worker.photos.names import system_lookup

        return Background(some, lambda: Clients(some, addresses, lookup or system_lookup))

    return Photos(Cells(root, confined=confined), downloads)


class Photos:
    """Brings photos: from this machine's disk as they are taken; from elsewhere many at once, ahead of time.

    All methods are called by one thread.
    """

    def __init__(self, cells: Cells, downloads: Callable[[], "Background"]) -> None:
        self._cells = cells
        self._begin = downloads
        self._downloads: Background | None = None
        self._here: deque[tuple[Ask, OnDisk | Written | ImageError]] = deque()
        self._chunks: dict[int, Chunk] = {}

    def want(self, photos: Sequence[Wanted], etags: Mapping[str, str]) -> None:
        """Ask for photos.

        Args:
            photos: in the order in which they are liked best.
            etags: URL → the ETag of bytes that are known already: the host is asked for others only.

        Raises:
            JobError: a photo is in S3, and this machine lacks the packages for it.
        """
        elsewhere: list[tuple[Ask, Target, str | None]] = []
        for wanted in photos:
            chunk = self._chunks.setdefault(wanted.chunk, Chunk())
            chunk.left += 1
            ask = Ask(wanted, chunk)
            try:
                place = self._cells.place(wanted.cell)
            except ImageError as error:
                self._here.append((ask, error))
                continue
            if isinstance(place, Target):
                elsewhere.append((ask, place, etags.get(place.text)))
            else:
                self._here.append((ask, place))
        if elsewhere:
            self._download(elsewhere)

    def take(self, timeout_s: float) -> Photo | None:
        """A photo that has come, each once, in any order; none if none comes within ``timeout_s``.

        A photo on disk is read now, by this thread, when no other has come.

        Raises:
            JobError: this machine lacks what S3 asks for.
        """
        photo = self._downloads.take(0.0) if self._downloads else None
        if photo is None:
            photo = self._read_next()
        if photo is None and self._downloads:
            photo = self._downloads.take(timeout_s)
        if photo:
            number = photo.wanted.chunk
            self._chunks[number].left -= 1
            if not self._chunks[number].left:
                del self._chunks[number]
        return photo

    def forget(self, chunk: int) -> None:
        """Let go of all photos of a chunk that was given up; none of them is taken any more."""
        forgotten = self._chunks.pop(chunk, None)
        if forgotten is None:
            return
        forgotten.given_up = True
        self._here = deque(entry for entry in self._here if entry[0].chunk is not forgotten)
        if self._downloads and forgotten.downloading:
            self._downloads.forget(forgotten)

    def url_of(self, cell: str | None) -> str | None:
        """Where a cell's photo is asked for; none where it does not come over a network."""
        return self._cells.url(cell)

    @property
    def wants_more(self) -> bool:
        """Whether it could fetch more photos at once than it has been asked for; never of photos on disk alone."""
        return self._downloads is not None and self._downloads.wants_more and len(self._here) < _BACKLOG

    def close(self) -> None:
        """End what is under way."""
        if self._downloads:
            self._downloads.close()

    def _download(self, asked: list[tuple[Ask, Target, str | None]]) -> None:
        if any(target.scheme is Scheme.S3 for _, target, _ in asked):
            from worker.photos.clients import check_s3

            check_s3()
        if self._downloads is None:
            self._downloads = self._begin()
        self._downloads.want(asked)

    def _read_next(self) -> Photo | None:
        if not self._here:
            return None
        ask, place = self._here.popleft()
        if isinstance(place, ImageError):
            return Photo(ask.wanted, place)
        try:
            with fails_its_photo(ImageFault.UNREADABLE, ask.wanted.cell or ""):
                return Photo(ask.wanted, place.read())
        except ImageError as error:
            return Photo(ask.wanted, error)


class Background:
    """Downloads in a thread of its own, which begins at once. All methods are called by one other thread."""

    def __init__(self, limits: Limits, make_client: MakeClient) -> None:
        self._limits = limits
        self._make_client = make_client
        self._room = MemoryBudget(limits)
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
        """A photo that has come; none if none comes in time, or no photo is awaited.

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
    def wants_more(self) -> bool:
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
        took = (arrival.seconds, arrival.downloaded)  # by the first of the rows that want it
        for ask in asks:
            photo = Photo(ask.wanted, arrival.outcome, arrival.url, arrival.etag, *took)
            self._ready.append((ask, photo, arrival.held if ask is asks[-1] else 0))
            took = (0.0, 0)
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
