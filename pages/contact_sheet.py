"""A sheet of labelled photos to look at."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from pages.tiles import LabelledPhoto, failed_last, thumbnail

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_TILE: Final = 160
_CAPTION: Final = 55
_GAP: Final = 10
_COLUMNS: Final = 8
_STRIPE: Final = 4
_MARGIN: Final = 11
_LONGEST: Final = 60
_INK: Final = (33, 37, 41)
_PAPER: Final = (248, 249, 250)
_FAINT: Final = (134, 142, 150)
_CARD: Final = (255, 255, 255)
_FAILED_CARD: Final = (255, 236, 236)
_COLOURS: Final = {"labeled": (43, 138, 62), "review": (230, 119, 0), "failed": (201, 42, 42)}


def draw_contact_sheet(photos: Sequence[LabelledPhoto], output: Path) -> None:
    """Write a PNG with one tile for each photo: empty if it cannot be read, red for a failed row.

    Pillow's own font has ASCII letters only; others are drawn as boxes.

    Args:
        photos: in reading order; failed rows are put last.
        output: the PNG.
    """
    rows = -(-len(photos) // _COLUMNS)
    size = (_COLUMNS * (_TILE + _GAP) + _GAP, rows * (_TILE + _CAPTION + _GAP) + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    for position, photo in enumerate(failed_last(photos)):
        row, column = divmod(position, _COLUMNS)
        _draw_tile(sheet, photo, _GAP + column * (_TILE + _GAP), _GAP + row * (_TILE + _CAPTION + _GAP))
    sheet.save(output, optimize=True)


def _draw_tile(sheet: Image.Image, photo: LabelledPhoto, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    colour, failed = _COLOURS[photo.status], photo.status == "failed"
    right, middle, bottom = left + _TILE - 1, top + _TILE, top + _TILE + _CAPTION - 1
    draw.rectangle((left, top, right, bottom), fill=_FAILED_CARD if failed else _CARD)
    picture = thumbnail(photo.photo.source, _TILE) if photo.photo else None
    if picture is None:
        centre = (left + _TILE // 2, top + _TILE // 2)
        draw.text(centre, "no picture", fill=_FAINT, font=_font(14), anchor="mm")
    else:
        sheet.paste(picture, (left, top))
    draw.rectangle((left, middle, left + _STRIPE - 1, bottom), fill=colour)
    if failed:
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
    _draw_line(draw, (left + _MARGIN, middle + 4), photo.title, 14, _INK)
    _draw_line(draw, (left + _MARGIN, middle + 22), photo.detail, 11, colour)
    _draw_line(draw, (left + _MARGIN, middle + 37), photo.why, 10, colour)


def _draw_line(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, colour: tuple[int, int, int]
) -> None:
    draw.text(place, _fitting(text, _font(size), _TILE - _MARGIN - _STRIPE), fill=colour, font=_font(size))


def _fitting(text: str, font: _Font, width: int) -> str:
    """As much of a text as fits into ``width`` pixels on one line; three dots show that it was cut."""
    line = " ".join(text[: _LONGEST + 1].split())
    if len(text) <= _LONGEST and font.getlength(line) <= width:
        return line
    line = line[:_LONGEST]
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line.rstrip()}…"


@lru_cache(maxsize=4)
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)
