"""Paths and URLs of catalogues and photos, as text: tells them apart, checks them, and takes them apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import PurePosixPath
from typing import Final, Literal
from urllib.parse import quote, unquote

import pyarrow as pa

from models.errors import ImageError, ImageFault, InputError
from models.text import without_secrets

S3_SCHEME: Final = "s3://"
SCHEMES: Final = (S3_SCHEME, "http://", "https://")
ELSEWHERE: Final = r"(?i)^([a-z][a-z0-9+.-]*://|data:)"
"""The beginning of cells that are not paths: URLs of any scheme, and data URIs."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CELL_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_ALWAYS_URLS: Final = frozenset({"http", "https", "s3", "data", "file", "ftp"})
_MAX_URL: Final = 8000
"""Characters; hosts refuse longer ones."""
AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s\x00-\x1f\x7f\[\]@:/?#\\%<>^`{|}\"]+))(?::(\d{1,5}))?")
_PARTS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)", re.IGNORECASE)
_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SENDABLE: Final = re.compile(r"(?:[!$&-;=?-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})*")
_SAFE: Final = "!$&'()*+,-./:;=?@[]_~"
STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LONGEST_HOST: Final = 253
_LAST_PORT: Final = 65535
_NUMERIC: Final = re.compile(r"\d+|0[xX][0-9A-Fa-f]*")
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


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


def is_url(place: str) -> bool:
    """Whether a place is given as a URL, of whatever scheme, and not as a path."""
    return _SCHEME.match(place) is not None


def is_elsewhere(cell: str) -> bool:
    """Whether the cell of a catalogue names a URL or holds the photo itself, and so is no path on a disk."""
    return re.match(ELSEWHERE, cell) is not None


def cell_texts(
    column: pa.Array | pa.ChunkedArray, errors: Literal["backslashreplace", "surrogateescape"] = "backslashreplace"
) -> list[str | None]:
    """The cells of an image column, which Parquet may fill with any bytes; ``errors`` is as in ``bytes.decode``."""
    text = column.cast(pa.string())
    try:
        cells: list[str | None] = text.to_pylist()
    except UnicodeDecodeError:
        cells = [cell if cell is None else cell.decode(errors=errors) for cell in text.cast(pa.binary()).to_pylist()]
    return cells


def checked_url(url: str) -> str:
    """A URL that we can fetch, its scheme in small letters; may raise InputError."""
    scheme, _, rest = url.partition("://")
    known = f"{scheme.lower()}://{rest}"
    if not known.startswith(SCHEMES):
        msg = f"Expected a path, or an s3:// or http(s):// URL, got {shown(url)}."
        raise InputError(msg)
    place = known.rstrip("/") + "/x" if known.startswith(S3_SCHEME) else shown(known)  # a bucket alone has no key
    try:
        parse_url(place)
    except ImageError as error:
        msg = f"Expected a URL with a valid host or bucket, got {shown(known)}; correct it."
        raise InputError(msg) from error
    return known


def checked_root(url: str) -> str:
    """A URL as an image root, without a slash at its end; may raise InputError."""
    root = checked_url(url).rstrip("/")
    if root != shown(root):
        msg = f"Expected a URL without user, password, ? and # as --image-root, as in {shown(root)}."
        raise InputError(msg)
    return root


def shown(url: str) -> str:
    """A URL that anybody may read: without user, password, query (which may hold a signature) and fragment."""
    if url.startswith(S3_SCHEME):
        bucket, slash, key = url.removeprefix(S3_SCHEME).partition("/")
        return f"{S3_SCHEME}{bucket.rpartition('@')[2]}{slash}{key}"
    scheme, _, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def readable(cell: str) -> str:
    """A cell for people: a URL as it is sent, without user, password, query and fragment, which may hold secrets."""
    text = cell.strip()
    if "://" not in text and not text.startswith("//"):
        return cell
    return without_secrets(re.sub(r"\s", "%20", text))


def folder_of(url: str) -> str:
    """The URL of the folder that a file's URL is in, without a slash at its end."""
    return shown(url).rpartition("/")[0]


def suffix_of(url: str) -> str:
    """The ending of a URL's path, in small letters; empty if it has none."""
    return _path(url).suffix.lower()


def stem_of(url: str) -> str:
    """The name of a URL's last part, without its ending; its host or bucket if there is no path."""
    return _path(url).stem or shown(url).partition("://")[2].partition("/")[0]


def _path(url: str) -> PurePosixPath:
    path = shown(url).partition("://")[2].partition("/")[2]
    return PurePosixPath(path if url.startswith(S3_SCHEME) else unquote(path))


def scheme_of(cell: str) -> str | None:
    """A cell's scheme in small letters; None if it is a path."""
    if ":" not in cell:
        return None
    match = _CELL_SCHEME.match(cell)
    if match and (match[2] or match[1].lower() in _ALWAYS_URLS):
        return match[1].lower()
    return cell.partition("://")[0].strip() or None if "://" in cell else None


def parse_url(text: str) -> Target:
    """Take a URL apart; may raise ImageError."""
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
    match = AUTHORITY.fullmatch(authority)
    host = match and canonical_host(match)
    if not match or not host:
        raise _refused_url(text, "a URL whose host is a name, or an address like 192.0.2.7 or [2001:db8::7]")
    port = int(match[3]) if match[3] else _PORTS[scheme]
    if not 0 < port <= _LAST_PORT:
        raise _refused_url(text, "a URL with a port from 1 to 65535")
    place = place_of(host, port)
    if port == _PORTS[scheme]:
        place = place.removesuffix(f":{port}")
    path = tail if tail.startswith("/") else f"/{tail}"
    return Target(f"{scheme}://{place}{_quoted(path)}", scheme, host, port)


def joined(base: str, cell: str) -> str:
    """A path under a URL; for HTTP it is percent-quoted, except for what is quoted already."""
    path = cell.lstrip("/")
    return f"{base}/{path if base.startswith('s3://') else _quoted(path.replace('#', '%23'))}"


def _quoted(path: str) -> str:
    if _SENDABLE.fullmatch(path):
        return path
    return quote(STRAY_PERCENT.sub("%25", path), safe=_SAFE + "%")


def canonical_host(match: re.Match[str]) -> str | None:
    """The host of an :data:`AUTHORITY`, in small letters and ASCII; None if it is not a valid one.

    Numbers that only some programs read as an address (decimal, octal, hex, short forms) are not valid.
    """
    try:
        if match[1]:
            return str(IPv6Address(match[1]))
        host = match[2].lower()
        if not host.isascii():
            import idna

            host = idna.encode(match[2], uts46=True).decode().lower()
        if len(host) > _LONGEST_HOST or not _LABELS.fullmatch(host):
            return None
        return str(IPv4Address(host)) if _NUMERIC.fullmatch(host.rstrip(".").rpartition(".")[2]) else host
    except (UnicodeError, AddressValueError):  # IDNAError is among the former
        return None


def allowed_place(text: str) -> str:
    """The ``HOST:PORT`` of an ``--allow-host``, its host as :func:`canonical_host` writes it; may raise InputError."""
    match = AUTHORITY.fullmatch(text)
    host = match and canonical_host(match)
    if not match or not host or not match[3] or not 0 < int(match[3]) <= _LAST_PORT:
        msg = (
            "Expected --allow-host HOST:PORT with one exact host, such as photos.internal:8080 or [fd00::7]:443, "
            f"got {text!r}."
        )
        raise InputError(msg)
    return place_of(host, int(match[3]))


def check_allow_hosts(hosts: Sequence[str]) -> None:
    """Refuse what is not ``HOST:PORT``; see :func:`allowed_place`."""
    for host in hosts:
        allowed_place(host)


def _refused_url(text: str, expected: str) -> ImageError:
    msg = f"Expected {expected}, got {readable(text)[:200]!r}; correct it, or give a path."
    return ImageError(msg, ImageFault.REFUSED)
