"""Labelled photos from elsewhere: each is fetched once, into the cache."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from catalogue.photo import Photo, Wanted
from catalogue.photos import Photos, open_photos
from catalogue.urls import scheme_of, shown
from models.errors import ImageError, InputError
from models.file_kinds import FIRST_BYTES, is_text
from models.text import one_line
from models.whole_file import write_beside
from trainer.data.dataset import Dataset, LabeledPhoto

_CUT: Final = 300
"""Characters of a URL that a message of its download shows."""
_LONGEST: Final = 2000
_NAME: Final = 100
"""Characters of a URL's path that the name of its file shows."""
_DIGITS: Final = 16
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9-]+")


def fetch_photos(
    dataset: Dataset, allow_hosts: Sequence[str] | None, cache: Path, advance: Callable[[int, int], None]
) -> Dataset:
    """The data set with the photos from elsewhere on this machine, or with the reason why they are not.

    They are fetched as a worker fetches them, each URL once, into ``photos/`` in the cache. ``allow_hosts`` are
    ``HOST:PORT`` of hosts whose addresses are not public; ``advance`` is told (fetched, to fetch).
    """
    cells = [photo.cell for photo in dataset.photos if photo.cell is not None]
    if not cells:
        return dataset
    root = dataset.table.image_root if dataset.table else str(dataset.source.parent)
    with closing(open_photos(root, allow_hosts or ())) as photos:
        places = {cell: _place(cache / "photos", photos.url_of(cell) or cell) for cell in dict.fromkeys(cells)}
        try:
            failures = _fetch(photos, {cell: place for cell, place in places.items() if not _is_here(place)}, advance)
        except OSError as error:
            msg = f"Expected to keep photos in {cache}, got {error}; set XDG_CACHE_HOME to a folder with room."
            raise InputError(msg) from error

    def brought(photo: LabeledPhoto) -> LabeledPhoto:
        if photo.cell is None:
            return photo
        return replace(photo, path=places[photo.cell], error=failures.get(photo.cell))

    return replace(dataset, photos=tuple(map(brought, dataset.photos)))


def _fetch(photos: Photos, places: Mapping[str, Path], advance: Callable[[int, int], None]) -> dict[str, ImageError]:
    cells, failures = list(places), dict[str, ImageError]()
    for photo in photos.bring([Wanted(0, number, cell) for number, cell in enumerate(cells)], advance):
        cell = cells[photo.wanted.row]
        if isinstance(photo.outcome, bytes):
            places[cell].parent.mkdir(parents=True, exist_ok=True)
            write_beside(places[cell], photo.outcome).replace(places[cell])
        elif photo.outcome is not None:
            failures[cell] = ImageError(failure(photos, photo), photo.outcome.fault)
    return failures


def failure(photos: Photos, photo: Photo) -> str:
    """Why a photo could not be had, in a line that anybody may read: without what its URL is signed with."""
    url, message = photos.url_of(photo.wanted.cell), str(photo.outcome)
    return one_line(message.replace(url[:_CUT], shown(url[:_CUT])) if url else message, _LONGEST)


def _place(folder: Path, url: str) -> Path:
    """The file of a URL's photo, whose name shows the URL without its signature, and no ending, which may be wrong."""
    digest = hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
    if scheme_of(url) == "data":
        return folder / "data" / digest
    host, _, path = shown(url).partition("://")[2].partition("/")
    return folder / _UNUSUAL.sub("_", host)[:_NAME] / f"{_UNUSUAL.sub('_', path)[-_NAME:]}-{digest}"


def _is_here(place: Path) -> bool:
    """Whether the cache has a photo; what is text is an error that its host may have mended since."""
    try:
        with place.open("rb") as file:
            return not is_text(file.read(FIRST_BYTES))
    except FileNotFoundError:
        return False
