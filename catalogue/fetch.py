"""Tracks downloads and their hosts, and pauses requests to failing hosts."""

import asyncio
import re
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from catalogue.photo import DownloadLimits
from catalogue.urls import Target
from models.errors import ImageError, ImageFault

_FREE: Final = 256 * 1024
"""A started download of up to this many bytes does not wait for memory. Most photos are smaller."""
_GZIP_ONLY: Final = zlib.MAX_WBITS | 16
_PACKED: Final = 16 * 1024
_UNPACKED: Final = 256 * 1024
_TO_BLAME: Final = 2
_HTTP_TO_HTTPS: Final = (80, 443)
_STRONG: Final = re.compile(r'"[!#-~]{0,200}"')
_SILENCES: Final = 5
"""The circuit breaker opens after at least this many consecutive tries without an answer."""
_FIRST_TRIAL_SHARE: Final = 0.1
"""If a host has sent photos, its first pause is this fraction of ``rest_s``."""
_LONGEST: Final = 30
"""A host's longest pause, as a multiple of ``rest_s``."""


@dataclass(frozen=True)
class Received:
    """A photo's bytes. None if the host answers 304 (not modified)."""

    data: bytes | None
    etag: str | None  # a strong ETag


@dataclass(frozen=True)
class Redirect:
    """A redirect."""

    target: Target


@dataclass(frozen=True)
class FailedTry:
    """A fault that may be temporary."""

    why: str  # completes a sentence that begins with "the host"
    silent: bool = False  # the host sent no answer
    after_s: float | None = None  # the host's ``Retry-After``
    lasting: bool = False  # a further try within a minute would also fail


Outcome = Received | Redirect | FailedTry


def strong_etag(etag: str | None) -> str | None:
    """The ETag, if strong (RFC 9110, 8.8.3). Equal strong ETags mean equal bytes."""
    return etag if etag and _STRONG.fullmatch(etag) else None


def download_error(url: str, problem: str) -> ImageError:
    """The error of a failed download: ``Expected a photo at URL, but PROBLEM``."""
    return ImageError(f"Expected a photo at {url[:300]}, but {problem}.", ImageFault.DOWNLOAD)


class Gzip:
    """Decompresses a gzip stream of one or more members (RFC 1952, 2.2). Raises zlib.error."""

    CODINGS: Final = frozenset({"gzip", "x-gzip"})

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_ONLY)

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """Decompress the next bytes in small pieces, because a few bytes may expand to any size."""
        for start in range(0, len(packed), _PACKED):  # zlib copies the unread input at each call
            rest = packed[start : start + _PACKED]
            while rest:
                if self._member.eof:
                    self._member = zlib.decompressobj(_GZIP_ONLY)
                yield self._member.decompress(rest, _UNPACKED)
                rest = self._member.unconsumed_tail or self._member.unused_data

    @property
    def is_whole(self) -> bool:
        """Whether the gzip stream is complete."""
        return self._member.eof


class MemoryBudget:
    """Limits the bytes of photos that wait for :meth:`Photos.take`. Not thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._ready = 0
        self._exceeding: Fetch | None = None
        self._freed = asyncio.Event()

    @property
    def free(self) -> bool:
        """Whether there is memory for one more photo."""
        return self._held < self._size

    async def room(self, fetch: "Fetch | None" = None) -> None:
        """Wait for memory to start a download, or to continue ``fetch``."""
        while not (self.free or (fetch and self._may_exceed(fetch))):
            self._freed.clear()
            await self._freed.wait()

    def _may_exceed(self, fetch: "Fetch") -> bool:
        if self._exceeding is None and not self._ready:
            self._exceeding = fetch
        return self._exceeding is fetch

    def add(self, size: int) -> None:
        """Count received bytes."""
        self._held += size

    def end(self, fetch: "Fetch", *, ready: bool) -> None:
        """Free the bytes of a failed try. If ``ready``, keep the photo's bytes until :meth:`release`."""
        if ready:
            self._ready += fetch.size
        else:
            self._held -= fetch.size
        if self._exceeding is fetch:
            self._exceeding = None
        self._wake_waiting()

    def release(self, size: int) -> None:
        """Free the bytes of a photo that :meth:`Photos.take` returned."""
        self._held -= size
        self._ready -= size
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        if self.free or not (self._ready or self._exceeding):
            self._freed.set()


@dataclass(eq=False)
class Fetch:
    """A download."""

    target: Target  # the photo's URL, or the URL of the last redirect
    etag: str | None  # ETag of an earlier download
    limits: DownloadLimits
    budget: MemoryBudget
    clock: asyncio.Timeout = field(init=False)  # timeout of this try
    left_s: float = 0.0  # seconds left for tries and pauses
    seconds: float = 0.0  # seconds of all tries
    size: int = 0  # bytes received in this try
    downloaded: int = 0  # bytes received in all tries
    tries: int = 0  # failed tries
    silences: int = 0  # tries without an answer for ``slow_s``
    redirects: int = 0
    put_off_s: float = 0.0  # total seconds of ``Retry-After``
    _chunks: list[bytes] = field(default_factory=list)
    _blame: int = 0
    _silent_at: float | None = None

    def __post_init__(self) -> None:
        self.url = self.target.text
        self._home = self.target
        self.start_over()

    def start_over(self) -> None:
        """Reset the number of tries and the time limit."""
        self.tries, self.silences, self.left_s = 0, 0, self.limits.total_s

    @property
    def etag_to_send(self) -> str | None:
        """The ETag to send. None after a redirect, because the ETag is from another host."""
        return None if self.redirects else self.etag

    @property
    def is_first_host(self) -> bool:
        """Whether the target has the host and port of the photo's URL. A change from port 80 to 443 is allowed."""
        home, now = self._home, self.target
        return home.host == now.host and (home.port == now.port or (home.port, now.port) == _HTTP_TO_HTTPS)

    async def add(self, chunk: bytes) -> None:
        """Add bytes. A large photo may wait for memory, which pauses its time limit. Raises ImageError."""
        self._chunks.append(chunk)
        self.size += len(chunk)
        self.downloaded += len(chunk)
        self.budget.add(len(chunk))
        self.check(self.size)
        if self.size > _FREE and not self.budget.free:
            loop = asyncio.get_running_loop()
            left_s = (self.clock.when() or 0.0) - loop.time()
            self.clock.reschedule(None)
            await self.budget.room(self)
            self.clock.reschedule(loop.time() + left_s)

    def check(self, size: int) -> None:
        """Raise ImageError if a photo has too many bytes."""
        if size > self.limits.max_bytes:
            most = f"{self.limits.max_bytes:,} bytes at {self.url[:300]}"
            msg = f"Expected at most {most}, but the host sends more; use a smaller copy."
            raise ImageError(msg, ImageFault.TOO_LARGE)

    def whole(self) -> bytes:
        """All bytes received in this try."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def end_try(self, *, ready: bool = False) -> None:
        """Drop this try's bytes. See :meth:`MemoryBudget.end` for ``ready``."""
        self.budget.end(self, ready=ready)
        self._chunks, self.size = [], 0

    @property
    def is_to_blame(self) -> bool:
        """Whether only this photo fails, while its host answers other requests."""
        return self._blame >= _TO_BLAME

    def note_silence(self, began: float, ended: float, answered_at: float | None) -> None:
        """Record a try without a response.

        If the host answers other requests, two such tries, or one long try, are blamed on the photo.
        """
        long = ended - began >= self.limits.slow_s
        self.silences += long
        since = began if self._silent_at is None else self._silent_at
        if answered_at is not None and answered_at > since:
            self._blame += _TO_BLAME if long and answered_at > began else 1
        self._silent_at = ended


class Host:
    """Limits the downloads from a host, with a circuit breaker. Uses the event loop's clock, in seconds.

    After a while without a successful try, requests to the host are paused. After the pause, a single photo is tried.
    Until this try succeeds, other photos of the host fail immediately. If the host has sent photos before, they
    fail only after ``patience_s``.
    """

    def __init__(self, place: str, limits: DownloadLimits, per_host: int) -> None:
        self.per_host = per_host
        self.answered_at: float | None = None  # when the host last answered without a temporary fault
        self._place = place
        self._limits = limits
        self._waiting: deque[asyncio.Future[str | None]] = deque()
        self._running = 0
        self._asked = 0
        self._put_off_until = 0.0
        self._rests_until = 0.0
        self._troubles = 0
        self._since = 0.0
        self._silent = True
        self._rests = 0
        self._rested_at = 0.0
        self._why = ""

    @asynccontextmanager
    async def turn(self, url: str, *, first: bool) -> AsyncIterator[bool]:
        """Wait for a download slot. ``first``: skip the queue. Yields True if the host has other downloads.

        Raises ImageError.
        """
        turn: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting.insert(0 if first else len(self._waiting), turn)
        self._give_turns()
        try:
            if why := await turn:
                raise download_error(url, why)
            yield self._asked > 1 or bool(self._waiting)
        finally:
            if not turn.cancelled():
                self._running -= 1
            self._give_turns()

    def _give_turns(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        why = self.refusal(now)
        while self._waiting and (why or self.may_start(now)):
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._running += 1
                self._asked += 1
                turn.set_result(why)
        if self._waiting and now < self._not_before:
            loop.call_at(self._not_before, self._give_turns)

    def may_start(self, now: float) -> bool:
        """Whether one more download may start now."""
        return self._running < (1 if self._rests else self.per_host) and now >= self._not_before

    def may_ask(self, now: float) -> bool:
        """Whether a download with a slot may send its request now."""
        return now >= self._not_before and (not self._rests or self._running == 1)

    @property
    def _not_before(self) -> float:
        return max(self._put_off_until, self._rests_until)

    @property
    def load(self) -> int:
        """The number of downloads that run or wait for a slot."""
        return self._running + len(self._waiting)

    def refusal(self, now: float) -> str | None:
        """Why no photo may be downloaded now, or None."""
        if now < self._rests_until and not self._answered_lately(now):
            return (
                f"its host {self._place} {self._why} and is not tried again for a while; check that the host is "
                "up, and try again"
            )
        return None

    def is_waited_for(self, now: float) -> bool:
        """Whether the host is paused but answered recently."""
        return self._rests > 0 and self._answered_lately(now)

    def _answered_lately(self, now: float) -> bool:
        return self.answered_at is not None and now - self.answered_at < self._limits.patience_s

    def note_answer(self, now: float) -> None:
        """Record that the host answered without a temporary fault."""
        self._troubles = self._rests = 0
        self._rests_until = 0.0
        self.answered_at = now

    def note_failure(self, failure: FailedTry, began: float, now: float) -> None:
        """Record a failed try that began at ``began``."""
        if failure.after_s is not None:
            pause_s = min(failure.after_s, self._limits.longest_after_s)
            self._put_off_until = max(self._put_off_until, now + pause_s)
        if not self._troubles:
            self._since, self._silent = began, True
        self._troubles += 1
        self._silent = self._silent and failure.silent
        if began < self._rested_at:
            return  # a try that began before the pause does not extend the pause
        if failure.lasting or self._rests or self._must_rest(now):
            self._rest(failure.why, now)

    def _must_rest(self, now: float) -> bool:
        """Whether the host has been silent for ``silent_s``, or has failed for ``total_s``.

        If the host has sent photos, returns True after ``_SILENCES`` tries without a response.
        """
        if self._troubles < _SILENCES:
            return False
        if self._silent and self._answered_lately(now):
            return True
        return now - self._since >= (self._limits.silent_s if self._silent else self._limits.total_s)

    def _rest(self, why: str, now: float) -> None:
        rest_s = self._limits.rest_s
        first_s, longest_s = (
            (rest_s * _FIRST_TRIAL_SHARE, rest_s) if self._answered_lately(now) else (rest_s, rest_s * _LONGEST)
        )
        self._rests_until = now + min(first_s * 2**self._rests, longest_s)
        self._rests += 1
        self._rested_at = now
        self._why = why
