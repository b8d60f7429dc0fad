"""What a product is made of: outlines, each filled with one of four inks, whose colours are chosen later."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from PIL import Image, ImageChops, ImageDraw

from trainer.sample.curve import Outline

__all__ = ["Ink", "InkMap", "Part", "Parts", "both_sides", "print_parts"]

_SUPERSAMPLING = 2


class Ink(Enum):
    """What fills a part, as the four channels of an ink map. ``GAP`` cuts a hole through to the backdrop."""

    BODY = (255, 0, 0, 0)
    TRIM = (0, 255, 0, 0)
    SHADE = (0, 0, 255, 0)
    LIGHT = (0, 0, 0, 255)
    GAP = (0, 0, 0, 0)


@dataclass(frozen=True)
class Part:
    """One filled outline. Later parts of a product cover earlier ones."""

    outline: Outline
    ink: Ink = Ink.BODY


Parts = list[Part]


def both_sides(outline: Outline, ink: Ink) -> Parts:
    """Returns a part and its mirror image."""
    return [Part(outline, ink), Part(outline * (-1.0, 1.0), ink)]


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
    return _separate(sheet.reduce(_SUPERSAMPLING))


def _separate(sheet: Image.Image) -> InkMap:
    """Splits the sheet into its inks and what they cover together."""
    body, *others = sheet.split()
    coverage = body
    for ink in others:
        coverage = ImageChops.add(coverage, ink)
    trim, shade, light = others
    return InkMap(coverage, trim, shade, light)
