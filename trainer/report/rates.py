"""Rates as people read them: text that needs no escaping, neither in HTML nor in Markdown."""

from typing import Final

__all__ = ["Interval", "between", "percent", "rounded", "target_name"]

Interval = tuple[float, float]

_NEARLY: Final = 0.9995
_HARDLY: Final = 0.0005


def percent(rate: float) -> str:
    """``91.4%``; 0% and 100% are said of nothing else."""
    if 0.0 < rate < _HARDLY:
        return "under 0.1%"
    if _NEARLY <= rate < 1.0:
        return "over 99.9%"
    return f"{rate:.0%}" if rate in {0.0, 1.0} else f"{rate:.1%}"


def rounded(rate: float) -> str:
    """``61%``; 0% and 100% are said of nothing else."""
    whole = f"{rate:.0%}"
    if whole == "0%" and rate > 0.0:
        return "under 1%"
    return "over 99%" if whole == "100%" and rate < 1.0 else whole


def between(interval: Interval | None) -> str:
    """An interval: ``88.0 to 94.0%``; empty where there is none."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}%" if interval else ""


def target_name(precision: float) -> str:
    """A precision that can be asked for: ``98%``."""
    return f"{100 * precision:g}%"
