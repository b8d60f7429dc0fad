"""Photos for a page: small, and brought as labelling brings them, from the same places and no others."""

import io
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from typing import Final

from PIL import Image

from models.errors import HangtagError
from worker.job import Job
from worker.page.contact_sheet import thumbnail
from worker.photos.photo import Wanted
from worker.photos.source import open_photos

__all__ = ["brought"]

_SIDE: Final = 200
_WITHIN_S: Final = 15.0


def brought(job: Job, cells: Iterable[str | None], within_s: float = _WITHIN_S) -> dict[str, bytes]:
    """Some photos of a job, as a page shows them.

    Args:
        job: says where they may come from.
        cells: what the catalogue says of each.
        within_s: seconds after which those that have not come are left out.

    Returns:
        Cell → a PNG of the photo inside a white square; photos that cannot be had or read are left out.
    """
    wanted = [Wanted(0, row, cell) for row, cell in enumerate(dict.fromkeys(filter(None, cells)))]
    found: dict[str, bytes] = {}
    until = time.monotonic() + within_s
    with suppress(HangtagError), closing(open_photos(job)) as photos:  # such as credentials that this machine lacks
        photos.want(wanted, {})
        for _ in wanted:
            left_s = until - time.monotonic()
            photo = photos.take(left_s) if left_s > 0 else None  # a slow disk's are read when they are taken
            if photo is None:
                break
            if isinstance(photo.outcome, bytes) and photo.wanted.cell:
                picture = thumbnail(photo.outcome, _SIDE)
                if picture:
                    found[photo.wanted.cell] = _png(picture)
    return found


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
