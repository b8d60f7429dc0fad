"""Labelled photos as tiles of a page: captions in any script, as many in a row as fit."""

import base64
import io
from collections.abc import Sequence
from typing import Final

from worker.page.contact_sheet import SheetPhoto, failed_last, thumbnail
from worker.page.text import visible

__all__ = ["photo_tiles"]

_SIDE: Final = 200
_QUALITY: Final = 80


def photo_tiles(photos: Sequence[SheetPhoto]) -> str:
    """A grid of tiles, failed rows last; a photo that cannot be read is a tile that says so.

    Returns:
        HTML; the photos are in it as JPEGs of about 8 kB.
    """
    return f'<div class="tiles">{"".join(_tile(photo) for photo in failed_last(photos))}</div>'


def _tile(photo: SheetPhoto) -> str:
    title, detail = visible(photo.title), visible(photo.detail)
    return (
        f'<figure class="tile {photo.status}">{_picture(photo)}<figcaption><b dir="auto" title="{title}">{title}</b>'
        f'<span title="{detail}">{detail}</span></figcaption></figure>'
    )


def _picture(photo: SheetPhoto) -> str:
    image = thumbnail(photo.path, _SIDE) if photo.path else None
    if image is None:
        return '<div class="nothing">no picture</div>'
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
