"""A URL taken apart, in one place, so that nothing is checked as one host and asked as another."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote

from models.errors import ImageError, ImageFault

__all__ = ["AUTHORITY", "MAX_URL", "Scheme", "Target", "canonical_host", "joined", "parse_url", "scheme_of"]

MAX_URL: Final = 8000
"""Characters; hosts refuse longer ones."""


class Scheme(StrEnum):
    """How a photo is asked for."""

    HTTP = "http"
    HTTPS = "https"
    S3 = "s3"


@dataclass(frozen=True)
class Target:
    """Where a photo is asked for.

    Attributes:
        text: the URL as it is sent.
        scheme: how.
        host: a name, an IPv4 address, or an IPv6 address without its brackets; of S3 the bucket.
        port: of the host; 0 of a bucket.
    """

    text: str
    scheme: Scheme
    host: str
    port: int

    @property
    def place(self) -> str:
        """``HOST:PORT``, or ``s3://BUCKET``: those with the same place wait in one queue."""
        if self.scheme is Scheme.S3:
            return f"s3://{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def key(self) -> str:
        """Of an object in S3."""
        return self.text.removeprefix(f"s3://{self.host}/")


AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s\x00-\x1f\x7f\[\]@:/?#\\%<>^`{|}\"]+))(?::(\d{1,5}))?")
_PORTS: Final = {Scheme.HTTP: 80, Scheme.HTTPS: 443}
_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_ALWAYS_URLS: Final = frozenset({"http", "https", "s3", "data", "file", "ftp"})
_PARTS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)", re.IGNORECASE)
_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SENDABLE: Final = re.compile(r"(?:[!$&-;=?-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})*")
_SAFE: Final = "!$&'()*+,-./:;=?@[]_~"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LONGEST_HOST: Final = 253
_LAST_PORT: Final = 65535
_NUMERIC: Final = re.compile(r"\d+|0[xX][0-9A-Fa-f]*")
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


def scheme_of(cell: str) -> str | None:
    """A cell's scheme in small letters, if it is a URL and no path."""
    if ":" not in cell:
        return None
    found = _SCHEME.match(cell)
    if found and (found[2] or found[1].lower() in _ALWAYS_URLS):
        return found[1].lower()
    return cell.partition("://")[0].strip() or None if "://" in cell else None


def parse_url(text: str) -> Target:
    """Take a URL apart.

    Raises:
        ImageError: ``refused``: it is none of ``http``, ``https`` and ``s3``, or malformed.
    """
    text = text.strip()
    parts = _PARTS.match(text)
    if len(text) > MAX_URL or _UNSENDABLE.search(text) or not parts:
        raise _refused(text, f"a URL of at most {MAX_URL:,} printable characters")
    try:
        scheme = Scheme(parts[1].lower())
    except ValueError:
        raise _refused(text, "http, https or s3") from None
    return _in_bucket(text) if scheme is Scheme.S3 else _on_host(text, scheme, parts[2], parts[3])


def joined(base: str, cell: str) -> str:
    """A path under a URL; of HTTP with all quoted that must be, but not what is quoted already."""
    path = cell.lstrip("/")
    return f"{base}/{path if base.startswith('s3://') else _quoted(path.replace('#', '%23'))}"


def canonical_host(found: re.Match[str]) -> str | None:
    """The host of an :data:`AUTHORITY`, in small letters and ASCII; none where it is not one.

    Numbers that only some programs take for an address (decimal, octal, hex, short forms) are no hosts.
    """
    if found[1]:
        return _ipv6(found[1])
    host = found[2].lower() if found[2].isascii() else _in_ascii(found[2])
    if host is None or len(host) > _LONGEST_HOST or not _LABELS.fullmatch(host):
        return None
    if _NUMERIC.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return _ipv4(host)
    return host


def _in_bucket(text: str) -> Target:
    bucket, _, key = text[len("s3://") :].partition("/")
    if not _BUCKET.fullmatch(bucket) or not key:
        raise _refused(text, "s3://bucket/key")
    return Target(f"s3://{bucket}/{key}", Scheme.S3, bucket, 0)


def _on_host(text: str, scheme: Scheme, authority: str, tail: str) -> Target:
    if "@" in authority:
        raise _refused(text, "a URL without a user's name or password")
    found = AUTHORITY.fullmatch(authority)
    host = found and canonical_host(found)
    if not found or not host:
        raise _refused(text, "a URL whose host is a name, or an address like 192.0.2.7 or [2001:db8::7]")
    port = int(found[3]) if found[3] else _PORTS[scheme]
    if not 0 < port <= _LAST_PORT:
        raise _refused(text, "a URL with a port from 1 to 65535")
    shown = f"[{host}]" if ":" in host else host
    where = shown if port == _PORTS[scheme] else f"{shown}:{port}"
    path = tail if tail.startswith("/") else f"/{tail}"
    return Target(f"{scheme}://{where}{_quoted(path)}", scheme, host, port)


def _quoted(path: str) -> str:
    if _SENDABLE.fullmatch(path):
        return path
    return quote(_STRAY_PERCENT.sub("%25", path), safe=_SAFE + "%")


def _in_ascii(host: str) -> str | None:
    import idna

    try:
        return idna.encode(host, uts46=True).decode().lower()
    except UnicodeError:  # IDNAError among them
        return None


def _ipv4(host: str) -> str | None:
    try:
        return str(IPv4Address(host))
    except AddressValueError:
        return None


def _ipv6(host: str) -> str | None:
    try:
        return str(IPv6Address(host))
    except AddressValueError:
        return None


def _refused(text: str, expected: str) -> ImageError:
    msg = f"Expected {expected}, got {text[:200]!r}; correct it, or give a path."
    return ImageError(msg, ImageFault.REFUSED)
