"""Small charts as inline SVG, coloured by the style of the page: light or dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pages.text import visible

__all__ = ["Axis", "Chart", "axis_over", "count_axis", "unit_axis"]

_TOP: Final = 10.0
_RIGHT: Final = 14.0
_BOTTOM: Final = 40.0
_DIGIT: Final = 7.0
_TICKS: Final = 5
_CLOSE: Final = 2
_HAIR: Final = 1e-9
_RATES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high`` with a label at each tick."""

    low: float
    high: float
    ticks: tuple[float, ...]
    name: str = ""

    @property
    def labels(self) -> list[str]:
        """A text a tick."""
        return [f"{tick:,.0f}" if abs(tick) >= 1000 else f"{tick:g}" for tick in self.ticks]  # noqa: PLR2004


def axis_over(values: Sequence[float], name: str, *, tight: bool = False) -> Axis:
    """An axis that holds values, with a few round ticks.

    Args:
        values: finite ones count; none are needed.
        name: of the axis.
        tight: whether it ends with the values, not with a tick.
    """
    low, high = _span([value for value in values if math.isfinite(value)] or [0.0])
    step = _step(high - low)
    first, last = math.floor(low / step + _HAIR), math.ceil(high / step - _HAIR)
    if tight:
        first, last = math.ceil(low / step - _HAIR), math.floor(high / step + _HAIR)
    ticks = tuple(round(n * step, 12) for n in range(first, last + 1))
    return Axis(low, high, ticks, name) if tight else Axis(ticks[0], ticks[-1], ticks, name)


def count_axis(most: int, name: str) -> Axis:
    """An axis from 1 to a count, with whole ticks."""
    if most == 1:
        return Axis(0.5, 1.5, (1.0,), name)
    step = max(1.0, _step(most - 1))
    ticks = {1.0, *(n * step for n in range(1, math.floor(most / step) + 1))}
    return Axis(1.0, most, tuple(sorted(ticks)) if step <= _CLOSE else tuple(sorted(ticks - {1.0})), name)


def unit_axis(name: str) -> Axis:
    """An axis from 0 to 1."""
    return Axis(0.0, 1.0, _RATES, name)


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - abs(low) / 2, high + (abs(high) / 2 or 1.0))


def _step(span: float) -> float:
    """The least of 1, 2, 5, 10, 20 … (and of tenths of these) that needs no more than a few ticks."""
    rough = span / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - _HAIR))


@dataclass(frozen=True)
class Chart:
    """A box with two axes; what is drawn in it is named in the coordinates of the data.

    Attributes:
        title: what it shows, for those who cannot see it; plain text.
        x: the axis below.
        y: the axis at the left.
        width: of the drawing.
        height: of the drawing.
    """

    title: str
    x: Axis
    y: Axis
    width: float = 380.0
    height: float = 240.0

    @property
    def _left(self) -> float:
        return 14.0 + _DIGIT * max(map(len, self.y.labels), default=0) + (16.0 if self.y.name else 0.0)

    @property
    def _floor(self) -> float:
        return self.height - (_BOTTOM if self.x.name else _BOTTOM - 14)

    def across(self, value: float) -> float:
        """Where a value of the x axis lies in the drawing."""
        part = (value - self.x.low) / (self.x.high - self.x.low)
        return self._left + (self.width - _RIGHT - self._left) * min(1.0, max(0.0, part))

    def down(self, value: float) -> float:
        """Where a value of the y axis lies in the drawing."""
        part = (value - self.y.low) / (self.y.high - self.y.low)
        return self._floor - (self._floor - _TOP) * min(1.0, max(0.0, part))

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> str:
        """A line through points; what is not finite is left out."""
        points = " ".join(
            f"{self.across(x):.1f},{self.down(y):.1f}" for x, y in zip(xs, ys, strict=True) if math.isfinite(y)
        )
        return f'<polyline class="{kind}" points="{points}"/>' if points else ""

    def area(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """What lies under a line."""
        corners = [(xs[0], self.y.low), *zip(xs, ys, strict=True), (xs[-1], self.y.low)]
        points = " ".join(f"{self.across(x):.1f},{self.down(y):.1f}" for x, y in corners)
        return f'<polygon points="{points}"/>'

    def dot(self, x: float, y: float, kind: str, title: str = "") -> str:
        """A point that says its title, which is plain text, when it is pointed at."""
        if not math.isfinite(y):
            return ""
        return (
            f'<circle class="{kind}" cx="{self.across(x):.1f}" cy="{self.down(y):.1f}" r="4">'
            f"<title>{visible(title)}</title></circle>"
        )

    def bar(self, left: float, right: float, height: float, kind: str, title: str) -> str:
        """An upright bar; a lowest one is still to be seen."""
        x, y = self.across(left), self.down(height)
        y = min(y, self._floor - 2) if height > 0 else self._floor
        return (
            f'<rect class="{kind}" x="{x + 0.5:.1f}" y="{y:.1f}" width="{max(1.0, self.across(right) - x - 1):.1f}" '
            f'height="{self._floor - y:.1f}"><title>{visible(title)}</title></rect>'
        )

    def drawn(self, marks: str) -> str:
        """The whole chart, with what was drawn in it."""
        return (
            f'<svg class="chart" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{visible(self.title)}">{self._grid()}{marks}{self._names()}</svg>'
        )

    def _grid(self) -> str:
        right = self.width - _RIGHT
        lines = f'<line class="floor" x1="{self._left:.1f}" x2="{right:g}" y1="{self._floor:g}" y2="{self._floor:g}"/>'
        for tick, label in zip(self.y.ticks, self.y.labels, strict=True):
            y = self.down(tick)
            lines += f'<line x1="{self._left:.1f}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
            lines += f'<text x="{self._left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        for tick, label in zip(self.x.ticks, self.x.labels, strict=True):
            x = self.across(tick)
            lines += f'<text x="{x:.1f}" y="{self._floor + 16:.1f}" text-anchor="middle">{label}</text>'
        return f"<g>{lines}</g>"

    def _names(self) -> str:
        middle, centre = (self._left + self.width - _RIGHT) / 2, (self._floor + _TOP) / 2
        below = f'<text x="{middle:.1f}" y="{self.height - 5:.1f}" text-anchor="middle">{visible(self.x.name)}</text>'
        turned = f"translate(11 {centre:.1f}) rotate(-90)"
        beside = f'<text transform="{turned}" text-anchor="middle">{visible(self.y.name)}</text>'
        return (below if self.x.name else "") + (beside if self.y.name else "")
