"""Colours, backdrops and patterns; one palette for every class, and a product always stands out from its backdrop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trainer.sample.chance import pick

Colour = tuple[int, int, int]
Field = NDArray[np.float32]
Size = tuple[int, int]
Surface = Callable[[np.random.Generator, Size], Field]
Pattern = Callable[[np.random.Generator, Field, Field], Field]
WHITE: Colour = (250, 250, 248)
_NAMES: dict[str, str] = {
    "181c24": "black", "22345c": "blue", "5c1c30": "red", "1e5242": "green", "4e3c82": "purple", "b02a32": "red",
    "2668a8": "blue", "6e543e": "brown", "627046": "green", "d65c34": "orange", "1c8c8c": "green", "c65682": "pink",
    "82868e": "grey", "78a060": "green", "6ca4d6": "blue", "ce985c": "brown", "ecac2e": "yellow", "bea8d6": "purple",
    "f4b2a6": "pink", "9ed4c0": "green", "deceb2": "brown", "f8e278": "yellow", "ecece6": "white",
}  # fmt: skip
"""Colours, and which of English's eleven basic colour terms (Berlin and Kay, 1969) each is."""
PALETTE: tuple[Colour, ...] = tuple((red, green, blue) for red, green, blue in map(bytes.fromhex, _NAMES))
_WOODS: tuple[Colour, ...] = ((196, 150, 104), (226, 192, 150), (120, 82, 56), (84, 60, 46), (172, 160, 146))
_WALLS: tuple[Colour, ...] = ((226, 220, 208), (196, 206, 210), (214, 190, 176), (150, 164, 156), (92, 104, 116))
_BACKDROP_GAP = 0.34
_TRIM_GAP = 0.18
_CLUTTER_SHARE = 0.35
_CLUTTER_TINT = 0.3
_JOINT_PX = 2
_MIX = (0.25, 0.55)


@dataclass(frozen=True)
class Backdrop:
    """A colour, and how light it is from place to place."""

    colour: Colour
    surface: Surface


@dataclass(frozen=True)
class Colourway:
    """The colours of one photo. ``second`` is the other colour of a pattern on the body."""

    backdrop: Colour
    body: Colour
    second: Colour
    trim: Colour


def choose_backdrop(rng: np.random.Generator) -> Backdrop:
    """Chooses a kind of backdrop and its colour."""
    kinds = (((WHITE,), _even), (PALETTE, _even), (PALETTE, _gradient), (_WOODS, _wood), (_WALLS, _plaster))
    colours, surface = pick(rng, kinds)
    return Backdrop(pick(rng, colours), surface)


def choose_colourway(rng: np.random.Generator, backdrop: Colour) -> Colourway:
    """Chooses the product's colours for a backdrop."""
    body = _contrasting(rng, [(backdrop, _BACKDROP_GAP)])
    ground = lightness(backdrop)
    side = 1 if lightness(body) > ground else -1
    # the colours that mix with the body's without passing through the backdrop's lightness
    second = pick(rng, [c for c in PALETTE if (lightness(c) - ground) * side >= _BACKDROP_GAP])
    trim = _contrasting(rng, [(backdrop, _TRIM_GAP), (body, _TRIM_GAP)])
    return Colourway(backdrop, body, second, trim)


def _contrasting(rng: np.random.Generator, gaps: Sequence[tuple[Colour, float]]) -> Colour:
    """A colour of the palette that is lighter or darker than each given colour by its gap or more."""
    return pick(rng, [c for c in PALETTE if all(abs(lightness(c) - lightness(other)) >= gap for other, gap in gaps)])


def colour_name(colour: Colour) -> str:
    """Returns what people call a colour of the palette: ``red``, say."""
    return _NAMES[bytes(colour).hex()]


def lightness(colour: Colour) -> float:
    """Returns how light a colour looks, 0 to 1 (luma of ITU-R BT.601, which is also how Pillow makes grey)."""
    red, green, blue = colour
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def blend(colour: Colour, other: Colour, share: float) -> Colour:
    """The colour with ``share`` (0 to 1) of the other in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def paint_backdrop(rng: np.random.Generator, backdrop: Backdrop, size: Size) -> Image.Image:
    """An RGB image of ``size`` (width, height)."""
    pixels = backdrop.surface(rng, size)[..., None] * np.array(backdrop.colour, dtype=np.float32)
    image = Image.fromarray(np.minimum(pixels, 255, out=pixels).astype(np.uint8))
    if backdrop != PAPER and rng.random() < _CLUTTER_SHARE:
        _scatter(rng, image, backdrop.colour)
    return image


def _scatter(rng: np.random.Generator, image: Image.Image, ground: Colour) -> None:
    """Draws small things on the backdrop, in colours near its own, so that none is taken for the product."""
    drawing = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 12))):
        radius = rng.uniform(0.02, 0.07) * min(image.size)
        at = (rng.uniform(0, image.width), rng.uniform(0, image.height))
        sides = pick(rng, (3, 4, 5, 6, 24))
        fill = blend(ground, pick(rng, PALETTE), _CLUTTER_TINT)
        drawing.regular_polygon((*at, radius), sides, int(rng.integers(360)), fill=fill)


def _even(_rng: np.random.Generator, size: Size) -> Field:
    return np.ones(size[::-1], dtype=np.float32)


PAPER = Backdrop(WHITE, _even)


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


def _stretched(cells: NDArray[np.float64], size: Size, how: Image.Resampling = Image.Resampling.BICUBIC) -> Field:
    return np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, how))


def choose_pattern(rng: np.random.Generator) -> str:
    """Chooses what is on the body: ``plain``, ``stripes``, ``checks``, ``dots`` or ``weave``."""
    return pick(rng, ("plain", *_PATTERNS))


def cover_body(rng: np.random.Generator, pattern: str, across: Field, down: Field, colours: Colourway) -> Image.Image:
    """An RGB image, the cloth or glaze from which the body is cut, by its pattern and its x and y at every pixel."""
    share = _PATTERNS[pattern](rng, across, down)
    size = across.shape[::-1]
    second = blend(colours.body, colours.second, rng.uniform(*_MIX))
    body = Image.new("RGB", size, colours.body)
    body.paste(second, mask=Image.fromarray((share * np.float32(255)).astype(np.uint8)))
    return body


def _plain(_rng: np.random.Generator, across: Field, _down: Field) -> Field:
    return np.zeros_like(across)


def _stripes(rng: np.random.Generator, across: Field, down: Field) -> Field:
    along = pick(rng, (across, down, across + down))
    return _bars(along, rng.uniform(2.5, 6.0), rng.uniform(0.3, 0.6))


def _checks(rng: np.random.Generator, across: Field, down: Field) -> Field:
    count = rng.uniform(2.0, 4.0)
    return (_bars(across, count, 0.5) + _bars(down, count, 0.5)) * np.float32(0.5)


def _dots(rng: np.random.Generator, across: Field, down: Field) -> Field:
    count, radius = rng.uniform(2.5, 5.0), rng.uniform(0.2, 0.34)
    x, y = (across * count) % 1 - 0.5, (down * count) % 1 - 0.5
    return (x * x + y * y < radius * radius).astype(np.float32)


def _weave(rng: np.random.Generator, across: Field, _down: Field) -> Field:
    return rng.random(across.shape, dtype=np.float32) * np.float32(0.6)


def _bars(along: Field, count: float, share: float) -> Field:
    return ((along * np.float32(count)) % 1 < share).astype(np.float32)


_PATTERNS: dict[str, Pattern] = {
    "plain": _plain,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "weave": _weave,
}
