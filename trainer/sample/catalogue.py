"""Renders a catalogue into a folder: ``<class>/<number>.<extension>``, and a table of products and colours.

Photos have mixed formats, pixel modes and orientations. A few files have faults: copies, incomplete downloads, and
wrong extensions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import ExifTags, Image

from trainer.data.csv_files import path_in, write_rows
from trainer.sample.photo import Photo, colour_name, draw_photo
from trainer.sample.products import DEPARTMENTS, PRODUCTS, pick

T = TypeVar("T")
_COLUMNS = ("image", "category", "department", "colour")
_COPIES = 4
_TEXT = b"<html><body><h1>404 Not Found</h1></body></html>\n"
_STORED_AS = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_270,
)
"""How a file's pixels are transposed, for the EXIF orientations 2 to 8."""


class _Stream(IntEnum):
    """Numbers of independent random streams."""

    PHOTO = 0
    CLASSES = 1
    STORAGE = 2
    FAULTS = 3


@dataclass(frozen=True)
class Storage:
    """How a photo is stored: Pillow's names of format and pixel mode, and the EXIF orientation, 1 to 8."""

    format: Literal["JPEG", "PNG", "WEBP", "BMP", "GIF"]
    mode: Literal["RGB", "RGBA", "L", "CMYK", "P"] = "RGB"
    orientation: int = 1


STORAGE_DECK: tuple[Storage, ...] = (
    *[Storage("JPEG")] * 21,
    *(Storage("JPEG", orientation=tag) for tag in range(2, 9)),
    *[Storage("JPEG", "L")] * 2,
    *[Storage("JPEG", "CMYK")] * 2,
    *[Storage("PNG")] * 3,
    *[Storage("PNG", "RGBA")] * 3,
    Storage("PNG", "L"),
    *[Storage("WEBP")] * 3,
    *[Storage("WEBP", "RGBA")] * 2,
    *[Storage("BMP")] * 3,
    *[Storage("GIF", "P")] * 3,
)


def draw_catalogue(
    out: Path,
    count: int = 1000,
    seed: int = 7,
    on_photo: Callable[[], None] = lambda: None,
    table: Path | None = None,
) -> None:
    """Render ``count`` sound photos, and then seven faulty files, into an empty folder.

    The faulty files are four copies of photos, and three ``.jpg`` files: half a JPEG, a web page and a PNG.
    Photo ``i`` depends only on the seed and ``i``. ``table``: a CSV to write, with the path, classes and
    colour of each file. The colour of greyscale photos and of the web page is empty.
    """
    for product in PRODUCTS:
        (out / product).mkdir(parents=True)
    colours: dict[Path, str] = {}
    for index in range(count):
        path, colour = _draw_sound(out, seed, index)
        colours[path] = colour
        on_photo()
    _add_faulty(out, seed, colours)
    if table is not None:
        rows = ((path_in(table.absolute(), path.absolute()), path.parent.name, one) for path, one in colours.items())
        write_rows(table, _COLUMNS, ((image, name, DEPARTMENTS[name], colour) for image, name, colour in rows))


def _draw_sound(out: Path, seed: int, index: int) -> tuple[Path, str]:
    product = _deal(tuple(PRODUCTS), seed, _Stream.CLASSES, index)
    storage = _deal(STORAGE_DECK, seed, _Stream.STORAGE, index)
    rng = np.random.default_rng([seed, _Stream.PHOTO, index])
    photo = draw_photo(rng, product, cut_out=storage.mode == "RGBA")
    path = out / product / f"{index:04d}.{'jpg' if storage.format == 'JPEG' else storage.format.lower()}"
    path.write_bytes(encode(photo, storage, quality=int(rng.integers(55, 96))))
    return path, "" if storage.mode == "L" else colour_name(photo.body)


def _deal(deck: Sequence[T], seed: int, purpose: _Stream, index: int) -> T:
    turn, place = divmod(index, len(deck))
    return deck[int(np.random.default_rng([seed, purpose, turn]).permutation(len(deck))[place])]


def _add_faulty(out: Path, seed: int, colours: dict[Path, str]) -> None:
    count, sound = len(colours), list(colours)
    rng = np.random.default_rng([seed, _Stream.FAULTS])
    for number, place in enumerate(rng.choice(count, _COPIES, replace=False), start=count):
        original = sound[int(place)]
        copy = original.with_stem(f"{number:04d}")
        copy.write_bytes(original.read_bytes())
        colours[copy] = colours[original]
    for number, fault in enumerate(("truncated", "web page", "wrong extension"), start=count + _COPIES):
        path = out / pick(rng, tuple(PRODUCTS)) / f"{number:04d}.jpg"
        photo = draw_photo(rng, path.parent.name)
        data = encode(photo, Storage("PNG" if fault == "wrong extension" else "JPEG"))
        path.write_bytes({"truncated": data[: len(data) // 2], "web page": _TEXT}.get(fault, data))
        colours[path] = "" if fault == "web page" else colour_name(photo.body)


def encode(photo: Photo, storage: Storage, quality: int = 85) -> bytes:
    """Encode a photo as a file. ``quality`` (0 to 100) applies to lossy formats."""
    if storage.mode == "RGBA":
        image = photo.image.copy()
        image.putalpha(photo.coverage)
    elif storage.mode == "P":
        image = photo.image.quantize(128, Image.Quantize.FASTOCTREE)
    else:
        image = photo.image.convert(storage.mode)
    exif = Image.Exif()
    if storage.orientation > 1:
        image = image.transpose(_STORED_AS[storage.orientation - 2])
        exif[ExifTags.Base.Orientation] = storage.orientation
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality, "exif": exif},
        "PNG": {"compress_level": 1},
        "WEBP": {"quality": quality, "method": 0},
    }
    file = BytesIO()
    image.save(file, storage.format, **options.get(storage.format, {}))
    return file.getvalue()
