"""One photo on its way, for all the rows that want it: its bytes, the memory that all may take, what a try gave."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from models.errors import ImageError, ImageFault
from worker.photos.cells import Target
from worker.photos.photo import Limits, Wanted

__all__ = [
    "Arrival",
    "Ask",
    "Came",
    "Chunk",
    "Failed",
    "Fetch",
    "Intake",
    "MemoryBudget",
    "Moved",
    "Outcome",
    "Trouble",
    "download_error",
    "strong",
]

_FREE: Final = 256 * 1024
"""Bytes that each photo may have without asking; most have no more."""
_TO_BLAME: Final = 2
_STRONG: Final = re.compile(r'"[!#-~]{0,200}"')


@dataclass(frozen=True)
class Came:
    """A photo's bytes; none if the host says that they have not changed.

    Attributes:
        etag: strong, or none.
    """

    data: bytes | None
    etag: str | None


@dataclass(frozen=True)
class Moved:
    """The host names another place."""

    target: Target


@dataclass(frozen=True)
class Trouble:
    """What may be gone at the next try.

    Attributes:
        why: to be read after "the host".
        silent: whether the host said nothing at all.
        after_s: when to come again, where the host says so.
        lasting: whether another try within the minute would be in vain.
    """

    why: str
    silent: bool = False
    after_s: float | None = None
    lasting: bool = False


@dataclass(frozen=True)
class Failed:
    """What another try would not change."""

    error: ImageError


Outcome = Came | Moved | Trouble | Failed


def strong(etag: str | None) -> str | None:
    """The ETag if it is strong (RFC 9110, 8.8.3): only then do equal tags mean equal bytes."""
    return etag if etag and _STRONG.fullmatch(etag) else None


def download_error(url: str, came: str) -> ImageError:
    """A photo that could not be downloaded, and why: ``came`` is to be read after a comma."""
    return ImageError(f"Expected a photo at {url[:300]}, {came}.", ImageFault.DOWNLOAD)


class MemoryBudget:
    """Counts bytes. The loop's thread adds, the thread that takes photos takes away; each writes numbers of its own."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.short = False
        self._came = 0
        self._taken = 0
        self._ready = 0
        self._growing: dict[Intake, asyncio.Future[None]] = {}
        self._favoured: Intake | None = None

    @property
    def free(self) -> bool:
        """Whether there is room for one more; if not, somebody waits for :meth:`look_again`."""
        if self._came - self._taken < self.limits.room:
            return True
        self.short = True  # before the second look: what is taken between them is told
        return self._came - self._taken < self.limits.room

    def add(self, size: int) -> None:
        """Bytes have come."""
        self._came += size

    def ended(self, intake: "Intake", ready: int, dropped: int) -> None:
        """A download is over: ``ready`` of its bytes wait to be taken, ``dropped`` of them are gone."""
        self._ready += ready
        self._came -= dropped
        if self._favoured is intake:
            self._favoured = None
        if self._growing:
            self.look_again()

    def took(self, size: int) -> bool:
        """A photo was taken; says whether to call :meth:`look_again` in the loop's thread."""
        self._taken += size
        if not self.short:  # never written then: somebody may just begin to wait
            return False
        self.short = False
        return True

    def look_again(self) -> None:
        """Let those grow that can."""
        for intake in list(self._growing):
            if self._may_grow(intake):
                self._growing.pop(intake).set_result(None)

    async def growth(self, intake: "Intake") -> None:
        """Wait until a large photo may come on."""
        self._growing[intake] = asyncio.get_running_loop().create_future()
        try:
            self.look_again()
            if intake in self._growing:
                await self._growing[intake]
        finally:
            self._growing.pop(intake, None)

    def _may_grow(self, intake: "Intake") -> bool:
        """One always may where no photo is ready: else all would wait for one another."""
        if self._favoured is None and self._ready <= self._taken:
            self._favoured = intake
        return self.free or self._favoured is intake


class Intake:
    """The bytes of one download, as they come."""

    def __init__(self, room: MemoryBudget, url: str) -> None:
        self._room = room
        self._url = url
        self._chunks: list[bytes] = []
        self._ready = 0
        self.size = 0
        self.came = 0
        self.on_pause: Callable[[], None] = lambda: None
        self.on_resume: Callable[[], None] = lambda: None

    async def add(self, chunk: bytes) -> None:
        """Take some more.

        Raises:
            ImageError: ``too_large``.
        """
        self._chunks.append(chunk)
        self.size += len(chunk)
        self.came += len(chunk)
        self._room.add(len(chunk))
        self.check(self.size)
        if self.size > _FREE and not self._room.free:
            self.on_pause()
            await self._room.growth(self)
            self.on_resume()

    def check(self, size: int) -> None:
        """Raise ``too_large`` if a photo may not have as many bytes."""
        if size > self._room.limits.max_bytes:
            msg = (
                f"Expected at most {self._room.limits.max_bytes:,} bytes at {self._url[:300]}, the host sends more; "
                "name a smaller copy."
            )
            raise ImageError(msg, ImageFault.TOO_LARGE)

    def drop(self) -> None:
        """Let go of what has come, whole or not; nobody takes it."""
        dropped, self._chunks, self.size = self.size, [], 0
        ready, self._ready = self._ready, 0
        self._room.ended(self, ready=-ready, dropped=dropped)

    def whole(self) -> bytes:
        """All that has come; it is ready to be taken."""
        self._ready = self.size
        self._room.ended(self, ready=self.size, dropped=0)
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []
        return data


@dataclass(eq=False)
class Chunk:
    """A chunk whose photos are asked for.

    Attributes:
        left: photos that have not been taken.
        downloading: those of them that come over a network.
        given_up: whether they are still wanted.
    """

    left: int = 0
    downloading: int = 0
    given_up: bool = False


@dataclass(frozen=True, eq=False)
class Ask:
    """A row that wants a photo."""

    wanted: Wanted
    chunk: Chunk


@dataclass(eq=False)
class Fetch:
    """A download.

    Attributes:
        url: that was asked for.
        etag: what the host called the bytes that are known.
        target: where it is asked for now; another place than ``url`` after a redirect.
        intake: what has come.
        asks: who wants it.
        tries: how many have begun.
        silences: how many of them the host said nothing to for long.
        blame: how much speaks for it being this photo, and not its host, that gets no answer.
        silent_since: when the last try that met silence began, while that may still be its host's fault.
        redirects: that were followed.
        put_off_s: seconds, in all, after which its host has asked to be asked again.
        left_s: seconds that its tries, and the pauses between them, may still take; none before the first.
        deadline: of the try that is under way, by the loop's clock.
        seconds: that its tries took.
        slow: whether it has left its place to others.
    """

    url: str
    etag: str | None
    target: Target
    intake: Intake
    asks: list[Ask] = field(default_factory=list)
    tries: int = 0
    silences: int = 0
    blame: int = 0
    silent_since: float | None = None
    redirects: int = 0
    put_off_s: float = 0.0
    left_s: float | None = None
    deadline: float = 0.0
    seconds: float = 0.0
    slow: bool = False

    @property
    def is_to_blame(self) -> bool:
        """Whether it is this photo that gets no answer; its host answers others meanwhile."""
        return self.blame >= _TO_BLAME

    def met_silence(self, began: float, ended: float, answered_at: float | None, slow_s: float) -> None:
        """A try got no answer.

        A host that dies has just answered others when it cuts short what is under way, so one such try proves nothing.
        Two do; so does a long one in which others were answered.
        """
        if answered_at is None:
            return
        self.blame += self.silent_since is not None and answered_at > self.silent_since
        if answered_at > began:
            self.blame += _TO_BLAME if ended - began >= slow_s else 1
        self.silent_since = None if answered_at > began else began

    @property
    def known_as(self) -> str | None:
        """The ETag to ask with: what is elsewhere may be called the same and be something else."""
        return None if self.redirects else self.etag


@dataclass(frozen=True)
class Arrival:
    """A download that is over, on its way to the thread that takes photos.

    Attributes:
        held: bytes that make room once nobody waits for them any more.
    """

    asks: tuple[Ask, ...]
    url: str
    outcome: bytes | ImageError | None
    etag: str | None
    seconds: float
    downloaded: int
    held: int
