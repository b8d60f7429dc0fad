"""Chunk numbers that come in on a pipe, a line each."""

import os
import select
from collections.abc import Callable

__all__ = ["LineFeed"]

_PIECE = 65_536


class LineFeed:
    """The feed of a process that is given its chunks by the command that started it.

    Args:
        descriptor: of the pipe; nothing else reads from it.
        ask: called when there is room for a chunk more than it was given; not again before one has come.
    """

    def __init__(self, descriptor: int, ask: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._ask = ask
        self._asked = True  # the first one comes by itself
        self._text = b""
        self._lines: list[bytes] = []
        self._ended = False

    def next(self, *, wait: bool) -> int | None:
        """See :class:`worker.labelling.labeller.Feed`."""
        while not self._lines and not self._ended and self._readable(wait=wait):
            self._read()
        if self._lines:
            self._asked = False
            return int(self._lines.pop(0))
        if not self._asked and not self._ended:
            self._asked = True
            self._ask()
        return None

    def _readable(self, *, wait: bool) -> bool:
        return bool(select.select([self._descriptor], [], [], None if wait else 0)[0])

    def _read(self) -> None:
        piece = os.read(self._descriptor, _PIECE)
        *lines, self._text = (self._text + piece).split(b"\n")
        self._lines += lines
        self._ended = not piece
