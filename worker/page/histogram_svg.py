"""A histogram of confidences as inline SVG; the page's style colours it."""

import math
from collections.abc import Sequence
from typing import Final

from models.text import number_of

__all__ = ["histogram_svg"]

_WIDTH: Final = 520
_HEIGHT: Final = 250
_TOP: Final = 12
_RIGHT: Final = 16
_BOTTOM: Final = 46
_DIGIT: Final = 8.5
_FLOOR: Final = _HEIGHT - _BOTTOM
_TICKS: Final = 5
_LEAST: Final = 2.0
"""Height of the lowest bar: a bin with one row of a million is still to be seen."""


def histogram_svg(counts: Sequence[int], usual: Sequence[float] = ()) -> str:
    """Draw upright bars over an axis from 0 to 1.

    Args:
        counts: rows in each of some bins of equal width.
        usual: rows that are to be expected in each, which a line shows; none where nobody knows.

    Returns:
        An ``<svg>`` element with the classes ``histogram``, ``bars``, ``grid``, ``axis`` and ``usual``.
    """
    most = max(max(counts, default=0), math.ceil(max(usual, default=0)))
    step = _step(most)
    top = step * max(1, math.ceil(most / step))
    left = 30 + _DIGIT * len(f"{top:,}")
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Histogram of confidence, {len(counts)} bins">'
        f"{_grid(step, top, left)}{_bars(counts, top, left)}{_axis(left)}{_line(usual, top, left)}</svg>"
    )


def _step(most: int) -> int:
    """The least of 1, 2, 5, 10, 20 … that needs no more than a few lines to reach ``most``."""
    step, factors = 1, (2, 2.5, 2)
    for turn in range(3 * len(str(most))):
        if step * _TICKS >= most:
            break
        step = int(step * factors[turn % 3])
    return step


def _grid(step: int, top: int, left: float) -> str:
    lines = ""
    for count in range(0, top + 1, step):
        y = _FLOOR - (_FLOOR - _TOP) * count / top
        lines += f'<line x1="{left:.1f}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        lines += f'<text x="{left - 7:.1f}" y="{y + 4:.1f}" text-anchor="end">{count:,}</text>'
    return f'<g class="grid">{lines}</g>'


def _bars(counts: Sequence[int], top: int, left: float) -> str:
    width = (_WIDTH - _RIGHT - left) / len(counts)
    bars = ""
    for number, count in enumerate(counts):
        height = max(_LEAST, (_FLOOR - _TOP) * count / top) if count else 0.0
        title = f"{number / len(counts):.2f} to {(number + 1) / len(counts):.2f}: {number_of(count, 'row', 'rows')}"
        bars += (
            f'<rect x="{left + number * width + 1:.1f}" y="{_FLOOR - height:.1f}" width="{width - 2:.1f}" '
            f'height="{height:.1f}"><title>{title}</title></rect>'
        )
    return f'<g class="bars">{bars}</g>'


def _line(usual: Sequence[float], top: int, left: float) -> str:
    """Steps over the bins."""
    if not usual:
        return ""
    width = (_WIDTH - _RIGHT - left) / len(usual)
    heights = [_FLOOR - (_FLOOR - _TOP) * count / top for count in usual]
    steps = " ".join(f"V{y:.1f} H{left + (number + 1) * width:.1f}" for number, y in enumerate(heights))
    return f'<path class="usual" d="M{left:.1f} {_FLOOR} {steps} V{_FLOOR}"/>'


def _axis(left: float) -> str:
    span = _WIDTH - _RIGHT - left
    ticks = "".join(
        f'<text x="{left + span * tenths / 10:.1f}" y="{_FLOOR + 18}" text-anchor="middle">{tenths / 10:.1f}</text>'
        for tenths in range(0, 11, 2)
    )
    middle = (_FLOOR + _TOP) / 2
    return (
        f'<g class="axis"><line x1="{left:.1f}" x2="{_WIDTH - _RIGHT}" y1="{_FLOOR}" y2="{_FLOOR}"/>{ticks}'
        f'<text x="{left + span / 2:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">confidence</text>'
        f'<text transform="translate(12 {middle:.1f}) rotate(-90)" text-anchor="middle">rows</text></g>'
    )
