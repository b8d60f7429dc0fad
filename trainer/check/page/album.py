"""The photos of a check as tiles of its page, and the names that it shows of files."""

from pathlib import Path
from typing import Final

from pages.text import isolated, visible
from trainer.check.checkup import Checkup
from trainer.data.dataset import LabeledPhoto
from worker.page.tiles import picture

__all__ = ["LONGEST_LABEL", "LONGEST_NAME", "Album"]

LONGEST_LABEL: Final = 60
LONGEST_NAME: Final = 80
_SIDE: Final = 140
_MOST_BYTES: Final = 4_400
"""Of a JPEG. A page has at most 24 tiles for each of 18 issues: 2.5 MB, once they are text."""


class Album:
    """Tiles of usable photos; each photo is opened once at most, and when it is first shown.

    Args:
        checkup: whose places are shown.

    Attributes:
        root: the folder that names of files begin at.
    """

    def __init__(self, checkup: Checkup) -> None:
        source = checkup.dataset.source
        self.root = source.parent if source.suffix.lower() == ".csv" else source
        self._photos = checkup.looked.photos
        self._pictures: dict[Path, str] = {}

    def inside(self, path: Path) -> str:
        """Where a file lies in :attr:`root`."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def tile(self, place: int, *notes: str) -> str:
        """A photo over its class, notes of HTML, its split and its name; its path is shown to those who point at it."""
        photo = self._photos[place]
        split = f"{photo.split} · " if photo.split else ""
        name = f'{split}<bdi title="{visible(self.inside(photo.path))}">{visible(photo.path.name, LONGEST_NAME)}</bdi>'
        return self.titled(place, isolated(photo.label, LONGEST_LABEL), *notes, name)

    def titled(self, place: int, title: str, *lines: str) -> str:
        """A photo over a title and some lines of HTML."""
        shown = "".join(f"<span>{line}</span>" for line in lines if line)
        caption = f"<figcaption><b>{title}</b>{shown}</figcaption>"
        return f'<figure class="tile">{self._picture(self._photos[place])}{caption}</figure>'

    def couple(self, first: int, second: int, note: str) -> str:
        """Two photos side by side under a note of HTML."""
        return (
            f'<figure class="couple"><figcaption>{note}</figcaption><div>{self.tile(first)}{self.tile(second)}</div>'
            "</figure>"
        )

    def _picture(self, photo: LabeledPhoto) -> str:
        if photo.path not in self._pictures:
            self._pictures[photo.path] = picture(photo.path, _SIDE, _MOST_BYTES)
        return self._pictures[photo.path]
