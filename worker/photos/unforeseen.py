"""An unexpected exception at one photo fails its row, and the work on all others goes on."""

import logging
import traceback
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from models.errors import HangtagError, ImageError, ImageFault
from worker.events import log_event
from worker.photos.outcome import shown

__all__ = ["fails_its_photo"]

_NOT_OF_THE_PHOTO: Final = (HangtagError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit, CancelledError)
"""What this machine lacks, and what ends the work: they fail no row."""

_LINES: Final = 60
"""Of a traceback, the last ones: hosts and catalogues must not fill a disk with them."""


@contextmanager
def fails_its_photo(fault: ImageFault, place: str) -> Iterator[None]:
    """Turn an exception that nobody foresaw into the failure of the photo that the block is about, and log it.

    Plugins written in Rust panic with a ``BaseException``: these count, too.

    Args:
        fault: which kind of failure the row shows.
        place: where the photo is, for the message.

    Raises:
        ImageError: with the exception's type in its message.
    """
    try:
        yield
    except _NOT_OF_THE_PHOTO:
        raise
    except BaseException as error:
        text = shown(f"{type(error).__name__}: {error}", 300)
        lines = "".join(traceback.format_exception(error)).split("\n")[-_LINES:]
        trace = "\n".join(shown(line, 300) for line in lines)
        log_event("photo_failed", logging.ERROR, photo=shown(place, 300), error=text, traceback=trace)
        msg = f"Expected a photo at {place[:300]}, got {text}; its traceback is in the log, please report it."
        raise ImageError(msg, fault) from error
