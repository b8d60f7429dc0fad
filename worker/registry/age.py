"""How long ago something was, as people say it."""

from datetime import datetime
from typing import Final

__all__ = ["ago"]

_UNITS: Final = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3600), ("minute", 60))


def ago(then: str, now: datetime) -> str:
    """Such as ``3 days ago``.

    Args:
        then: in ISO 8601, with its offset from UTC; clocks of two machines may make it lie ahead.
        now: with a time zone.
    """
    seconds = (now - datetime.fromisoformat(then)).total_seconds()
    for unit, length in _UNITS:
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
