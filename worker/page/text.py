"""Words and numbers as a page shows them."""

from html import escape
from typing import Final

__all__ = ["duration", "isolated", "share", "visible"]

_LONGEST: Final = 300
_HOUR_S: Final = 3600.0
_MINUTE_S: Final = 60.0
_PICTURES_OF_CONTROLS: Final = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
_REPLACED: Final = dict.fromkeys((*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), 0xFFFD)
_VISIBLE: Final = _PICTURES_OF_CONTROLS | _REPLACED


def visible(text: str, longest: int = _LONGEST) -> str:
    """Any text as HTML: escaped, control characters as their pictures, the middle of a very long one left out.

    Args:
        text: of a catalogue, a path, a message; lone surrogates (a path's bytes that are no UTF-8) may be in it.
        longest: characters that are shown of it, at most.

    Returns:
        Text for an element or a quoted attribute, which can be encoded as UTF-8.
    """
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} […{len(text) - 2 * half:,} characters…] {text[-half:]}"
    return escape(text.translate(_VISIBLE))


def isolated(text: str, longest: int = _LONGEST) -> str:
    """:func:`visible` in an element from which no right-to-left mark reaches the words around it."""
    return f"<bdi>{visible(text, longest)}</bdi>"


def share(count: int, whole: int) -> str:
    """A percentage that says 0% only of none, and 100% only of all."""
    if not count:
        return "0%"
    if count == whole:
        return "100%"
    shown = f"{count / whole:.1%}"
    return {"0.0%": "&lt;0.1%", "100.0%": "&gt;99.9%"}.get(shown, shown)


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:,.1f} hours"
    if seconds >= _MINUTE_S:
        return f"{seconds / _MINUTE_S:.1f} minutes"
    return f"{seconds:.1f} seconds"
