"""What a network saw while it learned: a batch as one picture."""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["batch_captions", "train_batch_jpeg"]

_MOST: Final = 36
_COLUMNS: Final = 6
_TILE: Final = 160
_CAPTION: Final = 38
_GAP: Final = 8
_LINE: Final = 16
_MARGIN: Final = 4
_LONGEST: Final = 60
_INK: Final = (33, 37, 41)
_PAPER: Final = (248, 249, 250)
_CARD: Final = (255, 255, 255)
_LEAST: Final = 0.005


def batch_captions(targets: NDArray[np.float32], classes: Sequence[str]) -> list[str]:
    """What each photo of a batch was said to be: one label, or two with their shares where photos were mixed.

    Args:
        targets: ``float32 (n, classes)``, or ``(n, 1)`` for two classes: the share of the second. Rows that sum to 1.
        classes: names, in index order.
    """
    shares = np.column_stack((1 - targets, targets)) if targets.shape[1] == 1 else targets
    return [_caption(row, classes) for row in shares]


def _caption(row: NDArray[np.float32], classes: Sequence[str]) -> str:
    first, *others = [int(place) for place in np.argsort(-row, kind="stable")[:2] if row[place] > _LEAST] or [0]
    if not others:
        return classes[first]
    return "\n".join(f"{row[place]:.0%} {classes[place]}" for place in (first, *others))


def train_batch_jpeg(pixels: NDArray[np.float32] | NDArray[np.uint8], captions: Sequence[str]) -> bytes:
    """A mosaic of a batch, with a caption under each photo.

    Args:
        pixels: ``(n, S, S, 3)`` in 0..255; the first 36 are shown.
        captions: a line or two for each.

    Returns:
        A JPEG of about 1000 pixels across. Letters that its font lacks, Chinese ones say, are drawn as boxes.
    """
    shown = np.clip(np.rint(pixels[:_MOST]), 0, 255).astype(np.uint8)
    columns = min(_COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    sheet = Image.new("RGB", (columns * (_TILE + _GAP) + _GAP, rows * (_TILE + _CAPTION + _GAP) + _GAP), _PAPER)
    for place, (photo, caption) in enumerate(zip(shown, captions, strict=False)):
        row, column = divmod(place, columns)
        left, top = _GAP + column * (_TILE + _GAP), _GAP + row * (_TILE + _CAPTION + _GAP)
        _draw(sheet, Image.fromarray(photo), caption, left, top)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=82, optimize=True)
    return buffer.getvalue()


def _draw(sheet: Image.Image, photo: Image.Image, caption: str, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + _TILE - 1, top + _TILE + _CAPTION - 1), fill=_CARD)
    sheet.paste(photo.resize((_TILE, _TILE), Image.Resampling.LANCZOS), (left, top))
    for number, line in enumerate(caption.split("\n")[:2]):
        place = (left + _MARGIN, top + _TILE + 3 + number * _LINE)
        draw.text(place, _fitting(line), fill=_INK, font=_font())


def _fitting(text: str) -> str:
    """As much of a text as is no wider than a tile; what is cut off leaves three dots."""
    line = " ".join(text[: _LONGEST + 1].split())
    if len(text) <= _LONGEST and _font().getlength(line) <= _TILE - 2 * _MARGIN:
        return line
    while line and _font().getlength(f"{line}…") > _TILE - 2 * _MARGIN:
        line = line[:-1]
    return f"{line.rstrip()}…"


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    """The font that comes with Matplotlib has the letters of most alphabets."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 13)
