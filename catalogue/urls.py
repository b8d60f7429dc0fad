"""Parses and checks the cells of image columns: paths, URLs, data URIs."""

import json
import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import PurePosixPath
from typing import Final, Literal
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc

from models.errors import ImageError, ImageFault, InputError
from models.preprocess import IMAGE_SUFFIXES
from models.text import without_secrets

SHOWN: Final = 100
"""Maximum characters of a cell in a message."""
S3_SCHEME: Final = "s3://"
SCHEMES: Final = (S3_SCHEME, "http://", "https://")
_NO_SCHEME: Final = r"//[^/\s.][^/\s]{0,300}[.:\]][^/\s]{0,300}/"
_BASE64: Final = r"(?:/9j/|iVBORw0KGgo|UklGR|R0lGOD)[A-Za-z0-9+/=\s]{60}"
"""The beginning of a JPEG, PNG, WebP or GIF in base64."""
URL_OR_DATA: Final = rf"^\s*(?:(?i:[a-z][a-z0-9+.-]*://|https?:\\|data:)|{_NO_SCHEME}|{_BASE64})"
"""Matches a cell that begins with a URL, a data URI or plain base64."""
_NEXT_URL: Final = re.compile(r"[\s,;|](?:(?i:https?|s3):)?//[^/\s]")
_NEXT_URL_OF_A_QUERY: Final = re.compile(r"\s(?:(?i:https?|s3):)?//[^/\s]")
_NEXT_PATH: Final = re.compile(r"\.(?i:jpe?g|png|webp|gif|bmp|tiff?|avif)\s*[,;|\r\n]")
_SEVERAL: Final = rf"{_NEXT_URL.pattern}|{_NEXT_PATH.pattern}|^\s*[\[{{\"]"
"""Matches a cell with several photos or with JSON."""
_BETWEEN: Final = " \t\r\n,;|"
_PHOTO_FIELDS: Final = ("bytes", "url", "src", "path")
"""Fields of a record that may contain the photo, likeliest first."""
_LONGEST_PATH: Final = 4096
_LONGEST_LIST: Final = 100_000

_BARE: Final = re.compile(rf"\s*(?:({_NO_SCHEME})|{_BASE64})")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CELL_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_ALWAYS_URLS: Final = frozenset({"http", "https", "s3", "data", "file", "ftp"})
_MAX_URL: Final = 8000
"""The longest URL, in characters. Hosts refuse longer URLs."""
AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s\x00-\x1f\x7f\[\]@:/?#\\%<>^`{|}\"]+))(?::(\d{1,5}))?")
_PARTS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)", re.IGNORECASE)
_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SENDABLE: Final = re.compile(r"(?:[!$&-;=?-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})*")
_SAFE: Final = "!$&'()*+,-./:;=?@[]_~"
STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LONGEST_HOST: Final = 253
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[ -~\t]{1,4000}")
_OWN_HEADERS: Final = re.compile(
    r"(?i)host|te|trailer|connection|keep-alive|upgrade|expect|range|accept-encoding|transfer-encoding|(content|if|proxy)-.*"
)
_LAST_PORT: Final = 65535
_NUMERIC: Final = re.compile(r"\d+|0[xX][0-9A-Fa-f]*")
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


class Scheme(StrEnum):
    """The protocol of a photo's URL."""

    HTTP = "http"
    HTTPS = "https"
    S3 = "s3"


_PORTS: Final = {Scheme.HTTP: 80, Scheme.HTTPS: 443}


@dataclass(frozen=True)
class Target:
    """A photo's parsed URL.

    Attributes:
        text: the URL to send.
        host: a host name, an IP address without brackets, or an S3 bucket.
        port: 0 for S3.
    """

    text: str
    scheme: Scheme
    host: str
    port: int

    @property
    def place(self) -> str:
        """``HOST:PORT``, or ``s3://BUCKET``. URLs with the same ``place`` share a download queue."""
        if self.scheme is Scheme.S3:
            return f"s3://{self.host}"
        return place_of(self.host, self.port)

    @property
    def key(self) -> str:
        """The key of an object in S3."""
        return self.text.removeprefix(f"s3://{self.host}/")


def place_of(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_url(place: str) -> bool:
    """Whether a text is a URL of any scheme, not a path."""
    return _SCHEME.match(place) is not None


def is_url_or_data(cell: str) -> bool:
    """Whether a cell is a URL, a data URI or base64, not a path."""
    return re.match(URL_OR_DATA, cell) is not None


def cell_texts(
    column: pa.Array | pa.ChunkedArray, errors: Literal["backslashreplace", "surrogateescape"] = "backslashreplace"
) -> list[str | None]:
    """The cells of an image column. Cells that are not UTF-8 are decoded with ``errors``."""
    text = column.cast(pa.string())
    try:
        cells: list[str | None] = text.to_pylist()
    except UnicodeDecodeError:
        cells = [cell if cell is None else cell.decode(errors=errors) for cell in text.cast(pa.binary()).to_pylist()]
    return cells


def photo_cells(
    column: pa.Array | pa.ChunkedArray,
    suffix: str | None = None,
    errors: Literal["backslashreplace", "surrogateescape"] = "backslashreplace",
) -> list[str | None]:
    """The first photo of each row, as a path, URL or data URI.

    Ambiguous cells stay unchanged: ``a.jpg, b.jpg`` may be a single path. ``suffix`` is added to paths without an
    image extension.
    """
    cells = _single_cells(column, errors)
    if _is_text(column.type) and pc.any(_maybe_several(column)).as_py():
        cells = [cell if not cell or len(split_paths(cell)) > 1 else split_photos(cell)[0] for cell in cells]
    return [cell and _with_suffix(cell, suffix) for cell in cells] if suffix else cells


def _single_cells(
    column: pa.Array | pa.ChunkedArray, errors: Literal["backslashreplace", "surrogateescape"]
) -> list[str | None]:
    kind = column.type
    if _is_list(kind):
        filled = pc.if_else(pc.greater(pc.list_value_length(column), 0), column, pa.scalar(None, kind))
        cells = _single_cells(pc.list_element(filled, 0), errors)
        if empty := [row for row, cell in enumerate(cells) if not cell]:
            rest = column.take(pa.array(empty))
            rows, others = pc.list_parent_indices(rest).to_pylist(), _single_cells(pc.list_flatten(rest), errors)
            for row, cell in zip(rows, others, strict=True):
                cells[empty[row]] = cells[empty[row]] or cell
        return cells
    if pa.types.is_struct(kind):
        names = [name for name in _PHOTO_FIELDS if kind.get_field_index(name) >= 0]
        parts = (_single_cells(pc.struct_field(column, name), errors) for name in names)
        return [next(filter(None, cells), None) for cells in zip(*parts, strict=True)]
    if is_bytes(kind):
        return [None if data is None else _bytes_cell(data) for data in column.to_pylist()]
    return cell_texts(column, errors)


def _bytes_cell(data: bytes) -> str:
    if len(data) <= _LONGEST_PATH and b"\0" not in data:
        with suppress(UnicodeDecodeError):
            return data.decode()
    return f"data:;base64,{b64encode(data).decode()}"


def can_name_photos(kind: pa.DataType) -> bool:
    """Whether cells of this Arrow type may be photos."""
    if _is_list(kind):
        return can_name_photos(kind.value_type)
    if pa.types.is_struct(kind):
        return any(field.name in _PHOTO_FIELDS and can_name_photos(field.type) for field in kind)
    return _is_text(kind) or is_bytes(kind)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether cells of this Arrow type are bytes."""
    types = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(is_type(kind) for is_type in types)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    types = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_type(kind) for is_type in types)


def _maybe_several(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.match_substring_regex(column.cast(pa.string()).cast(pa.binary()), _SEVERAL)


def rows_with_several(column: pa.Array) -> int:
    """The number of rows with more than one photo in the image column."""
    if _is_list(column.type):
        rows = pc.list_parent_indices(column).filter(pc.list_flatten(column).is_valid())
        return int(pc.sum(pc.greater(rows.value_counts().field("counts"), 1)).as_py() or 0)
    if not _is_text(column.type):
        return 0
    cells = cell_texts(column.filter(_maybe_several(column)))
    return sum(len(split_paths(cell) or split_photos(cell)) > 1 for cell in cells if cell)


def split_photos(cell: str) -> list[str]:
    """The first photo of a cell, then the rest of the text.

    The cell may be a JSON list. Otherwise, ``,``, ``;``, ``|`` or whitespace separates the photos.

    A URL with a query ends only at whitespace.
    """
    if scheme_of(cell) == "data":
        return [cell]
    text = cell.strip()
    if text.startswith(("[", "{", '"')) and len(text) <= _LONGEST_LIST:
        for as_json in (text, text.replace("'", '"')):  # a Python list has single quotes
            with suppress(ValueError, RecursionError):
                value = json.loads(as_json)
                return list(filter(None, _named(value))) or [cell if value else ""]
    url = _NEXT_URL.search(text)
    if url and "?" in text[: url.start()]:
        url = _NEXT_URL_OF_A_QUERY.search(text, url.start())
    if url and is_url_or_data(text):
        return [text[: url.start()].rstrip(_BETWEEN), text[url.start() + 1 :]]
    return split_paths(text) or [cell]


def split_paths(cell: str) -> list[str]:
    """The first path of a cell, then the rest of the text. Empty if the cell is not a list of image paths."""
    text = cell.strip()
    path = _NEXT_PATH.search(text)
    rest = text[path.end() :].strip(_BETWEEN) if path else ""
    if not path or (rest and (is_url_or_data(text) or PurePosixPath(rest).suffix.lower() not in IMAGE_SUFFIXES)):
        return []
    return [text[: path.end() - 1].rstrip(), *filter(None, [rest])]


def _named(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _named(one)
        case dict():
            yield from _named(next(filter(None, map(value.get, _PHOTO_FIELDS)), None))


def _with_suffix(cell: str, suffix: str) -> str:
    path = cell.strip()
    is_whole = scheme_of(path) or PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES
    return cell if is_whole or not path else path + suffix


def other_spellings(path: str) -> Iterator[str]:
    """Other spellings of a path, to try if no file exists there.

    The spellings differ in spaces, slashes or Unicode form (NFC, NFD). If ``path`` is a list of paths, also yields
    the first.
    """
    plain = path.strip()
    names = [name for one in (plain, *split_paths(plain)[:1]) for name in (one, one.replace("\\", "/"))]
    names += [name.lstrip("/") for name in names]
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD") for name in names if not name.isascii()]
    yield from (name for name in dict.fromkeys([*names, *forms]) if name not in {"", path})


def checked_url(url: str) -> str:
    """The URL with its scheme in lower case. Raises InputError if the URL cannot be downloaded."""
    scheme, _, rest = url.partition("://")
    known = f"{scheme.lower()}://{rest}"
    if not known.startswith(SCHEMES):
        msg = f"Expected a path, or an s3:// or http(s):// URL, got {safe_url(url)}."
        raise InputError(msg)
    place = known.rstrip("/") + "/x" if known.startswith(S3_SCHEME) else safe_url(known)  # parse_url requires a key
    try:
        parse_url(place)
    except ImageError as error:
        msg = f"Expected a URL with a valid host or bucket, got {safe_url(known)}; correct the URL."
        raise InputError(msg) from error
    return known


def checked_root(url: str) -> str:
    """A URL as an image root, without a trailing slash. Raises InputError."""
    root = checked_url(url).rstrip("/")
    if root != safe_url(root):
        msg = f"Expected an --image-root without user, password, query and fragment, such as {safe_url(root)}."
        raise InputError(msg)
    return root


def safe_url(url: str) -> str:
    """Remove user, password, query and fragment from a URL, because they may contain secrets."""
    if url.startswith(S3_SCHEME):
        bucket, slash, key = url.removeprefix(S3_SCHEME).partition("/")
        return f"{S3_SCHEME}{bucket.rpartition('@')[2]}{slash}{key}"
    scheme, _, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def readable(cell: str) -> str:
    """The cell, without the parts of a URL that may contain secrets."""
    text = _slashed(cell.strip())
    if scheme_of(text) == "data":
        return cell
    is_url = "://" in text or text.startswith("//")
    text = without_secrets(re.sub(r"\s", "%20", text)) if is_url else cell
    path, _, query = text.partition("?")
    return f"{path}?…" if "=" in query else text


def folder_of(url: str) -> str:
    """The URL of a file's folder, without a trailing slash."""
    return safe_url(url).rpartition("/")[0]


def suffix_of(url: str) -> str:
    """The extension of a URL's path in lower case, or an empty text."""
    return _path(url).suffix.lower()


def stem_of(url: str) -> str:
    """The last part of a URL's path, without its extension. If the path is empty, returns the host or bucket."""
    return _path(url).stem or safe_url(url).partition("://")[2].partition("/")[0]


def _path(url: str) -> PurePosixPath:
    path = safe_url(url).partition("://")[2].partition("/")[2]
    return PurePosixPath(path if url.startswith(S3_SCHEME) else unquote(path))


def scheme_of(cell: str) -> str | None:
    """A cell's scheme in lower case: ``https`` for ``//host/``, ``data`` for plain base64, None for a path."""
    if bare := _BARE.match(cell):
        return "https" if bare[1] else "data"
    if ":" not in cell:
        return None
    match = _CELL_SCHEME.match(cell)
    if match and (match[2] or match[1].lower() in _ALWAYS_URLS):
        return match[1].lower()
    return cell.partition("://")[0].strip() or None if "://" in cell else None


def parse_url(text: str) -> Target:
    """Parse a URL. Raises ImageError."""
    text = _slashed(text.strip())
    parts = _PARTS.match(text)
    if len(text) > _MAX_URL or _UNSENDABLE.search(text) or not parts:
        raise _refused_url(text, f"a URL of at most {_MAX_URL:,} printable characters")
    try:
        scheme = Scheme(parts[1].lower())
    except ValueError:
        raise _refused_url(text, "http, https or s3") from None
    return _in_bucket(text) if scheme is Scheme.S3 else _on_host(text, scheme, parts[2], parts[3])


def _slashed(text: str) -> str:
    return text.replace("\\", "/") if text[:7].lower().startswith(("http:\\", "https:\\")) else text


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


def join_url(base: str, cell: str) -> str:
    """Join a path to a base URL. For HTTP, backslashes become slashes, and unquoted characters are percent-encoded."""
    if base.startswith(S3_SCHEME):
        return f"{base}/{cell.lstrip('/')}"
    path = cell.strip().replace("\\", "/").lstrip("/")
    return f"{base}/{_quoted(path.replace('#', '%23'))}"


def _quoted(path: str) -> str:
    if _SENDABLE.fullmatch(path):
        return path
    return quote(STRAY_PERCENT.sub("%25", path), safe=_SAFE + "%")


def canonical_host(match: re.Match[str]) -> str | None:
    """The matched host in lower case and ASCII. None if it is invalid.

    Ambiguous numeric addresses (decimal, octal, hex, short forms) are invalid.
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
    except (UnicodeError, AddressValueError):  # IDNAError is a UnicodeError
        return None


def allowed_place(text: str) -> str:
    """Parse a value of ``--allow-host`` into a canonical ``HOST:PORT``. Raises InputError."""
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
    """Raise InputError if a host is not ``HOST:PORT``."""
    for host in hosts:
        allowed_place(host)


def checked_headers(headers: Sequence[str]) -> dict[str, str]:
    """Parse headers, each ``NAME: VALUE``. Raises InputError; the message omits the values."""
    pairs: dict[str, str] = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value.strip()):
            received = f"another value under {name[:40]!r}" if colon else "a text without a colon"
            msg = (
                f"Expected --header 'NAME: VALUE' in ASCII, such as 'User-Agent: shop/1.0', got {received}; "
                "correct the header."
            )
            raise InputError(msg)
        if _OWN_HEADERS.fullmatch(name):
            msg = f"Expected a --header that Hangtag does not set itself, got {name}; leave it out."
            raise InputError(msg)
        if name.lower() in map(str.lower, pairs):
            msg = f"Expected each --header once, got {name} twice; leave one out."
            raise InputError(msg)
        pairs[name] = value.strip()
    return pairs


def _refused_url(text: str, expected: str) -> ImageError:
    msg = f"Expected {expected}, got {readable(text)[:SHOWN]!r}; correct it, or use a path."
    return ImageError(msg, ImageFault.REFUSED)
