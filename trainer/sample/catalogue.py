"""Draws a whole catalogue into a folder: ``<class>/<number>.<extension>``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.errors import InputError
from trainer.sample.chance import Stream, deal, stream
from trainer.sample.faults import plant_faults
from trainer.sample.photo import draw_photo
from trainer.sample.products import PRODUCTS
from trainer.sample.storage import STORAGE_DECK, PixelMode, encode

__all__ = ["SampleCatalogue", "draw_catalogue"]


@dataclass(frozen=True)
class SampleCatalogue:
    """What was drawn. Paths are relative to the catalogue's folder.

    Attributes:
        classes: names of the classes, sorted; each is a folder.
        photos: how many sound photos there are, not counting the files below.
        duplicates: copies, byte for byte, of photos of the same class.
        truncated: JPEG files that end half-way.
        not_an_image: web pages named ``.jpg``.
        wrong_extension: PNG files named ``.jpg``: readable, by what is inside.
    """

    classes: tuple[str, ...]
    photos: int
    duplicates: tuple[Path, ...]
    truncated: tuple[Path, ...]
    not_an_image: tuple[Path, ...]
    wrong_extension: tuple[Path, ...]


def draw_catalogue(
    out: Path, count: int = 1000, seed: int = 7, on_photo: Callable[[], None] | None = None
) -> SampleCatalogue:
    """Draws ``count`` sound photos, and seven faulty files besides, numbered after them.

    The same count and seed give the same bytes. Photo ``i`` depends on the seed and ``i`` alone, not on the count.

    Args:
        out: the folder to fill; absent or empty.
        count: how many photos; at least one of each class.
        seed: 0 or more.
        on_photo: called after each of the ``count`` photos, to show progress.

    Raises:
        InputError: ``out`` holds something already, or the count or the seed is too small.
    """
    _check(out, count, seed)
    for product in PRODUCTS:
        (out / product).mkdir(parents=True)
    photos = []
    for index in range(count):
        photos.append(_write_photo(out, seed, index))
        if on_photo is not None:
            on_photo()
    faults = plant_faults(out, photos, seed)
    return SampleCatalogue(
        classes=tuple(PRODUCTS),
        photos=count,
        duplicates=faults.duplicates,
        truncated=faults.truncated,
        not_an_image=faults.not_an_image,
        wrong_extension=faults.wrong_extension,
    )


def _write_photo(out: Path, seed: int, index: int) -> Path:
    """Writes photo ``index`` and returns its path relative to ``out``."""
    product = deal(tuple(PRODUCTS), seed, Stream.CLASS_DECK, index)
    storage = deal(STORAGE_DECK, seed, Stream.STORAGE_DECK, index)
    cut_out = storage.mode is PixelMode.CUT_OUT
    photo = draw_photo(stream(seed, Stream.PHOTO, index), product, cut_out=cut_out)
    path = Path(product, f"{index:04d}.{storage.format.value}")
    (out / path).write_bytes(encode(photo, storage))
    return path


def _check(out: Path, count: int, seed: int) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = f"Expected an absent or empty folder, got {out}, which is not; name another one, or empty it."
        raise InputError(msg)
    if count < len(PRODUCTS):
        msg = f"Expected {len(PRODUCTS)} photos or more, one of each class, got {count}."
        raise InputError(msg)
    if seed < 0:
        msg = f"Expected a seed of 0 or more, got {seed}."
        raise InputError(msg)
