"""The memory that downloaded photos may take before somebody takes them."""

import asyncio
from collections.abc import Callable
from typing import Final

from models.errors import ImageError, ImageFault
from worker.photos.limits import Limits

__all__ = ["Intake", "Room"]

_FREE: Final = 256 * 1024
"""Bytes that each photo may have without asking; most have no more."""


class Room:
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
        """A download is over: so many of its bytes wait to be taken, so many are gone."""
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

    def __init__(self, room: Room, url: str) -> None:
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
        """Raise ``too_large`` where so many bytes are too many."""
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
