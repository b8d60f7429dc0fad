"""A photo that a row wants and what came of it, the limits of downloading, and exceptions that nobody foresaw."""

import logging
import traceback
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from models.errors import HangtagError, ImageError, ImageFault
from models.preprocess import MAX_BYTES
from models.text import one_line
from worker.events import log_event

__all__ = ["Limits", "Photo", "Wanted", "fails_its_photo"]

_NOT_OF_THE_PHOTO: Final = (HangtagError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit, CancelledError)
"""What this machine lacks, and what ends the work: they fail no row."""
_LINES: Final = 60
"""Of a traceback, the last ones: hosts and catalogues must not fill a disk with them."""


@dataclass(frozen=True)
class Wanted:
    """A photo that a row names.

    Attributes:
        chunk: the row's chunk.
        row: its place in the chunk.
        cell: what the catalogue says: a path, a URL or a data URI; none where the cell is empty.
    """

    chunk: int
    row: int
    cell: str | None


@dataclass(frozen=True)
class Photo:
    """What has come of a :class:`Wanted` photo.

    Attributes:
        wanted: which one.
        outcome: its bytes, why there are none, or nothing at all: then the host says that they are those it once gave
            ``etag`` to.
        url: where it was asked for; none where it did not come over a network.
        etag: what the host calls these bytes (a strong ETag); none where it does not say.
        seconds: that the download took, waiting for its turn left out; 0 where there was none, or another row's
            download brought it.
        downloaded: bytes that came over a network for this row.
    """

    wanted: Wanted
    outcome: bytes | ImageError | None
    url: str | None = None
    etag: str | None = None
    seconds: float = 0.0
    downloaded: int = 0


@dataclass(frozen=True)
class Limits:
    """How much one process asks of networks and hosts.

    Attributes:
        at_once: downloads that bring bytes, at once.
        in_all: downloads at once, those included that bring next to nothing, such as of hosts that are dead.
        per_host: downloads from one host at once.
        per_bucket: the same of an S3 bucket.
        connect_s: until there is a connection; finding a host's address takes as long again at most.
        idle_s: without a byte.
        total_s: for one photo, tries and pauses included; waiting for its turn is not.
        tries: of one photo.
        silent_tries: of one photo whose host says nothing at all for longer than ``slow_s``.
        redirects: that are followed.
        pause_s: before the second try; doubles with each, and varies.
        slow_s: after so long a download is judged: under ``slow_rate`` bytes a second it leaves its place to others.
        room: bytes that may have come and not been taken; a photo is begun only where there is room.
        max_bytes: of one photo.
        silences: tries in a row, with ``silent_s`` from the first to the last, after which a silent host is left alone.
        rest_s: for how long, at first; doubles with each trial that fails, up to ``longest_rest_s``.
        patience_s: for so long since its last photo a host that falls silent is waited for; then its photos fail.
        blip_s: how long it is left alone at first; doubles up to ``rest_s``.
        longest_after_s: that one answer (its ``Retry-After``) may have a host left alone; a photo that has been put off
            for as long in all has its last try.
        names_s: for how long a host's addresses are kept.
    """

    at_once: int = 64
    in_all: int = 512
    per_host: int = 8
    per_bucket: int = 32
    connect_s: float = 5.0
    idle_s: float = 10.0
    total_s: float = 60.0
    tries: int = 4
    silent_tries: int = 2
    redirects: int = 5
    pause_s: float = 0.5
    slow_s: float = 1.0
    slow_rate: int = 4096
    room: int = 64 * 1024 * 1024
    max_bytes: int = MAX_BYTES
    silences: int = 5
    silent_s: float = 4.0
    rest_s: float = 10.0
    longest_rest_s: float = 300.0
    patience_s: float = 180.0
    blip_s: float = 1.0
    longest_after_s: float = 120.0
    names_s: int = 30

    def put_off_s(self, after_s: float) -> float:
        """For how many seconds a host is left alone that asked for ``after_s`` (its ``Retry-After``).

        A wait of more than ``longest_after_s`` (an hour, say) is cut to that, or to twice the time that a photo may
        take if that is less. Either the host answers by then or its photo fails; a longer wait would help neither.
        """
        return after_s if after_s <= self.longest_after_s else min(self.longest_after_s, 2 * self.total_s)


@contextmanager
def fails_its_photo(fault: ImageFault, place: str) -> Iterator[None]:
    """Turn an exception that nobody foresaw into the failure of the photo that the block is about, and log it.

    Plugins written in Rust panic with a ``BaseException``: these count, too.

    Raises:
        ImageError: with the exception's type in its message.
    """
    try:
        yield
    except _NOT_OF_THE_PHOTO:
        raise
    except BaseException as error:
        text = one_line(f"{type(error).__name__}: {error}", 300)
        lines = "".join(traceback.format_exception(error)).split("\n")[-_LINES:]
        trace = "\n".join(one_line(line, 300) for line in lines)
        log_event("photo_failed", logging.ERROR, photo=one_line(place, 300), error=text, traceback=trace)
        msg = f"Expected a photo at {place[:300]}, got {text}; its traceback is in the log, please report it."
        raise ImageError(msg, fault) from error
