"""Tables of a report's page, and the small drawings in their cells."""

from trainer.report.rates import Interval, between, percent

__all__ = ["meter", "rate_cell", "table"]


def table(kind: str, head: str, rows: str) -> str:
    """A table that scrolls by itself where the screen is narrow.

    Args:
        kind: its class.
        head: ``<th>`` elements.
        rows: ``<tr>`` elements.
    """
    shown = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="wide">{shown}</div>'


def meter(rate: float, interval: Interval | None) -> str:
    """A rate on a line from 0 to 1: a stroke in the band where it may lie."""
    low, high = interval or (rate, rate)
    return (
        f'<div class="meter"><span style="left: {low:.1%}; width: {max(0.0, high - low):.1%}"></span>'
        f'<i style="left: {rate:.1%}"></i></div>'
    )


def rate_cell(name: str, rate: float, interval: Interval | None) -> str:
    """A cell with a rate, the band where it may lie, and a drawing of both; a narrow screen says the name in it."""
    band = f"<small>{between(interval)}</small>" if interval else ""
    return f'<td class="rate" data-name="{name}"><b>{percent(rate)}</b>{band}{meter(rate, interval)}</td>'
