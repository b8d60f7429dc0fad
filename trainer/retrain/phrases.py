"""Figures as the gate's sentences say them."""

from collections.abc import Sequence
from typing import Final

from models.statistics.intervals import Interval

__all__ = ["between", "listed", "moved", "percent", "signed"]

_NAMED: Final = 5


def signed(points: float) -> str:
    """With one digit, and a minus sign where it is negative; never a negative nothing."""
    text = f"{points:.1f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) else text.lstrip("-")


def between(interval: Interval) -> str:
    """The ends of a 95% interval of points."""
    return f"95% {signed(interval[0])} to {signed(interval[1])}"


def moved(points: float) -> str:
    """Which way a figure went, and how far."""
    if not points:
        return "stayed the same"
    return f"{'rose' if points > 0 else 'fell'} by {abs(points):.1f} points"


def percent(share: float) -> str:
    """A share in hundredths, with one digit."""
    return f"{100 * share:.1f}%"


def listed(names: Sequence[str]) -> str:
    """Some names, and how many others there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest:,} others" if rest > 0 else "")
