"""Formats words and numbers for pages, as plain text that the renderer escapes."""

from html import escape
from typing import Final

from markupsafe import Markup

from models.statistics.intervals import Interval

_LONGEST: Final = 300
_HOUR_S: Final = 3600.0
_MINUTE_S: Final = 60.0
_NEARLY: Final = 0.9995
_HARDLY: Final = 0.0005
_PICTURES_OF_CONTROLS: Final = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
_REPLACED: Final = dict.fromkeys((*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), 0xFFFD)
_VISIBLE: Final = _PICTURES_OF_CONTROLS | _REPLACED


def visible(text: str, longest: int | None = _LONGEST) -> Markup:
    """Any text as escaped HTML, with symbols for control characters. A very long text is cut in the middle."""
    if longest is not None and len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} […{len(text) - 2 * half:,} characters…] {text[-half:]}"
    return Markup(escape(text.translate(_VISIBLE)))  # noqa: S704 - visible() has escaped the text


def isolated(text: str, longest: int | None = _LONGEST) -> Markup:
    """:func:`visible` text in an element that isolates right-to-left marks from the surrounding text."""
    return Markup("<bdi>{}</bdi>").format(visible(text, longest))


def sentence(text: str) -> str:
    """A text as a sentence: ``it is damaged`` becomes ``It is damaged.``."""
    return f"{text[:1].upper()}{text[1:]}."


def share(count: int, whole: int) -> str:
    """A percentage. Only an exact 0 or 1 becomes 0% or 100%."""
    if not count:
        return "0%"
    if count == whole:
        return "100%"
    shown = f"{count / whole:.1%}"
    return {"0.0%": "<0.1%", "100.0%": ">99.9%"}.get(shown, shown)


def duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours."""
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:,.1f} hours"
    if seconds >= _MINUTE_S:
        return f"{seconds / _MINUTE_S:.1f} minutes"
    return f"{seconds:.1f} seconds"


def rough_duration(seconds: float) -> str:
    """``50 s``, ``8 min`` or ``2.5 h``."""
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / _HOUR_S:.1f} h" if seconds >= 2 * _HOUR_S else f"{seconds / _MINUTE_S:.0f} min"


def percent(rate: float) -> str:
    """``91.4%``; never rounded to 0% or 100%."""
    if 0.0 < rate < _HARDLY:
        return "under 0.1%"
    if _NEARLY <= rate < 1.0:
        return "over 99.9%"
    return f"{rate:.0%}" if rate in {0.0, 1.0} else f"{rate:.1%}"


def rounded(rate: float) -> str:
    """``61%``; never rounded to 0% or 100%."""
    whole = f"{rate:.0%}"
    if whole == "0%" and rate > 0.0:
        return "under 1%"
    return "over 99%" if whole == "100%" and rate < 1.0 else whole


def between(interval: Interval | None) -> str:
    """An interval: ``88.0 to 94.0%``; empty for None."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}%" if interval else ""


def target_name(precision: float) -> str:
    """A target precision as a percentage: ``98%``."""
    return f"{100 * precision:g}%"
