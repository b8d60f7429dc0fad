"""How a photo is lit: a soft shadow, then exposure, a gradient across the frame, darker corners and grain."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from trainer.sample.chance import spread

__all__ = ["cast_shadow", "light_photo"]

Field = NDArray[np.float64]

_SHADOW_SCALE = 4
_GRAIN_SHARE = 0.5
_FALL_OFF = 0.15
_RELIEF = 0.3
_ACROSS: Field = np.linspace(-1, 1, 16)[None, :]
_DOWN: Field = np.linspace(-1, 1, 16)[:, None]


def cast_shadow(rng: np.random.Generator, backdrop: Image.Image, coverage: Image.Image) -> None:
    """Darkens the backdrop where the product, given by its coverage, keeps the light away."""
    small = coverage.reduce(_SHADOW_SCALE)
    reach = min(small.size)
    blurred = small.filter(ImageFilter.GaussianBlur(spread(rng, 0.02, 0.06) * reach))
    offset = (round(spread(rng, -0.06, 0.06) * reach), round(spread(rng, 0.01, 0.07) * reach))
    strength = spread(rng, 0.15, 0.5)
    moved = Image.new("L", small.size)
    moved.paste(blurred.point(lambda value: value * strength), offset)
    backdrop.paste((20, 18, 24), mask=moved.resize(backdrop.size, Image.Resampling.BILINEAR))


def light_photo(rng: np.random.Generator, photo: Image.Image, coverage: Image.Image) -> Image.Image:
    """Returns the photo under a light of its own, which also rounds off the product, given by its coverage."""
    light = _stretched(_choose_light(rng), photo.size)
    relief = _stretched(_slope(rng, _RELIEF), photo.size) * (np.asarray(coverage) * np.float32(1 / 255))
    pixels = np.asarray(photo) * (light * (1 + relief))[..., None]
    if rng.random() < _GRAIN_SHARE:
        pixels += (rng.random(pixels.shape[:2], dtype=np.float32)[..., None] - 0.5) * spread(rng, 4, 24)
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def _choose_light(rng: np.random.Generator) -> Field:
    """Returns how much light falls on each cell of a coarse grid; 1 leaves a colour as it is."""
    corners = np.hypot(_DOWN, _ACROSS) ** 2 * spread(rng, 0.0, 0.18)
    return spread(rng, 0.8, 1.12) * (1 + _slope(rng, _FALL_OFF) - corners)


def _slope(rng: np.random.Generator, steepness: float) -> Field:
    """Returns a coarse grid that rises evenly in some direction, about 0."""
    return spread(rng, -steepness, steepness) * _ACROSS + spread(rng, -steepness, steepness) * _DOWN


def _stretched(cells: Field, size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
