"""A photo that a row wants and its result, the limits of downloading, and the handling of unforeseen exceptions."""

import logging
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from models.errors import HangtagError, ImageError, ImageFault
from models.events import log_event
from models.preprocess import MAX_BYTES
from models.text import one_line

FAULTS: Final = {
    ImageFault.MISSING: "there is no photo there",
    ImageFault.REFUSED: "it may not be read, or its host may not be asked",
    ImageFault.DOWNLOAD: "it could not be fetched",
    ImageFault.TIMEOUT: "decoding it took too long",
    ImageFault.TOO_LARGE: "it has more bytes or pixels than are accepted",
    ImageFault.UNREADABLE: "it is not an image, or is damaged",
    ImageFault.CRASHED: "it crashed the decoder twice",
}
"""What each kind of failed rows means."""

_NOT_OF_THE_PHOTO: Final = (HangtagError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""With cancelled tasks, errors that fail no row: those of this machine, and those that end the work."""
_LINES: Final = 60
"""Characters kept of a traceback, the last ones: hosts and catalogues must not fill a disk with them."""


@dataclass(frozen=True)
class Wanted:
    """A photo that a row names.

    Attributes:
        chunk: the row's chunk.
        row: its place in the chunk.
        cell: what the catalogue says: a path, a URL or a data URI; None if the cell is empty.
    """

    chunk: int
    row: int
    cell: str | None


@dataclass(frozen=True)
class Photo:
    """What has come of a :class:`Wanted` photo.

    Attributes:
        wanted: the photo that was asked for.
        outcome: its bytes, or why there are none; None if the host says that the bytes of ``etag`` have not changed.
        url: where it was fetched from; None if not over a network.
        etag: the host's strong ETag of these bytes; None if it gives none.
        seconds: that the download took without the wait for its turn; 0 without a download of its own.
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
    """Limits of one process's downloads. Jobs may set the first three; tests set others, too."""

    per_host: int = 8  # downloads from one host at once
    per_bucket: int = 32  # the same of an S3 bucket
    total_s: float = 60.0  # for one photo, tries and pauses included; waiting for its turn is not
    at_once: int = 64  # downloads, those that bring next to nothing left out
    tries: int = 4  # of one photo
    room: int = 64 * 1024 * 1024  # bytes that may have come and not been taken before no other photo is begun
    max_bytes: int = MAX_BYTES  # of one photo
    connect_s: float = 5.0  # until there is a connection; finding a host's address may take as long again
    idle_s: float = 10.0  # without a byte
    pause_s: float = 0.5  # before the second try; doubles with each, and varies
    slow_s: float = 1.0  # until a download that brings next to nothing leaves its place to others
    silent_s: float = 4.0  # that a host must be silent before it is left alone
    rest_s: float = 10.0  # that it is left alone at first; doubles with each trial that fails
    patience_s: float = 180.0  # that a host that has given photos and falls silent is waited for
    longest_after_s: float = 120.0  # that ``Retry-After`` may put off a host, or one photo in all before its last try
    names_s: int = 30  # that a host's addresses are kept


def fault_words(errors: Iterable[ImageError]) -> str:
    """Why photos cannot be had, each reason once: ``missing (there is no photo there)``."""
    faults = dict.fromkeys(error.fault for error in errors)
    return "; ".join(f"{fault.replace('_', ' ')} ({FAULTS[fault]})" for fault in faults)


@contextmanager
def fails_its_photo(fault: ImageFault, place: str) -> Iterator[None]:
    """Turn an unforeseen exception in the block into the failure of its photo, and log it.

    Plugins written in Rust panic with a ``BaseException``: these count, too.

    Raises:
        ImageError: names the exception's type.
    """
    try:
        yield
    except _NOT_OF_THE_PHOTO:
        raise
    except BaseException as error:
        from asyncio import CancelledError  # seldom needed, and a labelling process takes a tenth of its start for it

        if isinstance(error, CancelledError):
            raise
        text = one_line(f"{type(error).__name__}: {error}", 300)
        lines = "".join(traceback.format_exception(error)).split("\n")[-_LINES:]
        trace = "\n".join(one_line(line, 300) for line in lines)
        log_event("photo_failed", logging.ERROR, photo=one_line(place, 300), error=text, traceback=trace)
        msg = f"Expected a photo at {place[:300]}, got {text}; its traceback is in the log, please report it."
        raise ImageError(msg, fault) from error
