"""Paths and URLs of catalogues and photos, as text: tells them apart, checks URLs, and names their parts."""

import re
from pathlib import PurePosixPath
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from models.errors import InputError

S3_SCHEME: Final = "s3://"
SCHEMES: Final = (S3_SCHEME, "http://", "https://")
ELSEWHERE: Final = r"(?i)^([a-z][a-z0-9+.-]*://|data:)"
"""The beginning of cells that are not paths: URLs of any scheme, and data URIs."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CELL_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_ALWAYS_URLS: Final = frozenset({"http", "https", "s3", "data", "file", "ftp"})


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
    """A URL that we can fetch, its scheme in small letters.

    Raises:
        InputError: its scheme is another, or its host, port or bucket is not a valid one.
    """
    scheme, _, rest = url.partition("://")
    known = f"{scheme.lower()}://{rest}"
    if not known.startswith(SCHEMES):
        msg = f"Expected a path, or an s3:// or http(s):// URL, got {shown(url)}."
        raise InputError(msg)
    if not _has_host(known):
        what = "name of a bucket" if known.startswith(S3_SCHEME) else "host, and a port from 1 to 65535 if any,"
        msg = f"Expected the {what} in {shown(known)}; correct the URL."
        raise InputError(msg)
    return known


def checked_root(url: str) -> str:
    """A URL as an image root, without a slash at its end.

    Raises:
        InputError: as in :func:`checked_url`, or it holds more than a place, such as a password: it would stand in
            ``job.json``.
    """
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


def _has_host(url: str) -> bool:
    if url.startswith(S3_SCHEME):
        bucket = url.removeprefix(S3_SCHEME).partition("/")[0]
        return bool(bucket) and "@" not in bucket and not _CONTROL.search(url)
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not _CONTROL.search(url)
    except ValueError:  # no such port, or an IPv6 address whose bracket does not close
        return False


def scheme_of(cell: str) -> str | None:
    """A cell's scheme in small letters; None if it is a path."""
    if ":" not in cell:
        return None
    found = _CELL_SCHEME.match(cell)
    if found and (found[2] or found[1].lower() in _ALWAYS_URLS):
        return found[1].lower()
    return cell.partition("://")[0].strip() or None if "://" in cell else None
