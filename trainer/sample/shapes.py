"""What products are made of: outlines, each filled with one of four inks, whose colours are chosen later.

An outline is an array ``(n, 2)`` of x (right) and y (down), within about -1 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Outline = NDArray[np.float64]
Point = tuple[float, float]
_TURN = 2 * np.pi
_SUPERSAMPLING = 2


class Ink(Enum):
    """What fills a part, as the four channels of an ink map."""

    BODY = (255, 0, 0, 0)
    TRIM = (0, 255, 0, 0)
    SHADE = (0, 0, 255, 0)
    LIGHT = (0, 0, 0, 255)


@dataclass(frozen=True)
class Part:
    """One filled outline. Later parts of a product cover earlier ones."""

    outline: Outline
    ink: Ink = Ink.BODY


Parts = list[Part]


@dataclass(frozen=True)
class InkMap:
    """How much of each ink lies on each pixel: four grey images, 0 to 255, of one size."""

    coverage: Image.Image
    trim: Image.Image
    shade: Image.Image
    light: Image.Image


def print_parts(parts: Sequence[Part], size: tuple[int, int]) -> InkMap:
    """Fills parts, given in pixels, on a map of ``size`` (width, height) with smooth edges."""
    # CMYK holds four channels that Pillow averages one by one; RGBA would be weighted by its alpha.
    sheet = Image.new("CMYK", (size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING))
    drawing = ImageDraw.Draw(sheet)
    for part in parts:
        drawing.polygon((part.outline * _SUPERSAMPLING).ravel().tolist(), fill=part.ink.value)
    body, trim, shade, light = sheet.reduce(_SUPERSAMPLING).split()
    return InkMap(reduce(ImageChops.add, [body, trim, shade, light]), trim, shade, light)


def both_sides(outline: Outline, ink: Ink) -> Parts:
    """A part and its mirror image."""
    return [Part(outline, ink), Part(outline * (-1.0, 1.0), ink)]


def line(*points: Point) -> Outline:
    """The points as they are, joined by straight lines."""
    return np.array(points, dtype=np.float64)


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    """An upright rectangle."""
    return line((left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(centre: Point, radii: Point, start: float = 0.0, stop: float = 1.0) -> Outline:
    """An ellipse, or its arc between two fractions of a turn (0 is right, 0.25 is down)."""
    angles = np.linspace(start * _TURN, stop * _TURN, 40)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return around * line(radii) + line(centre)


def smooth(points: Sequence[Point] | Outline, steps: int = 8) -> Outline:
    """A curve through every point, ``steps`` points a span (a Catmull-Rom spline)."""
    knots = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    before, start, stop, after = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    bend = (2 * before - 5 * start + 4 * stop - after) * t**2 + (3 * start - before - 3 * stop + after) * t**3
    spans = 0.5 * (2 * start + (stop - before) * t + bend)
    return np.concatenate([spans.reshape(-1, 2), knots[-1:]])


def mirrored(right: Outline) -> Outline:
    """The closed outline of a thing the same on both sides, from its right side, top to bottom."""
    return np.concatenate([right, right[::-1] * (-1.0, 1.0)])


def ribbon(path: Outline, width: float) -> Outline:
    """The outline of a band of that width along a path."""
    along = np.gradient(path, axis=0)
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), np.finfo(np.float64).eps)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None] * (width / 2)
    return np.concatenate([path + aside, (path - aside)[::-1]])


def rotation(turn: float) -> Outline:
    """The matrix, to be put after an outline and ``@``, that turns it clockwise by a fraction of a turn."""
    angle = turn * _TURN
    return line((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle)))
