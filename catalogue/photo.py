"""Finds the photo of a row, and reads photos on this machine."""

import binascii
import logging
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from catalogue.urls import (
    SHOWN,
    STRAY_PERCENT,
    Target,
    join_url,
    other_spellings,
    parse_url,
    readable,
    scheme_of,
    split_paths,
)
from models.errors import HangtagError, ImageError, ImageFault, JobError
from models.events import log_event
from models.photo import read_photo
from models.preprocess import IMAGE_SUFFIXES, MAX_BYTES
from models.text import one_line

FAULTS: Final = {
    ImageFault.MISSING: "the photo does not exist",
    ImageFault.REFUSED: "the photo may not be read, or its host is not allowed",
    ImageFault.DOWNLOAD: "the photo could not be downloaded",
    ImageFault.TIMEOUT: "decoding took too long",
    ImageFault.TOO_LARGE: "the photo has more bytes or pixels than are allowed",
    ImageFault.UNREADABLE: "the file is not an image, or is damaged",
    ImageFault.CRASHED: "the photo crashed the decoder twice",
    ImageFault.EMPTY_CELL: "the row has no photo",
}

_NOT_PHOTO_ERRORS: Final = (HangtagError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""Exceptions that :func:`as_image_error` does not convert."""
_LINES: Final = 60
"""Maximum lines of a logged traceback."""
_UNPAIRED: Final = re.compile(r"[\ud800-\udfff]")
_REMOTE: Final = frozenset({"http", "https", "s3"})
_NOT_THERE: Final = frozenset({ImageFault.MISSING, ImageFault.REFUSED})
_WINDOWS_PATH: Final = re.compile(r"\s*(?:[A-Za-z]:[\\/]|\\\\)")
_HOST: Final = re.compile(r"\s*(www\.)?(?:[\w-]+\.)+[A-Za-z]{2,}(?::\d+)?/", re.ASCII)
_LIKE_BASE64: Final = re.compile(r"[A-Za-z0-9+/=_\s-]{300}")
_ENDINGS: Final = (".jpg", ".jpeg", ".png", ".webp", ".JPG")
_BLANKS: Final = b" \t\r\n"
ReadPhoto = Callable[[], bytes]
"""Returns the bytes of a photo on this machine. Raises ``ImageError``."""


@dataclass(frozen=True)
class PhotoRequest:
    """A request to read a row's photo."""

    chunk: int
    row: int  # position in the chunk
    cell: str | None  # a path, URL or data URI


@dataclass(frozen=True)
class Photo:
    """The result of reading the photo of a :class:`PhotoRequest`.

    Attributes:
        outcome: the bytes or an error. None if the host answers 304 (not modified) to ``etag``.
        url: the photo's URL. None if the photo was not downloaded.
        etag: the host's strong ETag of these bytes, or None.
        seconds: download time, without waiting. 0 if another row records this download.
        downloaded: number of bytes downloaded for this row.
    """

    request: PhotoRequest
    outcome: bytes | ImageError | None
    url: str | None = None
    etag: str | None = None
    seconds: float = 0.0
    downloaded: int = 0


@dataclass(frozen=True)
class DownloadLimits:
    """Limits of the downloads in one process. A job can change ``per_host``, ``per_bucket`` and ``total_s``."""

    per_host: int = 8  # parallel downloads from one host
    per_bucket: int = 32  # parallel downloads from one S3 bucket
    total_s: float = 60.0  # seconds for a photo's tries and the pauses between them, without waits
    at_once: int = 64  # parallel downloads, without very slow downloads
    tries: int = 4  # tries of one photo
    room: int = 64 * 1024 * 1024  # bytes of unread photos above which no download starts
    max_bytes: int = MAX_BYTES  # bytes of one photo
    connect_s: float = 5.0  # seconds each for the name look-up and the connection
    idle_s: float = 10.0  # seconds without a byte
    pause_s: float = 0.5  # seconds before the second try; each try doubles this pause, with jitter
    slow_s: float = 1.0  # seconds after which ``at_once`` ignores a very slow download
    silent_s: float = 4.0  # seconds of silence that open a host's circuit breaker
    rest_s: float = 10.0  # seconds of a host's first pause; each failed try doubles the pause
    patience_s: float = 180.0  # seconds of silence after which a host that has sent photos counts as dead
    longest_after_s: float = 120.0  # seconds: limit of one ``Retry-After``, and of a photo's sum
    names_s: int = 30  # seconds for which IP addresses are cached


def fault_words(errors: Iterable[ImageError]) -> str:
    """The distinct faults of photos with their meanings: ``missing (the photo does not exist)``."""
    faults = dict.fromkeys(error.fault for error in errors)
    return "; ".join(f"{fault.replace('_', ' ')} ({FAULTS[fault]})" for fault in faults)


@contextmanager
def as_image_error(fault: ImageFault, place: str) -> Iterator[None]:
    """Log unexpected exceptions, and raise ImageError instead.

    A panic in a Rust plugin raises ``BaseException``.
    """
    try:
        yield
    except _NOT_PHOTO_ERRORS:
        raise
    except BaseException as error:
        from asyncio import CancelledError

        if isinstance(error, CancelledError):
            raise
        text, place = one_line(f"{type(error).__name__}: {error}", 300), one_line(readable(place), 300)
        lines = "".join(traceback.format_exception(error)).split("\n")[-_LINES:]
        trace = "\n".join(one_line(line, 300) for line in lines)
        log_event("photo_failed", logging.ERROR, photo=place, error=text, traceback=trace)
        msg = f"Expected a photo at {place}, got {text}; please report this error with the traceback in the log."
        raise ImageError(msg, fault) from error


class PhotoLocator:
    """Finds the photo of a cell.

    Relative paths start at ``root``. If ``confined``, photos on disk must be inside ``root``. Raises JobError.
    """

    def __init__(self, root: str, *, confined: bool = False) -> None:
        self._base = root.rstrip("/") if scheme_of(root) in _REMOTE else None
        if self._base and {"?", "#"} & set(self._base):
            msg = (
                f"Expected an --image-root without ? and #, got {root}; remove these characters and the text "
                "after them."
            )
            raise JobError(msg)
        self._root = Path(root)
        self._within = self._root.resolve() if confined else None

    def place(self, cell: str | None) -> ReadPhoto | Target:
        """The URL of a cell's photo, or a function that reads the photo locally. Raises ImageError."""
        if not cell or cell.isspace():
            msg = "Expected the path or the URL of a photo, found an empty cell."
            raise ImageError(msg, ImageFault.EMPTY_CELL)
        with as_image_error(ImageFault.REFUSED, cell):
            return self._place(cell)

    def _place(self, cell: str) -> ReadPhoto | Target:
        if not cell.isascii() and _UNPAIRED.search(cell):  # lone surrogates stand for bytes that are not UTF-8
            received = readable(cell)[:SHOWN].encode(errors="surrogateescape")
            msg = f"Expected the path or the URL of a photo in UTF-8, got {received!r}; save the catalogue in UTF-8."
            raise ImageError(msg, ImageFault.REFUSED)
        scheme = scheme_of(cell)
        if scheme is None and self._base is None:
            return partial(self._read, cell)
        if scheme is None or scheme in _REMOTE:
            if scheme and cell.lstrip().startswith("//"):  # ``//host`` takes the scheme of the root
                cell = f"{'http' if (self._base or '').startswith('http:') else scheme}:{cell.lstrip()}"
            return parse_url(cell if scheme else join_url(self._base or "", next(iter(split_paths(cell)), cell)))
        if scheme == "data":
            return partial(decode_data_uri, cell)
        place = f"{readable(cell)[:SHOWN]!r} of {scheme[:40]}"
        msg = f"Expected a path, or a URL of http, https, s3 or data, got {place}; copy the photo to a folder."
        raise ImageError(msg, ImageFault.REFUSED)

    def _path(self, cell: str) -> Path:
        path = self._root / cell
        if self._within and path.is_relative_to(self._root):
            path = self._within / path.relative_to(self._root)  # without symbolic links
        return path

    def _read(self, cell: str) -> bytes:
        try:
            return read_photo(self._path(cell), self._within)
        except ImageError as error:
            if error.fault not in _NOT_THERE:
                raise
            for name in other_spellings(cell):
                try:
                    return read_photo(self._path(name), self._within)
                except ImageError as other:
                    if other.fault not in _NOT_THERE:
                        raise
            if hint := self.hint(cell):
                raise ImageError(str(error).replace("check the path", hint), error.fault) from error
            raise

    def name(self, cell: str) -> str:
        """The first spelling of a path that exists on disk, otherwise ``cell``."""
        names = list(other_spellings(cell))
        return cell if not names or self._is_there(cell) else next(filter(self._is_there, names), cell)

    def hint(self, cell: str) -> str:
        """Advice for a missing file with an unusual path, or an empty text."""
        path = self._path(cell)
        host = _HOST.match(cell)
        is_odd = _WINDOWS_PATH.match(cell) or host or path.suffix.lower() not in IMAGE_SUFFIXES
        if not is_odd or self._is_there(cell):
            return ""
        if _WINDOWS_PATH.match(cell):
            return "this is a Windows path; write the path relative to the folder --image-root"
        if _LIKE_BASE64.match(cell):
            return "if this is a photo in base64, write data:;base64, before it"
        if host:
            return f"{('' if host[1] else 'check the path; ')}if this is a URL, write https:// before it"
        ending = next((ending for ending in _ENDINGS if self._is_there(cell + ending)), None)
        return f"{path.name[-SHOWN:]}{ending} exists, so pass --image-suffix {ending}" if ending else ""

    def _is_there(self, cell: str) -> bool:
        path = self._path(cell)
        is_ours = not self._within or (".." not in path.parts and path.is_relative_to(self._within))
        return is_ours and os.path.exists(path)  # noqa: PTH110 - Path.exists raises errors

    def url(self, cell: str | None) -> str | None:
        """The URL of a cell's photo. None if the photo is on disk or in the cell itself."""
        if not cell or (self._base is None and ":" not in cell and "//" not in cell):
            return None
        try:
            place = self.place(cell)
        except ImageError:
            return None
        return place.text if isinstance(place, Target) else None


def decode_data_uri(uri: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Decode a ``data:`` URI (base64 or percent-encoded), or base64 text without a prefix.

    Ignores the media type.

    Raises ImageError.
    """
    head, comma, body = uri.strip().partition(",")
    if not comma and ":" not in head:
        head, body = ";base64", head
    elif not comma:
        raise _malformed(uri, "a comma before the data")
    is_base64 = head.lower().endswith(";base64")
    least = len(body) - 2 * body.count("%")  # minimum size, checked before decoding
    if is_base64:
        least -= sum(map(body.count, _BLANKS.decode()))
    _check_bytes(least // 4 * 3 - 2 if is_base64 else least, max_bytes)
    if not body.isascii():
        raise _malformed(uri, "ASCII")
    if STRAY_PERCENT.search(body):
        raise _malformed(uri, "two hexadecimal digits after each %")
    data = unquote_to_bytes(body)
    if is_base64:
        try:
            data = binascii.a2b_base64(data.translate(None, _BLANKS), strict_mode=True)
        except binascii.Error as error:
            raise _malformed(uri, "base64") from error
    _check_bytes(len(data), max_bytes)
    return data


def _malformed(uri: str, expected: str) -> ImageError:
    msg = f"Expected {expected} in a data URI, got {uri[:60]!r}…; correct the URI, or use a path or a URL."
    return ImageError(msg, ImageFault.REFUSED)


def _check_bytes(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        msg = f"Expected at most {max_bytes:,} bytes in a data URI, got more; save a smaller copy."
        raise ImageError(msg, ImageFault.TOO_LARGE)
