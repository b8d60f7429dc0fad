"""Photos of a report as the network sees them."""

from collections.abc import Sequence
from typing import Final

from PIL import Image

from models.preprocess import Pixels
from pages.text import visible
from trainer.report.page.data import LONGEST_LABEL
from trainer.splits.assigned import AssignedPhoto
from worker.page.tiles import embedded

__all__ = ["named", "tile"]

_SIDE: Final = 160
_MOST_BYTES: Final = 5_500


def tile(pixels: Sequence[Pixels], title: str, lines: Sequence[str], kind: str = "") -> str:
    """Pictures side by side over a title and some lines of HTML."""
    pictures = "".join(map(_picture, pixels))
    shown = "".join(f"<span>{line}</span>" for line in lines)
    return (
        f'<figure class="tile {kind}"><div class="pictures">{pictures}</div>'
        f"<figcaption><b>{title}</b>{shown}</figcaption></figure>"
    )


def named(photo: AssignedPhoto) -> str:
    """A photo's file name; its whole path is shown to those who point at it."""
    return f'<bdi title="{visible(str(photo.path))}">{visible(photo.path.name, LONGEST_LABEL)}</bdi>'


def _picture(pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    if max(image.size) > _SIDE:
        image = image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return embedded(image, _MOST_BYTES)
