"""Makes text safe to print, forms plurals, and checks names of models and jobs."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters except tab and newline, characters that change the direction of text, and lone surrogates."""
_ESCAPED_BYTES: Final = range(0xDC80, 0xDD00)
"""Surrogates for bytes of a path that are not UTF-8 (PEP 383)."""
_MOST_DIGITS: Final = 18
_FILE_LINK: Final = re.compile(rb'(<a class="file") href="[^"]*"')
_URL: Final = re.compile(r"(?<![^\s:'\"(,;|])//([^/?#\s]*)((?:(?!://|[,;|]//)[^?#\s])*)([?#]\S*)?")
_QUERY: Final = re.compile(r"\?[^?\s]*=\S*")
"""A query, even without a URL before it."""
_MARKS: Final = "'\",;:.?!)]…"
"""Punctuation that does not belong to the URL before it."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def printable(text: str) -> str:
    r"""The text with escapes for control characters, such as ``\x1b``, so that a terminal does not obey them."""
    return _UNPRINTABLE.sub(_escape, text)


def without_secrets(text: str) -> str:
    """Remove credentials, queries and fragments from URLs, because these may be secrets.

    ``?…`` marks a removed query. A password with a ``/`` or ``?`` is removed as well.
    """
    return _QUERY.sub(_without_query, _URL.sub(_bare, text))


def _bare(url: re.Match[str]) -> str:
    authority, path, query = url.groups("")
    host, secret = authority.rpartition("@")[2], query.rstrip(_MARKS)
    port = host.partition(":")[2].rstrip(_MARKS)
    left = (path + query).rpartition("/")[0] if port.isdecimal() else path + query  # h:80/a@2x.jpg has no password
    if port and "@" in left:
        host, path = "…", ""
    return f"//{host}{path}{'?…' if secret else ''}{query[len(secret) :]}"


def _without_query(query: re.Match[str]) -> str:
    return f"?…{query[0][len(query[0].rstrip(_MARKS)) :]}"


def one_line(text: str, most: int) -> str:
    """The first ``most`` characters of a text on one line, with escapes for invisible characters."""
    kept = text[:most]
    if kept.isprintable():
        return kept
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in kept)


def brief(text: str, most: int = 80) -> str:
    """The text, or its first ``most`` characters and ``…``."""
    return text if len(text) <= most else f"{text[:most]}…"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in _ESCAPED_BYTES:
        code &= 0xFF
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - the largest byte


def label_text(text: str) -> str:
    """A label or a column's name, normalized for comparison: Unicode's NFC, no blanks at the ends."""
    return unicodedata.normalize("NFC", text).strip()


def number_of(count: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 row``, ``1,200 rows``, ``2 classes``. The default plural ends in s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def is_name(text: str) -> bool:
    """Whether this is a valid name for a model, an alias or a job."""
    return _NAME.fullmatch(text) is not None


def name_expected(what: str, got: str) -> str:
    """The message for an invalid name. ``what`` is ``a job``, for example."""
    return (
        f"Expected a name for {what} of letters, digits, '.', '_' and '-' (at most 64, the first a letter or a digit), "
        f"got {got!r}."
    )


def numbered(names: Iterable[str], suffix: str, width: int = 6) -> list[int]:
    """The sorted numbers of files such as ``000001.json``: at least ``width`` digits before ``suffix``.

    Other file names, such as ``000001.json~`` or ``000001-backup``, are ignored.
    """
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    digits = (stem for stem in stems if stem.isascii() and stem.isdecimal() and len(stem) <= _MOST_DIGITS)
    return sorted(int(stem) for stem in digits if f"{int(stem):0{width}d}" == stem)


def without_file_links(page: bytes) -> bytes:
    """Remove a report's links to files, but keep their text."""
    return _FILE_LINK.sub(rb"\1", page)
