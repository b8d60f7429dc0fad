"""A sheet of labelled photos to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from models.errors import ImageError
from models.photo import read_photo
from models.preprocess import Decode, Fit, PreprocessSpec, preprocess
from worker.results import Status

__all__ = ["SheetPhoto", "draw_contact_sheet"]

_TILE: Final = 160
_CAPTION: Final = 40
_GAP: Final = 10
_COLUMNS: Final = 8
_INK: Final = (33, 37, 41)
_PAPER: Final = (248, 249, 250)
_FAINT: Final = (173, 181, 189)
_CARD: Final = (255, 255, 255)
_COLOURS: Final = {Status.LABELED: (43, 138, 62), Status.REVIEW: (230, 119, 0), Status.FAILED: (201, 42, 42)}


@dataclass(frozen=True)
class SheetPhoto:
    """A photo and what became of it; the caption's two lines are shown under it.

    Attributes:
        path: the photo; none for one that is not to be opened.
    """

    path: Path | None
    status: Status
    title: str
    detail: str


def draw_contact_sheet(photos: Sequence[SheetPhoto], output: Path) -> None:
    """Write a PNG with a tile a photo; a photo that cannot be read is an empty tile.

    Args:
        photos: in reading order.
        output: the PNG.
    """
    rows = -(-len(photos) // _COLUMNS)
    size = (_COLUMNS * (_TILE + _GAP) + _GAP, rows * (_TILE + _CAPTION + _GAP) + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    for position, photo in enumerate(photos):
        row, column = divmod(position, _COLUMNS)
        _draw_tile(sheet, photo, _GAP + column * (_TILE + _GAP), _GAP + row * (_TILE + _CAPTION + _GAP))
    sheet.save(output, optimize=True)


def _draw_tile(sheet: Image.Image, photo: SheetPhoto, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + _TILE, top + _TILE + _CAPTION), fill=_CARD)
    thumbnail = _thumbnail(photo.path) if photo.path else None
    if thumbnail is None:
        draw.text(
            (left + _TILE // 2, top + _TILE // 2),
            "no picture",
            fill=_FAINT,
            font=ImageFont.load_default(14),
            anchor="mm",
        )
    else:
        sheet.paste(thumbnail, (left, top))
    draw.rectangle((left, top + _TILE, left + 4, top + _TILE + _CAPTION), fill=_COLOURS[photo.status])
    draw.text((left + 11, top + _TILE + 4), photo.title[:22], fill=_INK, font=ImageFont.load_default(14))
    draw.text(
        (left + 11, top + _TILE + 22), photo.detail[:26], fill=_COLOURS[photo.status], font=ImageFont.load_default(11)
    )


def _thumbnail(path: Path) -> Image.Image | None:
    try:
        return Image.fromarray(preprocess(read_photo(path), PreprocessSpec(size=_TILE, fit=Fit.PAD, decode=Decode.DCT)))
    except ImageError:
        return None
