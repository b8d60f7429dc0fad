"""Text for people: safe to print, and with counts that agree with their nouns."""

import re
from typing import Final

__all__ = ["number_of", "printable"]

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters (C0 except tab and newline, C1), what changes the direction of text, and lone surrogates."""
_ESCAPED_BYTES: Final = range(0xDC80, 0xDD00)
"""What a path has for each of its bytes that is not UTF-8 (PEP 383)."""


def printable(text: str) -> str:
    r"""Text of others that a terminal only shows, and does not obey: ``\x1b`` instead of an escape character."""
    return _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in _ESCAPED_BYTES:
        code &= 0xFF
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - the largest byte


def number_of(count: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 row``, ``1,200 rows``, ``2 classes``.

    Args:
        count: how many.
        one: the noun for one.
        many: the noun for more; ``one`` with an s where it is not given.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
