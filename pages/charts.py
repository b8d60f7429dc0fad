"""Charts as inline SVG, coloured by the style sheet (light or dark), and confusion matrices as PNG."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.text import number_of
from pages.text import visible

_TOP: Final = 10.0
_RIGHT: Final = 14.0
_BOTTOM: Final = 40.0
_DIGIT: Final = 7.0
_TICKS: Final = 5
_HAIR: Final = 1e-9
_LARGEST_CELL: Final = 44
_MATRIX_SIDE: Final = 1600
_NAMED_CELL: Final = 14
"""The smallest cell, in pixels, that shows its class name and its count."""
_NAME: Final = 24
_RIGHT_COLOUR: Final = (110, 150, 235)
_WRONG_COLOUR: Final = (236, 140, 70)
_MARGIN: Final = 8
_INK: Final = (33, 37, 41)


def confidence_histogram(counts: Sequence[int], usual: Sequence[int] = ()) -> Markup:
    """A histogram of confidence from 0 to 1. A line shows ``usual``, scaled to the total of ``counts``."""
    scale = sum(counts) / (sum(usual) or 1)
    expected = [count * scale for count in usual]
    chart = Chart(
        f"Histogram of confidence, {len(counts)} bins",
        Axis(0.0, 1.0, tuple(tenths / 10 for tenths in range(0, 11, 2)), "confidence"),
        _tally_axis(max([*counts, *expected]), "rows"),
        520,
        250,
    )
    edges = [number / len(counts) for number in range(len(counts) + 1)]
    bars = [
        chart.bar(low, high, count, "", f"{low:.2f} to {high:.2f}: {number_of(count, 'row')}")
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    steps = np.repeat(edges, 2).tolist(), [0.0, *np.repeat(expected, 2).tolist(), 0.0]
    return chart.drawn(*bars, chart.line(*steps, "usual") if expected else Markup())


def learning_curve(
    title: str,
    lines: Mapping[str, Sequence[float]],
    best: tuple[int, float] | None = None,
    lowest: Sequence[float] = (),
) -> Markup:
    """A chart over epochs.

    ``lines``: values by name. ``best``: a point (epoch, value) to mark. ``lowest``: values to include in the axis.
    """
    epochs = range(1, 1 + max(map(len, lines.values())))
    values = [value for line in lines.values() for value in line]
    chart = Chart(title, _epoch_axis(len(epochs)), axis_over([*lowest, *values], ""))
    marks = [
        chart.dot(1, line[0], kind, f"{line[0]:.3g}") if len(line) == 1 else chart.line(epochs, line, kind)
        for kind, line in lines.items()
    ]
    if best:
        marks.append(chart.dot(*best, "best", f"epoch {best[0]}: {best[1]:.3f}"))
    return chart.drawn(*marks)


def reliability_diagram(title: str, bins: Iterable[tuple[int, float, float]]) -> Markup:
    """Accuracy against confidence. Each bin is (number of photos, mean confidence, accuracy)."""
    rates = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    chart = Chart(title, Axis(0.0, 1.0, rates, "confidence"), Axis(0.0, 1.0, rates, "right"), 380, 300)
    marks = [chart.line((0.0, 1.0), (0.0, 1.0), "ideal")]
    for photos, confidence, accuracy in bins:
        said = f"{number_of(photos, 'photo')}: {confidence:.2f} sure, {accuracy:.2f} right"
        marks.append(chart.line((confidence, confidence), (confidence, accuracy), "gap"))
        marks.append(chart.dot(confidence, accuracy, "bin", said))
    return chart.drawn(*marks)


def matrix_png(matrix: NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """A confusion matrix as a PNG.

    Rows are the true classes. Right answers are blue, wrong answers orange. A darker cell has a larger share of its
    row. With few classes, the cells have names and counts. Pillow's font shows unknown letters as boxes.
    """
    cell = max(1, min(_LARGEST_CELL, _MATRIX_SIDE // len(classes)))
    depths = np.sqrt(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))  # keeps rare mistakes visible
    full = np.where(np.eye(len(classes), dtype=bool)[..., None], _RIGHT_COLOUR, _WRONG_COLOUR)
    pixels = (255 - depths[..., None] * (255 - full)).astype(np.uint8).repeat(cell, 0).repeat(cell, 1)
    font = ImageFont.load_default(max(1, cell // 3))
    names = [" ".join(name[:_NAME].split()) for name in classes] if cell >= _NAMED_CELL else []
    edge = 2 * _MARGIN + max((int(font.getlength(name)) for name in names), default=0)
    sheet = Image.new("RGB", (edge + len(pixels) + _MARGIN,) * 2, (255, 255, 255))
    columns = Image.new("RGB", (edge, len(pixels)), (255, 255, 255))
    for place, name in enumerate(names):
        middle = place * cell + cell // 2
        ImageDraw.Draw(sheet).text((edge - _MARGIN, edge + middle), name, fill=_INK, font=font, anchor="rm")
        ImageDraw.Draw(columns).text((_MARGIN, middle), name, fill=_INK, font=font, anchor="lm")
    sheet.paste(columns.transpose(Image.Transpose.ROTATE_90), (edge, 0))
    sheet.paste(Image.fromarray(pixels), (edge, edge))
    for row, column in np.argwhere(matrix) if names else ():
        centre = edge + int(column) * cell + cell // 2, edge + int(row) * cell + cell // 2
        ImageDraw.Draw(sheet).text(centre, f"{matrix[row, column]}", fill=_INK, font=font, anchor="mm")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high`` with a label at each tick."""

    low: float
    high: float
    ticks: tuple[float, ...]
    name: str = ""

    @property
    def labels(self) -> list[str]:
        """The text of each tick."""
        return [f"{tick:,.0f}" if abs(tick) >= 1000 else f"{tick:g}" for tick in self.ticks]  # noqa: PLR2004


def axis_over(values: Sequence[float], name: str) -> Axis:
    """An axis over the finite values, with ticks at a few round numbers."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    if math.isclose(low, high, abs_tol=_HAIR):  # do not magnify rounding errors
        low, high = low - abs(low) / 2, low + (abs(low) / 2 if abs(low) > _HAIR else 1.0)
    step = _step(high - low)
    first, last = math.floor(low / step + _HAIR), math.ceil(high / step - _HAIR)
    ticks = tuple(round(n * step, 12) for n in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, name)


def _tally_axis(most: float, name: str) -> Axis:
    step = max(1, math.ceil(_step(most or 1)))
    top = max(1, math.ceil(most / step))
    return Axis(0.0, float(top * step), tuple(float(n * step) for n in range(top + 1)), name)


def _epoch_axis(epochs: int) -> Axis:
    if epochs == 1:
        return Axis(0.5, 1.5, (1.0,), "epoch")
    step = max(1.0, _step(epochs - 1))
    first = [1.0] if step <= 2 else []  # noqa: PLR2004 - its label would touch the next label
    ticks = [tick for tick in (n * step for n in range(1, math.floor(epochs / step) + 1)) if tick > 1]
    return Axis(1.0, epochs, (*first, *ticks), "epoch")


def _step(span: float) -> float:
    rough = span / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - _HAIR))


@dataclass(frozen=True)
class Chart:
    """A chart with two axes. Its methods take data coordinates."""

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

    def _across(self, value: float) -> float:
        part = (value - self.x.low) / (self.x.high - self.x.low)
        return self._left + (self.width - _RIGHT - self._left) * min(1.0, max(0.0, part))

    def _down(self, value: float) -> float:
        part = (value - self.y.low) / (self.y.high - self.y.low)
        return self._floor - (self._floor - _TOP) * min(1.0, max(0.0, part))

    def _points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        both = zip(xs, ys, strict=True)
        return " ".join(f"{self._across(x):.1f},{self._down(y):.1f}" for x, y in both if math.isfinite(y))

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> Markup:
        """A line through the points. Points whose y is not finite are left out."""
        points = self._points(xs, ys)
        return Markup('<polyline class="{}" points="{}"/>').format(kind, points) if points else Markup()

    def dot(self, x: float, y: float, kind: str, title: str) -> Markup:
        """A point with a tooltip."""
        if not math.isfinite(y):
            return Markup()
        circle = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}</title></circle>')
        return circle.format(kind, self._across(x), self._down(y), visible(title))

    def bar(self, left: float, right: float, height: float, kind: str, title: str) -> Markup:
        """An upright bar. Even the lowest bar stays visible."""
        x, y = self._across(left), self._down(height)
        y = min(y, self._floor - 2) if height > 0 else self._floor
        width = max(1.0, self._across(right) - x - 1)
        rect = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
        return rect.format(kind, x + 0.5, y, width, self._floor - y, visible(title))

    def drawn(self, *marks: Markup) -> Markup:
        """The complete chart."""
        svg = Markup('<svg class="chart" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}"><g>{}</g>{}{}</svg>')
        return svg.format(
            self.width,
            self.height,
            visible(self.title),
            Markup().join(self._grid()),
            Markup().join(marks),
            self._names(),
        )

    def _grid(self) -> Iterable[Markup]:
        right, line = self.width - _RIGHT, Markup('<line{} x1="{:.1f}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>')
        yield line.format(Markup(' class="floor"'), self._left, right, self._floor, self._floor)
        for tick, label in zip(self.y.ticks, self.y.labels, strict=True):
            y = self._down(tick)
            yield line.format("", self._left, right, y, y)
            yield _text(f'x="{self._left - 6:.1f}" y="{y + 4:.1f}"', "end", label)
        for tick, label in zip(self.x.ticks, self.x.labels, strict=True):
            yield _text(f'x="{self._across(tick):.1f}" y="{self._floor + 16:.1f}"', "middle", label)

    def _names(self) -> Markup:
        middle, centre = (self._left + self.width - _RIGHT) / 2, (self._floor + _TOP) / 2
        below = _text(f'x="{middle:.1f}" y="{self.height - 5:.1f}"', "middle", self.x.name)
        beside = _text(f'transform="translate(11 {centre:.1f}) rotate(-90)"', "middle", self.y.name)
        return (below if self.x.name else Markup()) + (beside if self.y.name else Markup())


def _text(place: str, anchor: str, text: str) -> Markup:
    return Markup('<text {} text-anchor="{}">{}</text>').format(Markup(place), anchor, visible(text))  # noqa: S704
