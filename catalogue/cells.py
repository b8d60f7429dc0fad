"""What a cell means: a photo on disk, at a URL (which only this module parses), or in a data URI."""

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from catalogue.photo import fails_its_photo
from catalogue.urls import scheme_of
from models.errors import ImageError, ImageFault, JobError
from models.photo import read_photo
from models.preprocess import MAX_BYTES

_MAX_URL: Final = 8000
"""Characters; hosts refuse longer ones."""
AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s\x00-\x1f\x7f\[\]@:/?#\\%<>^`{|}\"]+))(?::(\d{1,5}))?")
_PARTS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)", re.IGNORECASE)
_UNPAIRED: Final = re.compile(r"[\ud800-\udfff]")
_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SENDABLE: Final = re.compile(r"(?:[!$&-;=?-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})*")
_SAFE: Final = "!$&'()*+,-./:;=?@[]_~"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LONGEST_HOST: Final = 253
_LAST_PORT: Final = 65535
_NUMERIC: Final = re.compile(r"\d+|0[xX][0-9A-Fa-f]*")
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_REMOTE: Final = frozenset({"http", "https", "s3"})


class Scheme(StrEnum):
    """The protocol by which a photo is fetched."""

    HTTP = "http"
    HTTPS = "https"
    S3 = "s3"


_PORTS: Final = {Scheme.HTTP: 80, Scheme.HTTPS: 443}


@dataclass(frozen=True)
class Target:
    """Where a photo is fetched from.

    Attributes:
        text: the URL as it is sent.
        host: a name, an IPv4 address, or an IPv6 address without its brackets; of S3 the bucket.
        port: of the host; 0 of a bucket.
    """

    text: str
    scheme: Scheme
    host: str
    port: int

    @property
    def place(self) -> str:
        """``HOST:PORT``, or ``s3://BUCKET``: downloads from one place share a queue."""
        if self.scheme is Scheme.S3:
            return f"s3://{self.host}"
        return place_of(self.host, self.port)

    @property
    def key(self) -> str:
        """The key of an object in S3."""
        return self.text.removeprefix(f"s3://{self.host}/")


def place_of(host: str, port: int) -> str:
    """``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


ReadPhoto = Callable[[], bytes]
"""Gives the bytes of a photo on this machine; raises ``ImageError``."""


class Cells:
    """The cells of a catalogue whose relative paths start at ``root``; ``confined``: no photo may lie elsewhere.

    Raises:
        JobError: paths start at a URL that nothing can be joined to.
    """

    def __init__(self, root: str, *, confined: bool = False) -> None:
        self._base = root.rstrip("/") if scheme_of(root) in _REMOTE else None
        if self._base and {"?", "#"} & set(self._base):
            msg = f"Expected an --image-root that paths can be joined to, got {root}; it must end before ? and #."
            raise JobError(msg)
        self._root = Path(root)
        self._within = self._root.resolve() if confined else None

    def place(self, cell: str | None) -> ReadPhoto | Target:
        """Where a cell's photo is.

        Raises:
            ImageError: ``missing`` (the cell is empty) or ``refused`` (a URL that is malformed, or of another scheme,
                or bytes that are no text).
        """
        if not cell:
            msg = "Expected the path or the URL of a photo, the cell is empty."
            raise ImageError(msg, ImageFault.MISSING)
        with fails_its_photo(ImageFault.REFUSED, repr(cell[:200])):
            return self._place(cell)

    def _place(self, cell: str) -> ReadPhoto | Target:
        if not cell.isascii() and _UNPAIRED.search(cell):  # bytes that were not UTF-8 stand in it as lone surrogates
            came = cell[:200].encode(errors="surrogateescape")
            msg = f"Expected the path or the URL of a photo in UTF-8, got {came!r}; save the catalogue in UTF-8."
            raise ImageError(msg, ImageFault.REFUSED)
        scheme = scheme_of(cell)
        if scheme is None and self._base is None:
            path = self._root / cell
            if self._within and path.is_relative_to(self._root):
                path = self._within / path.relative_to(self._root)  # the folder as the system calls it
            return partial(read_photo, path, self._within)
        if scheme is None or scheme in _REMOTE:
            return parse_url(cell if scheme else joined(self._base or "", cell))
        if scheme == "data":
            return partial(photo_in, cell)
        msg = f"Expected a path, or a URL of http, https, s3 or data, got {cell[:200]!r} of {scheme[:40]}; copy it."
        raise ImageError(msg, ImageFault.REFUSED)

    def url(self, cell: str | None) -> str | None:
        """The URL that a cell's photo is fetched from; None if it is not fetched over a network, or not at all."""
        if not cell or (self._base is None and ":" not in cell):
            return None
        try:
            place = self.place(cell)
        except ImageError:
            return None
        return place.text if isinstance(place, Target) else None


def parse_url(text: str) -> Target:
    """Take a URL apart.

    Raises:
        ImageError: ``refused``: its scheme is not ``http``, ``https`` or ``s3``, or it is malformed.
    """
    text = text.strip()
    parts = _PARTS.match(text)
    if len(text) > _MAX_URL or _UNSENDABLE.search(text) or not parts:
        raise _refused_url(text, f"a URL of at most {_MAX_URL:,} printable characters")
    try:
        scheme = Scheme(parts[1].lower())
    except ValueError:
        raise _refused_url(text, "http, https or s3") from None
    return _in_bucket(text) if scheme is Scheme.S3 else _on_host(text, scheme, parts[2], parts[3])


def _in_bucket(text: str) -> Target:
    bucket, _, key = text[len("s3://") :].partition("/")
    if not _BUCKET.fullmatch(bucket) or not key:
        raise _refused_url(text, "s3://bucket/key")
    return Target(f"s3://{bucket}/{key}", Scheme.S3, bucket, 0)


def _on_host(text: str, scheme: Scheme, authority: str, tail: str) -> Target:
    if "@" in authority:
        raise _refused_url(text, "a URL without a user's name or password")
    found = AUTHORITY.fullmatch(authority)
    host = found and canonical_host(found)
    if not found or not host:
        raise _refused_url(text, "a URL whose host is a name, or an address like 192.0.2.7 or [2001:db8::7]")
    port = int(found[3]) if found[3] else _PORTS[scheme]
    if not 0 < port <= _LAST_PORT:
        raise _refused_url(text, "a URL with a port from 1 to 65535")
    shown = f"[{host}]" if ":" in host else host
    where = shown if port == _PORTS[scheme] else f"{shown}:{port}"
    path = tail if tail.startswith("/") else f"/{tail}"
    return Target(f"{scheme}://{where}{_quoted(path)}", scheme, host, port)


def joined(base: str, cell: str) -> str:
    """A path under a URL; for HTTP it is percent-quoted, except for what is quoted already."""
    path = cell.lstrip("/")
    return f"{base}/{path if base.startswith('s3://') else _quoted(path.replace('#', '%23'))}"


def _quoted(path: str) -> str:
    if _SENDABLE.fullmatch(path):
        return path
    return quote(_STRAY_PERCENT.sub("%25", path), safe=_SAFE + "%")


def canonical_host(found: re.Match[str]) -> str | None:
    """The host of an :data:`AUTHORITY`, in small letters and ASCII; None if it is not a valid one.

    Numbers that only some programs read as an address (decimal, octal, hex, short forms) are not valid.
    """
    try:
        if found[1]:
            return str(IPv6Address(found[1]))
        host = found[2].lower()
        if not host.isascii():
            import idna

            host = idna.encode(found[2], uts46=True).decode().lower()
        if len(host) > _LONGEST_HOST or not _LABELS.fullmatch(host):
            return None
        return str(IPv4Address(host)) if _NUMERIC.fullmatch(host.rstrip(".").rpartition(".")[2]) else host
    except (UnicodeError, AddressValueError):  # IDNAError is among the former
        return None


def _refused_url(text: str, expected: str) -> ImageError:
    msg = f"Expected {expected}, got {text[:200]!r}; correct it, or give a path."
    return ImageError(msg, ImageFault.REFUSED)


def photo_in(uri: str, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes that a ``data:`` URI holds, in base64 or percent-quoted; the media type that it claims is ignored.

    Raises:
        ImageError: ``refused`` (malformed) or ``too_large``.
    """
    head, comma, body = uri.strip().partition(",")
    if not comma:
        raise _malformed(uri, "a comma before the data")
    is_base64 = head.lower().endswith(";base64")
    least = len(body) - 2 * body.count("%")  # bytes that there must be, before any is copied
    _check_size(least // 4 * 3 - 2 if is_base64 else least, max_bytes)
    if not body.isascii():
        raise _malformed(uri, "ASCII")
    if _STRAY_PERCENT.search(body):
        raise _malformed(uri, "two hexadecimal digits after each %")
    data = unquote_to_bytes(body)
    if is_base64:
        try:
            data = binascii.a2b_base64(data, strict_mode=True)
        except binascii.Error as error:
            raise _malformed(uri, "base64") from error
    _check_size(len(data), max_bytes)
    return data


def _malformed(uri: str, expected: str) -> ImageError:
    msg = f"Expected {expected} in a data URI, got {uri[:60]!r}…; write it again, or give a path or a URL."
    return ImageError(msg, ImageFault.REFUSED)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        msg = f"Expected at most {max_bytes:,} bytes in a data URI, got more; save a smaller copy."
        raise ImageError(msg, ImageFault.TOO_LARGE)
