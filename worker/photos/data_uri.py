"""A photo that a cell itself holds: a ``data:`` URI (RFC 2397)."""

import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from models.errors import ImageError, ImageFault
from models.preprocess import MAX_BYTES

__all__ = ["photo_in"]

_STRAY_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def photo_in(uri: str, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes that a ``data:`` URI holds, in base64 or percent-quoted; what it says of their kind is not believed.

    Raises:
        ImageError: ``refused`` (malformed) or ``too_large``.
    """
    head, comma, body = uri.strip().partition(",")
    if not comma:
        raise _malformed(uri, "a comma before the data")
    is_base64 = head.lower().endswith(";base64")
    if _least_bytes(body, is_base64=is_base64) > max_bytes:
        raise _too_large(max_bytes)
    try:
        written = body.encode("ascii")
    except UnicodeEncodeError as error:
        raise _malformed(uri, "ASCII") from error
    if _STRAY_PERCENT.search(written):
        raise _malformed(uri, "two hexadecimal digits after each %")
    data = unquote_to_bytes(written)
    if is_base64:
        data = _from_base64(data, uri)
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


def _least_bytes(body: str, *, is_base64: bool) -> int:
    """How many bytes there are in it at least, before any is copied."""
    written = len(body) - 2 * body.count("%")
    return written // 4 * 3 - 2 if is_base64 else written


def _from_base64(data: bytes, uri: str) -> bytes:
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error as error:
        raise _malformed(uri, "base64") from error


def _malformed(uri: str, expected: str) -> ImageError:
    msg = f"Expected {expected} in a data URI, got {uri[:60]!r}…; write it anew, or give a path or a URL."
    return ImageError(msg, ImageFault.REFUSED)


def _too_large(max_bytes: int) -> ImageError:
    msg = f"Expected at most {max_bytes:,} bytes in a data URI, got more; save a smaller copy."
    return ImageError(msg, ImageFault.TOO_LARGE)
