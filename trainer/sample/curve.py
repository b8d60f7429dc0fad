"""Outlines: arrays ``(n, 2)`` of x (right) and y (down), in which products are drawn within about -1 to 1."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Outline", "box", "ellipse", "line", "mirrored", "ribbon", "rotation", "smooth"]

Outline = NDArray[np.float64]
Point = tuple[float, float]

_TURN = 2 * np.pi


def line(*points: Point) -> Outline:
    """Returns the points as they are, joined by straight lines."""
    return np.array(points, dtype=np.float64)


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    """Returns an upright rectangle."""
    return line((left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(centre: Point, radii: Point, start: float = 0.0, stop: float = 1.0) -> Outline:
    """Returns an ellipse, or its arc between two fractions of a turn (0 is right, 0.25 is down)."""
    angles = np.linspace(start * _TURN, stop * _TURN, 40)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return around * line(radii) + line(centre)


def smooth(points: Sequence[Point] | Outline, steps: int = 8) -> Outline:
    """Returns a curve through every point, ``steps`` points a span (a Catmull-Rom spline)."""
    knots = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    before, start, stop, after = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    bend = (2 * before - 5 * start + 4 * stop - after) * t**2 + (3 * start - before - 3 * stop + after) * t**3
    spans = 0.5 * (2 * start + (stop - before) * t + bend)
    return np.concatenate([spans.reshape(-1, 2), knots[-1:]])


def mirrored(right: Outline) -> Outline:
    """Returns the closed outline of a thing the same on both sides, from its right side, top to bottom."""
    return np.concatenate([right, right[::-1] * (-1.0, 1.0)])


def ribbon(path: Outline, width: float) -> Outline:
    """Returns the outline of a band of that width along a path."""
    along = np.gradient(path, axis=0)
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), np.finfo(np.float64).eps)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None] * (width / 2)
    return np.concatenate([path + aside, (path - aside)[::-1]])


def rotation(turn: float) -> Outline:
    """Returns the matrix, to be put after an outline and ``@``, that turns it clockwise by a fraction of a turn."""
    angle = turn * _TURN
    return line((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle)))
