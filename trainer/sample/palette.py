"""Colours, one palette for every class, chosen so that a product always stands out from what is behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.sample.chance import pick

__all__ = ["PALETTE", "WHITE", "Colour", "Colourway", "blend", "choose_colourway", "contrasting", "lightness"]

Colour = tuple[int, int, int]

WHITE: Colour = (250, 250, 248)
PALETTE: tuple[Colour, ...] = (
    (24, 28, 36),
    (34, 52, 92),
    (92, 28, 48),
    (30, 82, 66),
    (78, 60, 130),
    (176, 42, 50),
    (38, 104, 168),
    (110, 84, 62),
    (98, 112, 70),
    (214, 92, 52),
    (28, 140, 140),
    (198, 86, 130),
    (130, 134, 142),
    (120, 160, 96),
    (108, 164, 214),
    (206, 152, 92),
    (236, 172, 46),
    (190, 168, 214),
    (244, 178, 166),
    (158, 212, 192),
    (222, 206, 178),
    (248, 226, 120),
    (236, 236, 230),
)
_BACKDROP_GAP = 0.34
_TRIM_GAP = 0.18
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114


@dataclass(frozen=True)
class Colourway:
    """The colours of one photo. ``second`` is the other colour of a pattern on the body."""

    backdrop: Colour
    body: Colour
    second: Colour
    trim: Colour


def lightness(colour: Colour) -> float:
    """Returns how light a colour looks, 0 to 1 (luma of ITU-R BT.601, which is also how Pillow makes grey)."""
    red, green, blue = colour
    return (_RED * red + _GREEN * green + _BLUE * blue) / 255


def blend(colour: Colour, other: Colour, share: float) -> Colour:
    """Returns the colour with ``share`` (0 to 1) of the other in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def contrasting(rng: np.random.Generator, gaps: Sequence[tuple[Colour, float]]) -> Colour:
    """Returns a colour of the palette that is lighter or darker than each given colour by its gap or more."""
    clear = [c for c in PALETTE if all(abs(lightness(c) - lightness(other)) >= gap for other, gap in gaps)]
    return pick(rng, clear)


def choose_colourway(rng: np.random.Generator, backdrop: Colour) -> Colourway:
    """Chooses the product's colours for a backdrop."""
    body = contrasting(rng, [(backdrop, _BACKDROP_GAP)])
    second = pick(rng, _same_side(body, backdrop))
    trim = contrasting(rng, [(backdrop, _TRIM_GAP), (body, _TRIM_GAP)])
    return Colourway(backdrop, body, second, trim)


def _same_side(body: Colour, backdrop: Colour) -> list[Colour]:
    """Returns the colours that mix with the body's without passing through the backdrop's lightness."""
    ground = lightness(backdrop)
    side = 1 if lightness(body) > ground else -1
    return [c for c in PALETTE if (lightness(c) - ground) * side >= _BACKDROP_GAP]
