"""One photo: a product, posed and lit, before a backdrop."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from trainer.sample.chance import pick
from trainer.sample.products import PRODUCTS
from trainer.sample.shapes import InkMap, Outline, Part, Parts, print_parts, rotation
from trainer.sample.surfaces import (
    PAPER,
    Colour,
    Colourway,
    choose_backdrop,
    choose_colourway,
    choose_pattern,
    cover_body,
    paint_backdrop,
)

LightField = NDArray[np.float64]
_LONG_SIDE_PX = (190, 421)
_SHORT_SIDE_PX = 160
_ASPECTS = (1.0, 1.0, 6 / 5, 5 / 4, 4 / 3)
_SHADE, _SHINE = 0.32, 0.45
_TURN_DEG = 20.0
_SHEAR = 0.08
_STRETCH = 0.1
_FILL = (0.74, 0.95)
_SLACK_USED = 0.7
_SHADOW_SCALE = 4
_GRAIN_SHARE = 0.5
_FALL_OFF = 0.15
_RELIEF = 0.3
_ACROSS: LightField = np.linspace(-1, 1, 16)[None, :]
_DOWN: LightField = np.linspace(-1, 1, 16)[:, None]


@dataclass(frozen=True)
class Photo:
    """An RGB photo, grey coverage (255 where the product is, the alpha of a cut-out), the product's colour and pattern.

    The colour is of the palette, before light and pattern change it.
    """

    image: Image.Image
    coverage: Image.Image
    body: Colour
    pattern: str = "plain"


def draw_photo(rng: np.random.Generator, product: str, *, cut_out: bool = False) -> Photo:
    """Draws one photo of a product, a key of ``PRODUCTS``; a cut-out stands on bare white, without a shadow."""
    long = int(rng.integers(*_LONG_SIDE_PX))
    short = max(_SHORT_SIDE_PX, round(long / pick(rng, _ASPECTS)))
    size = pick(rng, ((long, short), (short, long)))
    parts = PRODUCTS[product](rng)
    pose = choose_pose(rng, parts, size)
    inks = print_parts(pose.place(parts), size)
    backdrop = PAPER if cut_out else choose_backdrop(rng)
    colours = choose_colourway(rng, backdrop.colour)
    pattern = choose_pattern(rng)
    body = cover_body(rng, pattern, *pose.fabric(size), colours)
    scene = paint_backdrop(rng, backdrop, size)
    if not cut_out:
        _cast_shadow(rng, scene, inks.coverage)
    lit = _lit(rng, _compose(scene, body, inks, colours), inks.coverage)
    return Photo(lit, inks.coverage, colours.body, pattern)


@dataclass(frozen=True)
class Pose:
    """From a product's own coordinates to pixels: ``outline @ matrix + offset``."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    def place(self, parts: Sequence[Part]) -> Parts:
        """The parts in pixels."""
        return [replace(part, outline=part.outline @ self.matrix + self.offset) for part in parts]

    def fabric(self, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The product's x and y at every pixel, ``(height, width)`` each, for a pattern that lies on it."""
        back = np.linalg.inv(self.matrix)
        columns = (np.arange(size[0]) - self.offset[0])[None, :]
        rows = (np.arange(size[1]) - self.offset[1])[:, None]
        across, down = (columns * back[0, i] + rows * back[1, i] for i in (0, 1))
        return across.astype(np.float32), down.astype(np.float32)


def choose_pose(rng: np.random.Generator, parts: Sequence[Part], size: tuple[int, int]) -> Pose:
    """Chooses a pose in which the parts fill most of a frame of ``size`` (width, height) and touch no side."""
    matrix = _choose_matrix(rng)
    points: Outline = np.concatenate([part.outline for part in parts]) @ matrix
    low, high = points.min(axis=0), points.max(axis=0)
    frame = np.array(size, dtype=np.float64)
    scale = rng.uniform(*_FILL) * float((frame / (high - low)).min())
    slack = frame - (high - low) * scale
    centre = frame / 2 + slack * rng.uniform(-0.5, 0.5, 2) * _SLACK_USED
    return Pose(matrix * scale, centre - (low + high) / 2 * scale)


def _choose_matrix(rng: np.random.Generator) -> NDArray[np.float64]:
    mirror = pick(rng, (-1.0, 1.0))
    stretch = np.diag([mirror * rng.uniform(1 - _STRETCH, 1 + _STRETCH), 1.0])
    shear = np.array([[1.0, 0.0], [rng.uniform(-_SHEAR, _SHEAR), 1.0]])
    turn = rotation(rng.uniform(-_TURN_DEG, _TURN_DEG) / 360)
    return np.asarray(stretch @ shear @ turn)


def _compose(scene: Image.Image, body: Image.Image, inks: InkMap, colours: Colourway) -> Image.Image:
    """Lays the product on the scene, ink by ink."""
    scene.paste(body, mask=inks.coverage)
    _dye(scene, colours.trim, inks.trim)
    _dye(scene, (0, 0, 0), inks.shade.point(lambda value: value * _SHADE))
    _dye(scene, (255, 255, 255), inks.light.point(lambda value: value * _SHINE))
    return scene


def _dye(scene: Image.Image, colour: Colour, mask: Image.Image) -> None:
    """Pastes a colour through a mask, of which only the box that holds anything is gone through."""
    box = mask.getbbox()
    if box is not None:
        scene.paste(colour, box, mask.crop(box))


def _cast_shadow(rng: np.random.Generator, backdrop: Image.Image, coverage: Image.Image) -> None:
    """Darkens the backdrop where the product, given by its coverage, keeps the light away."""
    small = coverage.reduce(_SHADOW_SCALE)
    reach = min(small.size)
    blurred = small.filter(ImageFilter.GaussianBlur(rng.uniform(0.02, 0.06) * reach))
    offset = (round(rng.uniform(-0.06, 0.06) * reach), round(rng.uniform(0.01, 0.07) * reach))
    strength = rng.uniform(0.15, 0.5)
    moved = Image.new("L", small.size)
    moved.paste(blurred.point(lambda value: value * strength), offset)
    backdrop.paste((20, 18, 24), mask=moved.resize(backdrop.size, Image.Resampling.BILINEAR))


def _lit(rng: np.random.Generator, photo: Image.Image, coverage: Image.Image) -> Image.Image:
    """The photo under a light of its own, which also rounds off the product, given by its coverage."""
    corners = np.hypot(_DOWN, _ACROSS) ** 2 * rng.uniform(0.0, 0.18)
    light = _spread_out(rng.uniform(0.8, 1.12) * (1 + _slope(rng, _FALL_OFF) - corners), photo.size)
    relief = _spread_out(_slope(rng, _RELIEF), photo.size) * (np.asarray(coverage) * np.float32(1 / 255))
    pixels = np.asarray(photo) * (light * (1 + relief))[..., None]
    if rng.random() < _GRAIN_SHARE:
        pixels += (rng.random(pixels.shape[:2], dtype=np.float32)[..., None] - 0.5) * rng.uniform(4, 24)
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def _slope(rng: np.random.Generator, steepness: float) -> LightField:
    """A coarse grid that rises evenly in some direction, about 0."""
    return rng.uniform(-steepness, steepness) * _ACROSS + rng.uniform(-steepness, steepness) * _DOWN


def _spread_out(cells: LightField, size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
