"""Draws a whole catalogue into a folder: ``<class>/<number>.<extension>``.

Photos are stored as suppliers mix them (formats, pixel modes, orientations), and a few files have the faults of every
real catalogue: copies, broken downloads, and names that do not say what is inside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import ExifTags, Image

from models.errors import InputError
from trainer.sample.chance import Stream, deal, pick, stream
from trainer.sample.photo import Photo, draw_photo
from trainer.sample.products import PRODUCTS

__all__ = ["Storage", "draw_catalogue", "encode"]

_COPIES = 4
_TEXT = b"<html><body><h1>404 Not Found</h1></body></html>\n"


def draw_catalogue(out: Path, count: int = 1000, seed: int = 7, on_photo: Callable[[], None] = lambda: None) -> None:
    """Draws ``count`` sound photos, one of each class or more, and, numbered after them, seven faulty files.

    Those are four copies, byte for byte, of photos of the same class; and, all named ``.jpg``, a JPEG that ends
    half-way, a web page, and a PNG, which can be read by what is inside.

    The same count and seed give the same bytes. Photo ``i`` depends on the seed and ``i`` alone, not on the count.

    Raises:
        InputError: ``out`` holds something already, or the count or the seed is too small.
    """
    _check(out, count, seed)
    for product in PRODUCTS:
        (out / product).mkdir(parents=True)
    photos = []
    for index in range(count):
        photos.append(_write_photo(out, seed, index))
        on_photo()
    rng = stream(seed, Stream.FAULTS)
    for number, place in enumerate(rng.choice(count, _COPIES, replace=False), start=count):
        original = photos[int(place)]
        (out / original.with_name(f"{number:04d}{original.suffix}")).write_bytes((out / original).read_bytes())
    names = [Path(pick(rng, tuple(PRODUCTS)), f"{count + _COPIES + number:04d}.jpg") for number in range(3)]
    truncated, not_an_image, wrong_extension = names
    jpeg = encode(draw_photo(rng, truncated.parent.name), Storage("JPEG"))
    (out / truncated).write_bytes(jpeg[: len(jpeg) // 2])
    (out / not_an_image).write_bytes(_TEXT)
    png = encode(draw_photo(rng, wrong_extension.parent.name), Storage("PNG"))
    (out / wrong_extension).write_bytes(png)


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


def _write_photo(out: Path, seed: int, index: int) -> Path:
    """Its path is relative to ``out``."""
    product = deal(tuple(PRODUCTS), seed, Stream.CLASS_DECK, index)
    storage = deal(STORAGE_DECK, seed, Stream.STORAGE_DECK, index)
    cut_out = storage.mode == "RGBA"
    photo = draw_photo(stream(seed, Stream.PHOTO, index), product, cut_out=cut_out)
    path = Path(product, f"{index:04d}.{'jpg' if storage.format == 'JPEG' else storage.format.lower()}")
    (out / path).write_bytes(encode(photo, storage))
    return path


UPRIGHT = 1
_STORED_AS: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Storage:
    """How one photo is stored, by Pillow's names of its format and of its pixel mode.

    ``orientation`` is the EXIF tag, 1 to 8; any but 1 has the pixels stored turned, for the reader to turn back.
    ``quality`` is that of the lossy formats, 0 to 100.
    """

    format: Literal["JPEG", "PNG", "WEBP", "BMP", "GIF"]
    mode: Literal["RGB", "RGBA", "L", "CMYK", "P"] = "RGB"
    orientation: int = UPRIGHT
    quality: int = 85


STORAGE_DECK: tuple[Storage, ...] = (
    *(Storage("JPEG", quality=55 + 2 * step) for step in range(21)),
    *(Storage("JPEG", orientation=tag) for tag in _STORED_AS),
    *(Storage("JPEG", "L") for _ in range(2)),
    *(Storage("JPEG", "CMYK") for _ in range(2)),
    *(Storage("PNG") for _ in range(3)),
    *(Storage("PNG", "RGBA") for _ in range(3)),
    Storage("PNG", "L"),
    *(Storage("WEBP", quality=70 + 10 * step) for step in range(3)),
    *(Storage("WEBP", "RGBA") for _ in range(2)),
    *(Storage("BMP") for _ in range(3)),
    *(Storage("GIF", "P") for _ in range(3)),
)


def encode(photo: Photo, storage: Storage) -> bytes:
    """The photo as the bytes of a file."""
    if storage.mode == "RGBA":
        image = photo.image.copy()
        image.putalpha(photo.coverage)
    elif storage.mode == "P":
        image = photo.image.quantize(128, Image.Quantize.FASTOCTREE)
    else:
        image = photo.image.convert(storage.mode)
    exif = Image.Exif()
    if storage.orientation != UPRIGHT:
        image = image.transpose(_STORED_AS[storage.orientation])
        exif[ExifTags.Base.Orientation] = storage.orientation
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": storage.quality, "exif": exif},
        "PNG": {"compress_level": 1},
        "WEBP": {"quality": storage.quality, "method": 0},
    }
    file = BytesIO()
    image.save(file, storage.format, **options.get(storage.format, {}))
    return file.getvalue()
