"""One photo's download: the result of a try, its bytes as they arrive, and the memory budget of all photos."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final

from catalogue.cells import Target
from catalogue.photo import Limits
from models.errors import ImageError, ImageFault

_FREE: Final = 256 * 1024
"""Bytes that each photo may take without waiting for memory; most are no larger."""
_TO_BLAME: Final = 2
_STRONG: Final = re.compile(r'"[!#-~]{0,200}"')


@dataclass(frozen=True)
class Came:
    """A photo's bytes; None if the host says that they have not changed."""

    data: bytes | None
    etag: str | None  # a strong one


@dataclass(frozen=True)
class Moved:
    """The host names another place."""

    target: Target


@dataclass(frozen=True)
class Trouble:
    """A fault that may be gone at the next try."""

    why: str  # to be read after "the host"
    silent: bool = False  # whether the host said nothing at all
    after_s: float | None = None  # when to come again, where the host says so
    lasting: bool = False  # whether another try within the minute would be in vain


Outcome = Came | Moved | Trouble


def strong(etag: str | None) -> str | None:
    """The ETag if it is strong (RFC 9110, 8.8.3): only then do equal tags mean equal bytes."""
    return etag if etag and _STRONG.fullmatch(etag) else None


def download_error(url: str, came: str) -> ImageError:
    """The error for a photo that could not be downloaded; ``came`` continues the sentence after a comma."""
    return ImageError(f"Expected a photo at {url[:300]}, {came}.", ImageFault.DOWNLOAD)


class MemoryBudget:
    """Limits the bytes of photos that have arrived and were not taken yet; used within the event loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._ready = 0
        self._favoured: Fetch | None = None
        self._freed = asyncio.Event()

    @property
    def free(self) -> bool:
        """Whether there is room for one more photo."""
        return self._held < self._size

    async def room(self, fetch: "Fetch | None" = None) -> None:
        """Wait until there is memory for one more photo to begin, or for a large one, if given, to continue."""
        while not (self.free or (fetch and self._favours(fetch))):
            self._freed.clear()
            await self._freed.wait()

    def _favours(self, fetch: "Fetch") -> bool:
        """Whether a large photo may continue without room: one may while no photo is ready, else all would wait."""
        if self._favoured is None and not self._ready:
            self._favoured = fetch
        return self._favoured is fetch

    def add(self, size: int) -> None:
        """Count bytes that have arrived."""
        self._held += size

    def end(self, fetch: "Fetch", *, ready: bool) -> None:
        """Note that a try is over: its bytes wait to be taken, or were dropped."""
        if ready:
            self._ready += fetch.size
        else:
            self._held -= fetch.size
        if self._favoured is fetch:
            self._favoured = None
        self._look_again()

    def release(self, size: int) -> None:
        """Note that a photo was taken."""
        self._held -= size
        self._ready -= size
        self._look_again()

    def _look_again(self) -> None:
        if self.free or not (self._ready or self._favoured):
            self._freed.set()


@dataclass(eq=False)
class Fetch:
    """A photo on its way."""

    target: Target  # where it is asked for now; another place than its URL after a redirect
    etag: str | None  # what the host called the bytes that are known
    limits: Limits
    budget: MemoryBudget
    clock: asyncio.Timeout = field(init=False)  # of the try that is under way
    left_s: float = 0.0  # that tries, and the pauses between them, may still take
    seconds: float = 0.0  # that its tries took
    size: int = 0  # bytes of this try
    came: int = 0  # bytes of all tries
    tries: int = 0  # that ended in trouble
    silences: int = 0  # tries to which the host said nothing for long
    redirects: int = 0
    put_off_s: float = 0.0  # in all, by its host's word
    _chunks: list[bytes] = field(default_factory=list)
    _blame: int = 0
    _silent_at: float | None = None

    def __post_init__(self) -> None:
        self.url = self.target.text
        self.start_over()

    def start_over(self) -> None:
        """Give the photo all of its tries and time again."""
        self.tries, self.silences, self.left_s = 0, 0, self.limits.total_s

    @property
    def known_as(self) -> str | None:
        """The ETag to send; None after a redirect, since another place may use the same ETag for other bytes."""
        return None if self.redirects else self.etag

    async def add(self, chunk: bytes) -> None:
        """Take some more bytes; a large photo waits for memory, and its clock stands still meanwhile.

        Raises:
            ImageError: ``too_large``.
        """
        self._chunks.append(chunk)
        self.size += len(chunk)
        self.came += len(chunk)
        self.budget.add(len(chunk))
        self.check(self.size)
        if self.size > _FREE and not self.budget.free:
            loop = asyncio.get_running_loop()
            left_s = (self.clock.when() or 0.0) - loop.time()
            self.clock.reschedule(None)
            await self.budget.room(self)
            self.clock.reschedule(loop.time() + left_s)

    def check(self, size: int) -> None:
        """Raise ``too_large`` if a photo may not have this many bytes."""
        if size > self.limits.max_bytes:
            most = f"{self.limits.max_bytes:,} bytes at {self.url[:300]}"
            msg = f"Expected at most {most}, the host sends more; name a smaller copy."
            raise ImageError(msg, ImageFault.TOO_LARGE)

    def whole(self) -> bytes:
        """All bytes of this try."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def end_try(self, *, ready: bool = False) -> None:
        """Drop this try's bytes; ``ready``: the whole photo keeps counting until it is taken."""
        self.budget.end(self, ready=ready)
        self._chunks, self.size = [], 0

    @property
    def is_to_blame(self) -> bool:
        """Whether this photo is at fault: it gets no answer while its host answers others."""
        return self._blame >= _TO_BLAME

    def met_silence(self, began: float, ended: float, answered_at: float | None) -> None:
        """Note that a try got no answer.

        A host that dies has just answered others when it cuts short what is under way, so one such try proves nothing.
        Two do; so does a long one in which others were answered.
        """
        long = ended - began >= self.limits.slow_s
        self.silences += long
        since = began if self._silent_at is None else self._silent_at
        if answered_at is not None and answered_at > since:
            self._blame += _TO_BLAME if long and answered_at > began else 1
        self._silent_at = ended
