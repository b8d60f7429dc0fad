"""Figures of a comparison as a shop's data lead reads them: text that needs no escaping."""

from models.statistics.intervals import Interval, proportion_interval
from models.text import number_of
from pages.text import percent
from trainer.retrain.records import Comparison

__all__ = ["accuracy_95", "difference", "points", "points_between", "test_photos"]


def points(value: float) -> str:
    """``+2.4``, ``−0.3`` or ``0.0``."""
    shown = f"{abs(value):.1f}"
    return shown if shown == "0.0" else f"{'+' if value > 0 else '−'}{shown}"


def points_between(interval: Interval) -> str:
    """``95% −0.1 to 4.7``."""
    low, high = (f"{'−' if end <= -0.05 else ''}{abs(end):.1f}" for end in interval)  # noqa: PLR2004 - is not 0.0
    return f"95% {low} to {high}"


def test_photos(count: int) -> str:
    """``372 test photos``."""
    return number_of(count, "test photo", "test photos")


def difference(comparison: Comparison) -> str:
    """``2.4 points better on 372 test photos (95% 0.1 to 4.7)``; of a first model, how often it is right."""
    if comparison.points is None:
        low, high = accuracy_95(comparison)
        right = f"{percent(comparison.challenger_all)} right on {test_photos(comparison.all_photos)}"
        return f"{right} (95% {100 * low:.1f} to {100 * high:.1f}%)"
    shown = f"{abs(comparison.points):.1f}"
    better = "better" if comparison.points > 0 else "worse"
    said = "as good" if shown == "0.0" else f"{shown} {'point' if shown == '1.0' else 'points'} {better}"
    band = f" ({points_between(comparison.points_95)})" if comparison.points_95 else ""
    return f"{said} on {test_photos(comparison.photos)}{band}"


def accuracy_95(comparison: Comparison) -> Interval:
    """Of the challenger on all test photos."""
    return proportion_interval(round(comparison.challenger_all * comparison.all_photos), comparison.all_photos)
