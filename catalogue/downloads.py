"""Downloads many photos in parallel: one task per photo, in an event loop in a thread."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final

from catalogue.fetch import FailedTry, Fetch, Host, MemoryBudget, Outcome, Received, Redirect, download_error
from catalogue.photo import DownloadLimits, as_image_error
from catalogue.urls import Scheme, Target
from models.errors import ImageError, ImageFault

if TYPE_CHECKING:
    from catalogue.clients import Clients

_MOST_DOWNLOADS: Final = 512
"""Maximum parallel downloads, including very slow downloads."""
_SLOW_RATE: Final = 4096
"""Bytes per second. Slower downloads do not count against the limit of parallel downloads."""
_SILENT_TRIES: Final = 2
"""Number of tries of a photo from a host that does not answer."""
_REDIRECTS: Final = 5
_TICK_S: Final = 0.25
_HOSTS_KEPT: Final = 4096
_SMOOTHING: Final = 0.02
"""Weight of the newest photo in the moving average ``_free_share``."""
_LEAST_FREE_SHARE: Final = 0.05
_PROBE_S: Final = 2.0
_READY: Final = 256
"""While this many downloads wait for :meth:`take`, no photos are requested."""
_JOIN_S: Final = 10.0

Download = tuple[Target, str | None]
"""A photo's location, and its ETag from an earlier download."""


@dataclass(frozen=True)
class Arrival:
    """A finished download. See :class:`catalogue.photo.Photo` for the fields."""

    download: Download
    outcome: bytes | ImageError | None
    etag: str | None
    seconds: float
    downloaded: int


class Downloads:
    """Downloads photos in a thread, which starts immediately.

    Call the public methods from a single thread. Private methods run in the event loop.
    """

    def __init__(self, limits: DownloadLimits, make_client: "Callable[[], Clients]") -> None:
        self._limits = limits
        self._budget = MemoryBudget(limits.room)
        self._all_slots = asyncio.Semaphore(_MOST_DOWNLOADS)
        self._slots = asyncio.Semaphore(limits.at_once)
        self._hosts: dict[str, Host] = {}
        self._tasks: dict[Download, asyncio.Task[None]] = {}
        self._began: dict[Fetch, float] = {}
        self._slot_holders: set[Fetch] = set()
        self._free_share = 1.0
        self._probe_at = 0.0
        self._arrivals: SimpleQueue[Arrival | BaseException] = SimpleQueue()
        self._wants = self._wants_begun = 0
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        started: Future[Clients] = Future()
        self._thread = Thread(target=self._run, args=(make_client, started), name="hangtag-photos", daemon=True)
        self._thread.start()
        self._client = started.result()

    def request(self, downloads: Sequence[Download]) -> None:
        """Start the downloads that have not started yet."""
        self._wants += 1
        self._call(self._begin, downloads)

    def forget(self, downloads: Sequence[Download]) -> None:
        """Cancel unfinished downloads. :meth:`take` still returns finished downloads."""
        self._call(self._cancel, downloads)

    def take(self, timeout_s: float) -> Arrival | None:
        """A finished download. None if no download finishes in time."""
        try:
            arrival = self._arrivals.get(block=timeout_s > 0, timeout=max(timeout_s, 0.0))
        except Empty:
            return None
        if isinstance(arrival, BaseException):
            raise arrival
        if isinstance(arrival.outcome, bytes):
            self._call(self._budget.release, len(arrival.outcome))
        return arrival

    @property
    def wants_more(self) -> bool:
        """True if download slots are free for another chunk of the job.

        While nearly all photos wait for busy hosts, this is True only every few seconds.
        """
        if self._wants_begun < self._wants or self._arrivals.qsize() >= _READY:
            return False
        if len(self._slot_holders) >= self._limits.at_once or not self._budget.free:
            return False
        few_wait = len(self._tasks) - len(self._began) < self._limits.at_once
        return few_wait or self._free_share > _LEAST_FREE_SHARE or time.monotonic() >= self._probe_at

    def close(self) -> None:
        """Stop all downloads, and the thread."""
        self._call(self._end.set)
        self._thread.join(_JOIN_S)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the thread has ended
            self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self, make_client: "Callable[[], Clients]", started: "Future[Clients]") -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve(make_client, started))
        except BaseException as error:  # noqa: BLE001 - the other thread raises this error
            if started.done():
                self._arrivals.put(error)
            else:
                started.set_exception(error)

    async def _serve(self, make_client: "Callable[[], Clients]", started: "Future[Clients]") -> None:
        client = make_client()
        started.set_result(client)
        watch = asyncio.create_task(self._watch())
        await self._end.wait()
        watch.cancel()
        self._cancel(list(self._tasks))
        await client.close()

    def _begin(self, downloads: Sequence[Download]) -> None:
        for download in downloads:
            self._tasks[download] = self._loop.create_task(self._download(download))
        self._loop.call_soon(self._note_begun)  # runs after the new tasks have started

    def _note_begun(self) -> None:
        self._wants_begun += 1

    def _cancel(self, downloads: Sequence[Download]) -> None:
        for download in downloads:
            if task := self._tasks.pop(download, None):
                task.cancel()

    async def _download(self, download: Download) -> None:
        fetch = Fetch(*download, self._limits, self._budget)
        arrival: Arrival | BaseException
        try:
            with as_image_error(ImageFault.DOWNLOAD, fetch.url):
                received = await self._receive(fetch)
            etag = None if fetch.redirects else received.etag  # after a redirect, the ETag belongs to another host
            arrival = Arrival(download, received.data, etag, fetch.seconds, fetch.downloaded)
            fetch.end_try(ready=True)
        except ImageError as error:
            arrival = Arrival(download, error, None, fetch.seconds, fetch.downloaded)
        except Exception as error:  # noqa: BLE001 - take() raises this error
            arrival = error
        finally:
            fetch.end_try()
        self._tasks.pop(download, None)
        self._arrivals.put(arrival)

    async def _receive(self, fetch: Fetch) -> Received:
        first = False
        while True:
            host = self._host(fetch.target)
            self._free_share += _SMOOTHING * ((host.load < host.per_host) - self._free_share)
            self._probe_at = time.monotonic() + _PROBE_S
            async with host.turn(fetch.url, first=first) as keep, self._slot(fetch):
                if not host.may_ask(self._loop.time()):
                    first = True
                    continue
                outcome = await self._try(fetch, host, keep=keep)
            if isinstance(outcome, Received):
                return outcome
            fetch.end_try()
            if isinstance(outcome, Redirect):
                _follow(fetch, outcome.target)
                first = True
            else:
                first = await self._pause(fetch, host, outcome)

    def _host(self, target: Target) -> Host:
        if target.place not in self._hosts:
            for place in list(self._hosts)[: max(0, len(self._hosts) - _HOSTS_KEPT)]:
                if not self._hosts[place].load:
                    del self._hosts[place]
            per_host = self._limits.per_bucket if target.scheme is Scheme.S3 else self._limits.per_host
            self._hosts[target.place] = Host(target.place, self._limits, per_host)
        return self._hosts[target.place]

    @asynccontextmanager
    async def _slot(self, fetch: Fetch) -> AsyncIterator[None]:
        async with self._all_slots:
            await self._slots.acquire()
            self._slot_holders.add(fetch)
            try:
                await self._budget.room()
                self._began[fetch] = self._loop.time()
                yield
            finally:
                self._began.pop(fetch, None)
                self._release_slot(fetch)

    def _release_slot(self, fetch: Fetch) -> None:
        if fetch in self._slot_holders:
            self._slot_holders.remove(fetch)
            self._slots.release()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._loop.time()
            for fetch, began in self._began.items():
                lasted = now - began
                if lasted > self._limits.slow_s and fetch.size < lasted * _SLOW_RATE:
                    self._release_slot(fetch)

    async def _try(self, fetch: Fetch, host: Host, *, keep: bool) -> Outcome:
        began = self._loop.time()
        try:
            async with asyncio.timeout(fetch.left_s) as fetch.clock:
                outcome = await self._client.ask(fetch, keep=keep)
        except ImageError as error:
            host.note_answer(self._loop.time())
            if not fetch.redirects or error.fault is not ImageFault.REFUSED:
                raise
            place = fetch.target.place  # do not advise --allow-host: a trusted host may redirect anywhere
            msg = (
                f"Expected a photo at {fetch.url}, but its host redirects to {place}, which is not allowed; check "
                "the redirect."
            )
            raise ImageError(msg, ImageFault.REFUSED) from error
        except TimeoutError:
            outcome = FailedTry(f"took longer than {self._limits.total_s:g} s", silent=not fetch.downloaded)
        finally:
            now = self._loop.time()
            fetch.seconds += now - began
            fetch.left_s = (fetch.clock.when() or now) - now
        if isinstance(outcome, FailedTry):
            _note_failure(fetch, host, outcome, began, now)
        else:
            host.note_answer(now)
        return outcome

    async def _pause(self, fetch: Fetch, host: Host, failure: FailedTry) -> bool:
        now = self._loop.time()
        if why := host.refusal(now):
            raise download_error(fetch.url, why)
        if host.is_waited_for(now) and not fetch.is_to_blame:
            fetch.start_over()
            return False  # this photo may have caused the host's failure
        pause_s = self._limits.pause_s * 2 ** (fetch.tries - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - nothing secret
        if self._was_last(fetch, failure) or pause_s >= fetch.left_s:
            tries = "" if fetch.tries == 1 else f", in {fetch.tries} tries"
            raise download_error(fetch.url, f"its host {failure.why}{tries}; check that the host is up, and try again")
        if failure.after_s is not None:
            fetch.put_off_s += failure.after_s
            return True  # ``Host`` waits for ``Retry-After``
        fetch.left_s -= pause_s
        await asyncio.sleep(pause_s)
        return not fetch.is_to_blame  # try a failing photo after the others

    def _was_last(self, fetch: Fetch, failure: FailedTry) -> bool:
        put_off = failure.after_s is not None and fetch.put_off_s >= self._limits.longest_after_s
        in_vain = fetch.tries >= self._limits.tries or fetch.silences >= _SILENT_TRIES
        return failure.lasting or in_vain or put_off


def _note_failure(fetch: Fetch, host: Host, failure: FailedTry, began: float, now: float) -> None:
    fetch.tries += 1
    if failure.silent:
        fetch.note_silence(began, now, host.answered_at)
    if not (failure.silent and fetch.is_to_blame):  # do not blame the host for a bad photo
        host.note_failure(failure, began, now)


def _follow(fetch: Fetch, target: Target) -> None:
    fetch.redirects += 1
    if fetch.redirects > _REDIRECTS:
        raise download_error(fetch.url, f"its host redirects more than {_REDIRECTS} times")
    fetch.target = target
