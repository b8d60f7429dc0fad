"""Photos of pages that the trainer still writes as text."""

import sys
from pathlib import Path

from PIL import Image

from pages.tiles import jpeg_uri, photo_uri

__all__ = ["embedded", "picture"]


def picture(photo: Path | bytes | None, side: int, most_bytes: int = sys.maxsize) -> str:
    """A photo inside a white square, as an element that holds it; or one that says there is none."""
    uri = photo_uri(photo, side, most_bytes) if photo else None
    return f'<img alt="" src="{uri}">' if uri else '<div class="nothing">no picture</div>'


def embedded(image: Image.Image, most_bytes: int = sys.maxsize) -> str:
    """A picture as an element that holds it."""
    return f'<img alt="" src="{jpeg_uri(image, most_bytes)}">'
