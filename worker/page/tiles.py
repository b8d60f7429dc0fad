"""Labelled photos as tiles of a page: captions in any script, as many in a row as fit."""

import base64
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from worker.page.contact_sheet import SheetPhoto, failed_last, thumbnail
from worker.page.text import visible

__all__ = ["embedded", "jpeg_uri", "photo_tiles", "picture"]

_SIDE: Final = 200
_QUALITIES: Final = (80, 60, 40, 20, 5)


def photo_tiles(photos: Sequence[SheetPhoto]) -> str:
    """A grid of tiles, failed rows last; a photo that cannot be read is a tile that says so.

    Returns:
        HTML; the photos are in it as JPEGs of about 8 kB.
    """
    return f'<div class="tiles">{"".join(_tile(photo) for photo in failed_last(photos))}</div>'


def _tile(photo: SheetPhoto) -> str:
    title, detail = visible(photo.title), visible(photo.detail)
    why = f"<span>{visible(photo.why)}</span>" if photo.why else ""
    return (
        f'<figure class="tile {photo.status}">{picture(photo.photo, _SIDE)}'
        f'<figcaption><b dir="auto" title="{title}">{title}</b>'
        f'<span title="{detail}">{detail}</span>{why}</figcaption></figure>'
    )


def picture(photo: Path | bytes | None, side: int, most_bytes: int = sys.maxsize) -> str:
    """A photo inside a white square, as an element that holds it; or one that says there is none.

    Args:
        photo: its path or its bytes; none for one that is not to be shown.
        side: of the square, in pixels.
        most_bytes: of the JPEG in it; a photo of much detail is stored the worse for it.
    """
    image = thumbnail(photo, side) if photo else None
    return '<div class="nothing">no picture</div>' if image is None else embedded(image, most_bytes)


def embedded(image: Image.Image, most_bytes: int = sys.maxsize) -> str:
    """A picture as an element that holds it.

    Args:
        image: RGB.
        most_bytes: of the JPEG in it; a picture of much detail is stored the worse for it.
    """
    return f'<img alt="" src="{_uri(image, most_bytes)}">'


def jpeg_uri(photo: Path | bytes, side: int, most_bytes: int) -> str | None:
    """The picture of :func:`picture` as a ``data:`` URI of its JPEG; none where the photo cannot be read."""
    image = thumbnail(photo, side)
    return None if image is None else _uri(image, most_bytes)


def _uri(image: Image.Image, most_bytes: int) -> str:
    jpegs = (_jpeg(image, quality) for quality in _QUALITIES)
    jpeg = next((jpeg for jpeg in jpegs if len(jpeg) <= most_bytes), None)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg or _jpeg(image, _QUALITIES[-1])).decode()}"


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
