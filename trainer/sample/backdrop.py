"""What is behind a product: white, a colour, a gradient, a wooden table, a wall, and perhaps clutter."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trainer.sample.chance import pick, spread
from trainer.sample.palette import PALETTE, WHITE, Colour, blend

__all__ = ["PAPER", "Backdrop", "choose_backdrop", "paint_backdrop"]

Field = NDArray[np.float32]
Size = tuple[int, int]
Surface = Callable[[np.random.Generator, Size], Field]

_WOODS: tuple[Colour, ...] = ((196, 150, 104), (226, 192, 150), (120, 82, 56), (84, 60, 46), (172, 160, 146))
_WALLS: tuple[Colour, ...] = ((226, 220, 208), (196, 206, 210), (214, 190, 176), (150, 164, 156), (92, 104, 116))
_CLUTTER_SHARE = 0.35
_CLUTTER_TINT = 0.3
_JOINT_PX = 2


@dataclass(frozen=True)
class Backdrop:
    """A colour, and how light it is from place to place."""

    colour: Colour
    surface: Surface


def choose_backdrop(rng: np.random.Generator) -> Backdrop:
    """Chooses a kind of backdrop and its colour."""
    kinds: tuple[tuple[tuple[Colour, ...], Surface], ...] = (
        ((WHITE,), _even),
        (PALETTE, _even),
        (PALETTE, _gradient),
        (_WOODS, _wood),
        (_WALLS, _plaster),
    )
    colours, surface = pick(rng, kinds)
    return Backdrop(pick(rng, colours), surface)


def paint_backdrop(rng: np.random.Generator, backdrop: Backdrop, size: Size) -> Image.Image:
    """Returns an RGB image of ``size`` (width, height)."""
    pixels = backdrop.surface(rng, size)[..., None] * np.array(backdrop.colour, dtype=np.float32)
    image = Image.fromarray(np.minimum(pixels, 255, out=pixels).astype(np.uint8))
    if backdrop != PAPER and rng.random() < _CLUTTER_SHARE:
        _scatter(rng, image, backdrop.colour)
    return image


def _even(_rng: np.random.Generator, size: Size) -> Field:
    return np.ones(size[::-1], dtype=np.float32)


def _gradient(rng: np.random.Generator, size: Size) -> Field:
    corners = rng.uniform(0.85, 1.15, (2, 2))
    return _stretched(corners, size, Image.Resampling.BILINEAR)


def _plaster(rng: np.random.Generator, size: Size) -> Field:
    cells = (max(2, size[1] // 6), max(2, size[0] // 6))
    return _stretched(rng.normal(1.0, 0.05, cells), size)


def _wood(rng: np.random.Generator, size: Size) -> Field:
    """Boards with a grain along them, and dark joints between them."""
    boards = int(rng.integers(2, 6))
    grain = _stretched(rng.normal(1.0, 0.06, (size[1] // 3, 4)), size)
    height = size[1] / boards
    board = (np.arange(size[1]) / height).astype(int)
    tones = rng.uniform(0.92, 1.08, boards)[board]
    tones[np.arange(size[1]) % round(height) < _JOINT_PX] *= 0.75
    wood: Field = grain * tones[:, None].astype(np.float32)
    return wood


PAPER = Backdrop(WHITE, _even)


def _stretched(cells: NDArray[np.float64], size: Size, how: Image.Resampling = Image.Resampling.BICUBIC) -> Field:
    return np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, how))


def _scatter(rng: np.random.Generator, image: Image.Image, ground: Colour) -> None:
    """Draws small things on the backdrop, in colours near its own, so that none is taken for the product."""
    drawing = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 12))):
        radius = spread(rng, 0.02, 0.07) * min(image.size)
        at = (spread(rng, 0, image.width), spread(rng, 0, image.height))
        sides = pick(rng, (3, 4, 5, 6, 24))
        fill = blend(ground, pick(rng, PALETTE), _CLUTTER_TINT)
        drawing.regular_polygon((*at, radius), sides, int(rng.integers(360)), fill=fill)
