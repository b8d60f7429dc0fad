"""Renders one photo: a product in some colours, posed and lit, in front of a backdrop."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from trainer.sample.products import PRODUCTS, Outline, Parts, pick, rotation

Colour = tuple[int, int, int]
Size = tuple[int, int]
Pixels = NDArray[np.float32]

_NAMES: dict[str, str] = {
    "181c24": "black", "22345c": "blue", "5c1c30": "red", "1e5242": "green", "4e3c82": "purple", "b02a32": "red",
    "2668a8": "blue", "6e543e": "brown", "627046": "green", "d65c34": "orange", "1c8c8c": "green", "c65682": "pink",
    "82868e": "grey", "78a060": "green", "6ca4d6": "blue", "ce985c": "brown", "ecac2e": "yellow", "bea8d6": "purple",
    "f4b2a6": "pink", "9ed4c0": "green", "deceb2": "brown", "f8e278": "yellow", "ecece6": "white",
}  # fmt: skip
"""RGB colours in hexadecimal, each with its basic colour term (Berlin and Kay, 1969)."""
PALETTE: tuple[Colour, ...] = tuple((red, green, blue) for red, green, blue in map(bytes.fromhex, _NAMES))
_WHITE: Colour = (250, 250, 248)
_WOODS: tuple[Colour, ...] = ((196, 150, 104), (226, 192, 150), (120, 82, 56), (84, 60, 46), (172, 160, 146))
_WALLS: tuple[Colour, ...] = ((226, 220, 208), (196, 206, 210), (214, 190, 176), (150, 164, 156), (92, 104, 116))
_BACKDROPS = ("paper", "even", "wood", "plaster")
_BACKDROP_GAP, _TRIM_GAP = 0.34, 0.18
"""Minimum differences in lightness: body to backdrop, and trim to body and backdrop."""
_LONG_SIDE_PX = (190, 421)
_SHORT_SIDE_PX = 160
_ASPECTS = (1.0, 1.0, 6 / 5, 5 / 4, 4 / 3)
_SUPERSAMPLING = 2
_SHADOW_SCALE = 4
_ACROSS, _DOWN = np.linspace(-1, 1, 16)[None, :], np.linspace(-1, 1, 16)[:, None]


@dataclass(frozen=True)
class Photo:
    """An RGB photo. ``coverage`` is 255 where the product is. ``body`` is the product's main colour."""

    image: Image.Image
    coverage: Image.Image
    body: Colour


def colour_name(colour: Colour) -> str:
    """The usual word for a colour of the palette, such as ``red``."""
    return _NAMES[bytes(colour).hex()]


def draw_photo(rng: np.random.Generator, product: str, *, cut_out: bool = False) -> Photo:
    """Render a photo of ``product``, which is a key of ``PRODUCTS``. A cut-out is on plain white, without a shadow."""
    long = int(rng.integers(*_LONG_SIDE_PX))
    short = max(_SHORT_SIDE_PX, round(long / pick(rng, _ASPECTS)))
    size = pick(rng, ((long, short), (short, long)))
    parts = PRODUCTS[product](rng)
    matrix, offset = choose_pose(rng, parts, size)
    body_ink, trim_ink, shade_ink = _inks(parts, matrix, offset, size)
    coverage = reduce(ImageChops.add, [body_ink, trim_ink, shade_ink])
    kind = "paper" if cut_out else pick(rng, _BACKDROPS)
    backdrop = pick(rng, {"paper": (_WHITE,), "wood": _WOODS, "plaster": _WALLS}.get(kind, PALETTE))
    body, second, trim = choose_colours(rng, backdrop)
    scene = _paint(rng, kind, backdrop, size)
    if not cut_out:
        _cast_shadow(rng, scene, coverage)
    scene.paste(body, mask=coverage)
    scene.paste(second, mask=ImageChops.multiply(body_ink, _pattern(rng, matrix, offset, size)))
    scene.paste(trim, mask=trim_ink)
    scene.paste((0, 0, 0), mask=shade_ink.point(lambda value: value * 0.32))
    return Photo(_lit(rng, scene), coverage, body)


def choose_pose(rng: np.random.Generator, parts: Parts, size: Size) -> tuple[Outline, Outline]:
    """Choose a pose in which the parts fill most of the frame (width, height), but do not touch its sides.

    Returns:
        ``matrix`` and ``offset``. ``outline @ matrix + offset`` is an outline in pixels.
    """
    stretch = np.diag([pick(rng, (-1.0, 1.0)) * rng.uniform(0.9, 1.1), 1.0])
    matrix = stretch @ rotation(rng.uniform(-20, 20) / 360)
    points = np.concatenate([part.outline for part in parts]) @ matrix
    low, high = points.min(axis=0), points.max(axis=0)
    scale = rng.uniform(0.74, 0.95) * float((np.array(size) / (high - low)).min())
    slack = np.array(size) - (high - low) * scale
    centre = np.array(size) / 2 + slack * rng.uniform(-0.35, 0.35, 2)
    return matrix * scale, centre - (low + high) / 2 * scale


def _inks(parts: Parts, matrix: Outline, offset: Outline, size: Size) -> tuple[Image.Image, ...]:
    sheet = Image.new("RGB", (size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING))
    drawing = ImageDraw.Draw(sheet)
    for part in parts:
        outline = (part.outline @ matrix + offset) * _SUPERSAMPLING
        drawing.polygon(outline.ravel().tolist(), fill=part.ink.value)
    return sheet.reduce(_SUPERSAMPLING).split()


def choose_colours(rng: np.random.Generator, backdrop: Colour) -> tuple[Colour, Colour, Colour]:
    """The colours of a product's body, pattern and trim. All differ in lightness from the backdrop."""
    body = _contrasting(rng, [(backdrop, _BACKDROP_GAP)])
    # body and pattern are both lighter or both darker than the backdrop: their mix must not match it
    side = 1 if lightness(body) > lightness(backdrop) else -1
    seconds = [one for one in PALETTE if (lightness(one) - lightness(backdrop)) * side >= _BACKDROP_GAP]
    share, other = rng.uniform(0.25, 0.55), pick(rng, seconds)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(body, other, strict=True))
    return body, (red, green, blue), _contrasting(rng, [(backdrop, _TRIM_GAP), (body, _TRIM_GAP)])


def _contrasting(rng: np.random.Generator, gaps: Sequence[tuple[Colour, float]]) -> Colour:
    return pick(rng, [c for c in PALETTE if all(abs(lightness(c) - lightness(other)) >= gap for other, gap in gaps)])


def lightness(colour: Colour) -> float:
    """The lightness of a colour, 0 to 1: luma (ITU-R BT.601), as in Pillow's greyscale."""
    red, green, blue = colour
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def _paint(rng: np.random.Generator, kind: str, colour: Colour, size: Size) -> Image.Image:
    if kind not in {"wood", "plaster"}:
        return Image.new("RGB", size, colour)
    cells = (size[1] // 3, 4) if kind == "wood" else (size[1] // 6, size[0] // 6)
    tones = _stretched(rng.normal(1.0, 0.06, cells), size)[..., None]
    return _image(tones * np.array(colour, np.float32))


def _pattern(rng: np.random.Generator, matrix: Outline, offset: Outline, size: Size) -> Image.Image:
    columns, rows = (np.arange(side) - start for side, start in zip(size, offset, strict=True))
    back = np.linalg.inv(matrix)
    across, down = (columns[None, :] * back[0, i] + rows[:, None] * back[1, i] for i in (0, 1))
    count = rng.uniform(2.5, 5.0)
    x, y = (across * count) % 1, (down * count) % 1
    stripes = pick(rng, (x, y)) < rng.uniform(0.3, 0.6)
    checks = (x < 0.5) * 0.5 + (y < 0.5) * 0.5
    dots = np.hypot(x - 0.5, y - 0.5) < rng.uniform(0.2, 0.34)
    return Image.fromarray((pick(rng, (x * 0, stripes, checks, dots)) * 255.0).astype(np.uint8))


def _cast_shadow(rng: np.random.Generator, scene: Image.Image, coverage: Image.Image) -> None:
    small = coverage.reduce(_SHADOW_SCALE)
    reach, strength = min(small.size), rng.uniform(0.15, 0.5)
    blurred = small.filter(ImageFilter.GaussianBlur(rng.uniform(0.02, 0.06) * reach))
    moved = Image.new("L", small.size)
    offset = (round(rng.uniform(-0.06, 0.06) * reach), round(rng.uniform(0.01, 0.07) * reach))
    moved.paste(blurred.point(lambda value: value * strength), offset)
    scene.paste((20, 18, 24), mask=moved.resize(scene.size, Image.Resampling.BILINEAR))


def _lit(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    slope = rng.uniform(-0.15, 0.15) * _ACROSS + rng.uniform(-0.15, 0.15) * _DOWN
    corners = np.hypot(_DOWN, _ACROSS) ** 2 * rng.uniform(0.0, 0.18)
    light = _stretched(rng.uniform(0.8, 1.12) * (1 + slope - corners), photo.size)
    pixels = np.asarray(photo) * light[..., None]
    grain = (rng.random(pixels.shape[:2], dtype=np.float32)[..., None] - 0.5) * rng.uniform(0, 20)
    return _image(pixels + grain)


def _stretched(cells: NDArray[np.float64], size: Size) -> Pixels:
    return np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
