"""Downloads, many at once: which begins when, what comes of each try. All of it runs in one event loop."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from models.errors import ImageError, ImageFault
from worker.photos.cells import Scheme, Target
from worker.photos.fetch import (
    Arrival,
    Ask,
    Came,
    Chunk,
    Failed,
    Fetch,
    Intake,
    MemoryBudget,
    Moved,
    Outcome,
    Trouble,
    download_error,
)
from worker.photos.hosts import Host, Prefetch
from worker.photos.photo import Limits, fails_its_photo

__all__ = ["Client", "Downloads"]

_TICK_S: Final = 0.25
_HOSTS_KEPT: Final = 4096


class Client(Protocol):
    """Speaks to hosts."""

    async def ask(self, fetch: Fetch, *, keep: bool) -> Outcome:
        """Try once; the bytes go to ``fetch.intake``. ``keep``: the host is likely to be asked again soon.

        Raises:
            ImageError: another try would not change it.
            HangtagError: this machine lacks something.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Downloads:
    """Begins as many downloads as may be at once, host by host in turn.

    Args:
        limits: how much may be asked of whom.
        room: counts what has come and was not taken.
        client: who speaks to hosts.
        deliver: told of each download that is over, and of what went wrong with this machine.

    Attributes:
        idle: whether more could begin at once than has been asked for.
        heard: how often somebody has wanted photos; another thread compares it with how often it did.
    """

    def __init__(
        self, limits: Limits, room: MemoryBudget, client: Client, deliver: Callable[[Arrival | BaseException], None]
    ) -> None:
        self._limits = limits
        self._room = room
        self._client = client
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._fetches: dict[tuple[str, str | None], Fetch] = {}
        self._hosts: dict[str, Host] = {}
        self._turns: deque[Host] = deque()
        self._running: dict[Fetch, asyncio.Task[Outcome]] = {}
        self._began: dict[Fetch, float] = {}
        self._prefetch = Prefetch(limits.at_once, self._loop.time())
        self._quick = 0
        self._ticking = False
        self._closed = False
        self.idle = True
        self.heard = 0

    def want(self, asked: Sequence[tuple[Ask, Target, str | None]]) -> None:
        """Download photos; with each comes the ETag that its host may find unchanged."""
        for ask, target, etag in asked:
            if not ask.chunk.given_up:
                self._want(ask, target, etag)
        self.begin()
        self.heard += 1  # after that: it says that ``idle`` has taken these into account

    def _want(self, ask: Ask, target: Target, etag: str | None) -> None:
        key = (target.text, etag)
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = self._fetches[key] = Fetch(target.text, etag, target, Intake(self._room, target.text))
            fetch.asks.append(ask)
            self._enqueue(fetch)
        else:
            fetch.asks.append(ask)

    def forget(self, chunk: Chunk) -> None:
        """Stop what only a chunk that was given up wanted."""
        for fetch in list(self._fetches.values()):
            fetch.asks = [ask for ask in fetch.asks if ask.chunk is not chunk]
            if not fetch.asks:
                self._drop(fetch)
        self.begin()

    async def close(self) -> None:
        """Stop all of them."""
        self._closed = True
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def begin(self) -> None:
        """Begin what may begin now."""
        now = self._loop.time()
        while self._turns and self._has_place():
            host = self._turns.popleft()
            host.in_line = False
            if not host.may_start(now):
                continue
            fetch = self._next_of(host)
            if host.waiting:
                self._line_up(host)
            if fetch.asks:
                self._start(fetch, host, now)
        self.idle = not self._turns and self._has_place() and self._prefetch.wants_more(now)

    def _next_of(self, host: Host) -> Fetch:
        self._prefetch.waiting -= 1
        return host.waiting.popleft()

    def _has_place(self) -> bool:
        return self._quick < self._limits.at_once and len(self._running) < self._limits.in_all and self._room.free

    def _start(self, fetch: Fetch, host: Host, now: float) -> None:
        host.running += 1
        host.asked += 1
        fetch.tries += 1
        fetch.deadline = now + (self._limits.total_s if fetch.left_s is None else fetch.left_s)
        fetch.slow = False
        self._quick += 1
        self._began[fetch] = now
        task = self._running[fetch] = self._loop.create_task(self._asked(fetch, host))
        task.add_done_callback(partial(self._ended, fetch, host))
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(_TICK_S, self._tick)

    async def _asked(self, fetch: Fetch, host: Host) -> Outcome:
        keep = host.asked > 1 or bool(host.waiting)
        try:
            async with asyncio.timeout_at(fetch.deadline) as limit:
                _stop_the_clock_for(fetch, limit)
                return await self._try(fetch, keep=keep)
        except ImageError as error:
            return Failed(_of_redirect(fetch, error) if fetch.redirects else error)
        except TimeoutError:
            return Trouble(f"took longer than {self._limits.total_s:g} s", silent=not fetch.intake.came)

    async def _try(self, fetch: Fetch, *, keep: bool) -> Outcome:
        with fails_its_photo(ImageFault.DOWNLOAD, fetch.url):
            return await self._client.ask(fetch, keep=keep)

    def _ended(self, fetch: Fetch, host: Host, task: asyncio.Task[Outcome]) -> None:
        host.running -= 1
        self._quick -= not fetch.slow
        del self._running[fetch]
        began = self._began.pop(fetch)
        fetch.seconds += self._loop.time() - began
        fetch.left_s = fetch.deadline - self._loop.time()  # it does not wait for its next turn on its own time
        if task.cancelled() or not fetch.asks:
            fetch.intake.drop()
        elif error := task.exception():
            self._drop(fetch)
            self._deliver(error)
        else:
            self._settle(fetch, host, task.result(), began)
        if not self._closed:
            self._take_turn(host)
            self.begin()

    def _settle(self, fetch: Fetch, host: Host, outcome: Outcome, began: float) -> None:
        if isinstance(outcome, Trouble):
            self._again(fetch, host, outcome, began)
            return
        host.answered(self._loop.time())
        if isinstance(outcome, Came):
            self._arrive(fetch, outcome.data, None if fetch.redirects else outcome.etag)
        elif isinstance(outcome, Moved):
            self._follow(fetch, outcome.target)
        else:
            self._arrive(fetch, outcome.error)

    def _again(self, fetch: Fetch, host: Host, trouble: Trouble, began: float) -> None:
        now = self._loop.time()
        if trouble.silent:
            fetch.met_silence(began, now, host.answered_at, self._limits.slow_s)
        if not (trouble.silent and fetch.is_to_blame):  # that says nothing of its host
            host.troubled(trouble, began, now)
        fetch.intake.drop()
        fetch.silences += trouble.silent and now - began >= self._limits.slow_s
        pause_s = self._limits.pause_s * 2 ** (fetch.tries - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - nothing secret
        if why := host.refusal(now):
            self._arrive(fetch, download_error(fetch.url, why))
            self._refuse_waiting(host, why)
        elif host.is_waited_for(now) and not fetch.is_to_blame:
            fetch.tries, fetch.silences, fetch.left_s = fetch.redirects, 0, None
            self._enqueue(fetch)  # behind the others: it may be this photo at which its host breaks off each time
        elif self._is_last(fetch, trouble) or now + pause_s >= fetch.deadline:
            self._arrive(fetch, download_error(fetch.url, _given_up(fetch, trouble)))
        elif trouble.after_s is not None:
            fetch.put_off_s += trouble.after_s
            self._enqueue(fetch, first=True)  # its host has said when
        else:
            fetch.left_s = fetch.deadline - now - pause_s
            self._loop.call_later(pause_s, self._try_again, fetch)

    def _is_last(self, fetch: Fetch, trouble: Trouble) -> bool:
        tries = fetch.tries - fetch.redirects
        put_off = trouble.after_s is not None and fetch.put_off_s >= self._limits.longest_after_s
        in_vain = tries >= self._limits.tries or fetch.silences >= self._limits.silent_tries
        return trouble.lasting or in_vain or put_off

    def _try_again(self, fetch: Fetch) -> None:
        if fetch.asks:
            self._enqueue(fetch, first=not fetch.is_to_blame)  # others say sooner whether its host is back
            self.begin()

    def _follow(self, fetch: Fetch, target: Target) -> None:
        fetch.redirects += 1
        fetch.intake.drop()
        if fetch.redirects > self._limits.redirects:
            came = f"its host redirects more than {self._limits.redirects} times"
            self._arrive(fetch, download_error(fetch.url, came))
            return
        fetch.target = target
        self._enqueue(fetch, first=True)

    def _enqueue(self, fetch: Fetch, *, first: bool = False) -> None:
        host = self._host(fetch.target)
        if why := host.refusal(self._loop.time()):
            self._arrive(fetch, download_error(fetch.url, why))
            return
        self._prefetch.asked(free=host.has_room, now=self._loop.time())
        if first:
            host.waiting.appendleft(fetch)
        else:
            host.waiting.append(fetch)
        self._take_turn(host)

    def _host(self, target: Target) -> Host:
        host = self._hosts.get(target.place)
        if host is None:
            per_host = self._limits.per_bucket if target.scheme is Scheme.S3 else self._limits.per_host
            host = self._hosts[target.place] = Host(target.place, self._limits, per_host)
            self._forget_hosts()
        return host

    def _forget_hosts(self) -> None:
        """Keep those that were asked last, and those that still are."""
        for place in list(self._hosts)[: max(0, len(self._hosts) - _HOSTS_KEPT)]:
            host = self._hosts[place]
            if not host.waiting and not host.running:
                del self._hosts[place]

    def _take_turn(self, host: Host) -> None:
        """Put a host in the line, if it may be asked; else see to it that it will be."""
        now = self._loop.time()
        if host.not_before > now and host.waiting:
            self._loop.call_at(host.not_before, self._open, host)
        elif host.may_start(now) and not host.in_line:
            self._line_up(host)

    def _line_up(self, host: Host) -> None:
        host.in_line = True
        self._turns.append(host)

    def _open(self, host: Host) -> None:
        self._take_turn(host)
        self.begin()

    def _refuse_waiting(self, host: Host, why: str) -> None:
        while host.waiting:
            fetch = self._next_of(host)
            if fetch.asks:
                self._arrive(fetch, download_error(fetch.url, why))

    def _arrive(self, fetch: Fetch, outcome: bytes | ImageError | None, etag: str | None = None) -> None:
        self._fetches.pop((fetch.url, fetch.etag), None)
        held = 0
        if outcome is None or isinstance(outcome, ImageError):
            fetch.intake.drop()
        else:
            held = len(outcome)
        self._deliver(Arrival(tuple(fetch.asks), fetch.url, outcome, etag, fetch.seconds, fetch.intake.came, held))

    def _drop(self, fetch: Fetch) -> None:
        self._fetches.pop((fetch.url, fetch.etag), None)
        fetch.intake.drop()
        if task := self._running.get(fetch):
            task.cancel()

    def _tick(self) -> None:
        """Let others begin in the place of those that bring next to nothing."""
        now = self._loop.time()
        for fetch, began in self._began.items():
            lasted = now - began
            if not fetch.slow and lasted > self._limits.slow_s and fetch.intake.size < lasted * self._limits.slow_rate:
                fetch.slow = True
                self._quick -= 1
        self.begin()
        self._ticking = bool(self._running)
        if self._ticking:
            self._loop.call_later(_TICK_S, self._tick)


def _stop_the_clock_for(fetch: Fetch, limit: asyncio.Timeout) -> None:
    """While a download waits for room its time stands still."""
    loop = asyncio.get_running_loop()
    left = 0.0

    def pause() -> None:
        nonlocal left
        left = (limit.when() or loop.time()) - loop.time()
        limit.reschedule(None)

    def resume() -> None:
        fetch.deadline = loop.time() + left
        limit.reschedule(fetch.deadline)

    fetch.intake.on_pause, fetch.intake.on_resume = pause, resume


def _given_up(fetch: Fetch, trouble: Trouble) -> str:
    tries = "" if fetch.tries == 1 else f", the last of {fetch.tries} tries"
    return f"its host {trouble.why}{tries}; see that it is up, and try again"


def _of_redirect(fetch: Fetch, error: ImageError) -> ImageError:
    """Says who led there, and advises nothing: whoever trusts the host need not trust where it leads."""
    if error.fault is not ImageFault.REFUSED:
        return error
    msg = (
        f"Expected a photo at {fetch.url}, its host redirects to {fetch.target.place}, which may not be asked; see why."
    )
    return ImageError(msg, ImageFault.REFUSED)
