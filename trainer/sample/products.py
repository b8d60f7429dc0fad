"""The classes of the sample catalogue, and the outlines of each product.

An outline is an array ``(n, 2)`` of points from about -1 to 1. x points right, y points down.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
Point = tuple[float, float]
T = TypeVar("T")


class Ink(Enum):
    """The role of a part, drawn as one RGB channel. Each role gets its colour later."""

    BODY = (255, 0, 0)
    TRIM = (0, 255, 0)
    SHADE = (0, 0, 255)


@dataclass(frozen=True)
class Part:
    """A filled outline. Later parts of a product cover earlier parts."""

    outline: Outline
    ink: Ink = Ink.BODY


Parts = list[Part]


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Choose an option at random. All are equally likely."""
    return options[int(rng.integers(len(options)))]


def rotation(turn: float) -> Outline:
    """Return a rotation matrix for ``outline @ matrix``. ``turn``: clockwise, in full turns."""
    angle = 2 * np.pi * turn
    return _line((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle)))


def _line(*points: Point) -> Outline:
    return np.array(points, dtype=np.float64)


def _box(left: float, top: float, right: float, bottom: float) -> Outline:
    return _line((left, top), (right, top), (right, bottom), (left, bottom))


def _ellipse(centre: Point, radii: Point, start: float = 0.0, stop: float = 1.0) -> Outline:
    """An ellipse, or an arc from ``start`` to ``stop``, in full turns (0 is right, 0.25 is down)."""
    angles = 2 * np.pi * np.linspace(start, stop, 40)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * _line(radii) + _line(centre)


def _smooth(*points: Point) -> Outline:
    knots = _line(*points)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    before, start, stop, after = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, 8, endpoint=False)[None, :, None]
    bend = (2 * before - 5 * start + 4 * stop - after) * t**2 + (3 * start - before - 3 * stop + after) * t**3
    spans = 0.5 * (2 * start + (stop - before) * t + bend)
    return np.concatenate([spans.reshape(-1, 2), knots[-1:]])


def _symmetric(right: Outline, ink: Ink = Ink.BODY) -> Parts:
    return [Part(np.concatenate([right, right[::-1] * (-1.0, 1.0)]), ink)]


def _both_sides(outline: Outline, ink: Ink) -> Parts:
    return [Part(outline, ink), Part(outline * (-1.0, 1.0), ink)]


def _ribbon(path: Outline, width: float) -> Outline:
    along = np.gradient(path, axis=0)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.hypot(along[:, 0], along[:, 1])[:, None] * (width / 2)
    return np.concatenate([path + aside, (path - aside)[::-1]])


def _t_shirt(rng: np.random.Generator) -> Parts:
    hem = (rng.uniform(0.44, 0.5), rng.uniform(0.7, 0.92))
    cuff = _line((1.0, rng.uniform(-0.36, -0.2)), (0.74, -0.05))
    neck = _ellipse((0.0, -0.94), (0.21, rng.uniform(0.14, 0.3)), 0.0, 0.5)
    disc, band = _ellipse((0.0, -0.1), (0.22, 0.22)), _box(-0.44, -0.2, 0.44, -0.02)
    return [
        *_symmetric(_line((0.0, -0.92), (0.2, -0.94), (0.5, -0.84), *cuff, (0.46, -0.34), (0.44, 0.2), hem)),
        *_both_sides(_ribbon(cuff, 0.07), Ink.TRIM),
        Part(neck, Ink.SHADE),
        Part(_ribbon(neck, 0.06), Ink.TRIM),
        *pick(rng, [[Part(disc, Ink.TRIM)], [Part(band, Ink.TRIM)], []]),
    ]


def _dress(rng: np.random.Generator) -> Parts:
    waist, width = rng.uniform(-0.3, -0.12), rng.uniform(0.52, 0.78)
    right = _smooth((0.32, -0.62), (0.27, -0.45), (0.22, waist), (0.42, 0.25), (width, 0.92))
    straps = _both_sides(_ribbon(_smooth((0.27, -0.58), (0.24, -0.8), (0.16, -0.98)), 0.07), Ink.TRIM)
    sleeves = _both_sides(_line((0.12, -0.98), (0.3, -0.96), (0.52, -0.72), (0.3, -0.5), (0.12, -0.6)), Ink.BODY)
    pleat = _ribbon(_smooth((0.1, waist), (0.2, 0.3), (width * 0.5, 0.9)), 0.03)
    return [
        *pick(rng, [straps, sleeves]),
        *_symmetric(_line((0.0, -0.62), *right, (0.0, 0.96))),
        *_both_sides(pleat, Ink.SHADE),
        Part(_box(-0.24, waist - 0.05, 0.24, waist + 0.05), Ink.TRIM),
    ]


def _trousers(rng: np.random.Generator) -> Parts:
    hip, hem, leg = rng.uniform(0.4, 0.48), rng.uniform(0.4, 0.6), rng.uniform(0.26, 0.36)
    outer = _smooth((0.34, -0.95), (hip, -0.6), ((hip + hem) / 2, 0.1), (hem, 0.96))
    cuffs = _both_sides(_box(hem - leg - 0.01, 0.84, hem + 0.01, 0.98), Ink.TRIM)
    return [
        *_symmetric(_line(*outer, (hem - leg, 0.96), (0.1, 0.1), (0.03, -0.36), (0.0, -0.4))),
        *_both_sides(_ribbon(_line((0.27, -0.35), (hem - leg / 2, 0.92)), 0.025), Ink.SHADE),
        Part(_box(-0.35, -0.97, 0.35, -0.82), Ink.TRIM),
        *pick(rng, [cuffs, []]),
    ]


def _hat(rng: np.random.Generator) -> Parts:
    height, droop = rng.uniform(-0.75, -0.5), rng.uniform(0.2, 0.3)
    top = pick(rng, [((0.0, height + 0.06), (0.28, height)), ((0.0, height), (0.34, height + 0.12))])
    band = _smooth((0.0, 0.16), (0.3, 0.12), (0.5, 0.02), (0.54, 0.3), (0.3, 0.49), (0.0, 0.52))
    return [
        Part(_ellipse((0.0, 0.4), (1.0, droop))),
        Part(_ribbon(_ellipse((0.0, 0.4), (0.96, droop - 0.03), 0.03, 0.47), 0.05), Ink.SHADE),
        *_symmetric(_smooth(*top, (0.46, -0.3), (0.54, 0.2), (0.52, 0.42), (0.0, 0.52))),
        *_symmetric(band, Ink.TRIM),
    ]


def _lamp(rng: np.random.Generator) -> Parts:
    top, wide, edge = rng.uniform(0.22, 0.4), rng.uniform(0.56, 0.72), rng.uniform(-0.2, -0.02)
    foot = rng.uniform(0.3, 0.44)
    cone = _line((top, -0.95), (wide, edge))
    dome = _smooth((0.0, -0.95), (wide * 0.6, -0.82), (wide * 0.95, -0.4), (wide, edge))
    pole, belly = _line((0.05, edge), (0.05, 0.9)), _smooth((0.06, edge), (0.1, 0.1), (0.34, 0.42), (0.14, 0.86))
    return [
        *_symmetric(pick(rng, [pole, belly]), Ink.TRIM),
        *_symmetric(_smooth((0.05, 0.8), (foot * 0.7, 0.86), (foot, 0.96)), Ink.TRIM),
        *_symmetric(pick(rng, [cone, dome])),
        Part(_box(-wide, edge - 0.06, wide, edge), Ink.TRIM),
    ]


def _vase(rng: np.random.Generator) -> Parts:
    lip, neck, belly = rng.uniform(0.2, 0.34), rng.uniform(0.13, 0.2), rng.uniform(0.42, 0.58)
    foot, low = rng.uniform(0.2, 0.3), rng.uniform(0.15, 0.45)
    handle = _smooth((lip * 0.7, -0.48), (belly + 0.06, -0.4), (belly + 0.08, -0.1), (belly * 0.8, 0.1))
    return [
        *pick(rng, [_both_sides(_ribbon(handle, 0.07), Ink.TRIM), []]),
        *_symmetric(_smooth((lip, -0.6), (neck, -0.36), (belly, low), (foot * 1.1, 0.86), (foot, 0.96))),
        Part(_box(-neck - 0.02, -0.36, neck + 0.02, -0.28), Ink.TRIM),
        Part(_ellipse((0.0, -0.6), (lip, 0.07)), Ink.TRIM),
        Part(_ellipse((0.0, -0.6), (lip - 0.04, 0.05)), Ink.SHADE),
    ]


def _cushion(rng: np.random.Generator) -> Parts:
    height, pinch = rng.uniform(0.58, 0.82), rng.uniform(0.06, 0.12)
    edge = _pillow(0.95, height, pinch)
    panel = Part(_ribbon(_pillow(0.66, height * 0.68, pinch * 0.6), 0.07), Ink.TRIM)
    button = Part(_ellipse((0.0, 0.0), (0.09, 0.09)), Ink.TRIM)
    return [Part(edge), Part(_ribbon(edge, 0.06), Ink.TRIM), pick(rng, [panel, button])]


def _pillow(width: float, height: float, pinch: float) -> Outline:
    top = _smooth((-width, -height), (-width / 2, -height + pinch), (width / 2, -height + pinch), (width, -height))
    right = _smooth((width, -height), (width - pinch, -height / 2), (width - pinch, height / 2), (width, height))
    return np.concatenate([top, right[1:-1], -top, -right[1:-1]])


def _clock(rng: np.random.Generator) -> Parts:
    hour, face = rng.uniform(0.0, 1.0), 0.82 - rng.uniform(0.1, 0.16)
    feet = [Part(_hand(turn, 0.7, 1.05, 0.13), Ink.SHADE) for turn in (0.4, 0.6)]
    bells = [Part(_ellipse((0.0, -0.92), (0.28, 0.26), 0.5, 1.0) @ rotation(turn)) for turn in (-0.1, 0.1)]
    return [
        *pick(rng, [[*feet, *bells], []]),
        Part(_ellipse((0.0, 0.0), (0.82, 0.82)), Ink.TRIM),
        Part(_ellipse((0.0, 0.0), (face, face))),
        *(Part(_hand(at / 12, 0.5, 0.62, 0.05), Ink.TRIM) for at in range(12)),
        Part(_hand(hour, -0.08, 0.34, 0.09), Ink.TRIM),
        Part(_hand(hour * 12 % 1, -0.1, 0.52, 0.06), Ink.TRIM),
    ]


def _hand(turn: float, start: float, stop: float, width: float) -> Outline:
    """A clock hand or mark between two distances from the middle, ``turn`` full turns clockwise from the top."""
    return _box(-width / 2, -stop, width / 2, -start) @ rotation(turn)


PRODUCTS: Mapping[str, Callable[[np.random.Generator], Parts]] = MappingProxyType(
    {
        "clock": _clock,
        "cushion": _cushion,
        "dress": _dress,
        "hat": _hat,
        "lamp": _lamp,
        "t-shirt": _t_shirt,
        "trousers": _trousers,
        "vase": _vase,
    }
)
_CLOTHING = frozenset({"dress", "hat", "t-shirt", "trousers"})
DEPARTMENTS: Mapping[str, str] = MappingProxyType(
    {product: "clothing" if product in _CLOTHING else "home" for product in PRODUCTS}
)
"""The parent of each class, in a tree of two levels."""
