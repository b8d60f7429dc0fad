"""Draws a whole catalogue into a folder: ``<class>/<number>.<extension>``; and a table of what each photo shows.

Photos are stored as suppliers mix them (formats, pixel modes, orientations), and a few files have the faults of every
real catalogue: copies, broken downloads, and names that do not say what is inside.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import ExifTags, Image

from models.errors import InputError
from trainer.data.csv_files import path_in, write_rows
from trainer.sample.chance import Stream, deal, pick, stream
from trainer.sample.photo import Photo, draw_photo
from trainer.sample.products import DEPARTMENTS, PRODUCTS
from trainer.sample.surfaces import colour_name

COLUMNS = ("image", "category", "department", "colour", "pattern")
_COPIES = 4
_TEXT = b"<html><body><h1>404 Not Found</h1></body></html>\n"


def draw_catalogue(
    out: Path,
    count: int = 1000,
    seed: int = 7,
    on_photo: Callable[[], None] = lambda: None,
    table: Path | None = None,
) -> None:
    """Draws ``count`` sound photos, one of each class or more, and, numbered after them, seven faulty files.

    Those are four copies, byte for byte, of photos of the same class; and, all named ``.jpg``, a JPEG that ends
    half-way, a web page, and a PNG, which can be read by what is inside.

    The same count and seed give the same bytes. Photo ``i`` depends on the seed and ``i`` alone, not on the count.

    ``table`` is a CSV to write: a row a file, with its path from there and the truth about what it shows (COLUMNS).
    Where no colour is to be seen, in grey photos and in the web page, it is empty.

    Raises:
        InputError: ``out`` holds something already, or the count or the seed is too small.
    """
    _check(out, count, seed)
    for product in PRODUCTS:
        (out / product).mkdir(parents=True)
    drawn = []
    for index in range(count):
        drawn.append(_write_photo(out, seed, index))
        on_photo()
    rng = stream(seed, Stream.FAULTS)
    for number, place in enumerate(rng.choice(count, _COPIES, replace=False), start=count):
        original = drawn[int(place)]
        copy = original.path.with_name(f"{number:04d}{original.path.suffix}")
        (out / copy).write_bytes((out / original.path).read_bytes())
        drawn.append(replace(original, path=copy))
    names = [Path(pick(rng, tuple(PRODUCTS)), f"{count + _COPIES + number:04d}.jpg") for number in range(3)]
    truncated, not_an_image, wrong_extension = names
    photo = draw_photo(rng, truncated.parent.name)
    jpeg = encode(photo, Storage("JPEG"))
    (out / truncated).write_bytes(jpeg[: len(jpeg) // 2])
    drawn.append(_Drawn(truncated, colour_name(photo.body), photo.pattern))
    (out / not_an_image).write_bytes(_TEXT)
    drawn.append(_Drawn(not_an_image, "", ""))
    photo = draw_photo(rng, wrong_extension.parent.name)
    (out / wrong_extension).write_bytes(encode(photo, Storage("PNG")))
    drawn.append(_Drawn(wrong_extension, colour_name(photo.body), photo.pattern))
    if table is not None:
        write_rows(table, COLUMNS, (one.row(table, out) for one in drawn))


@dataclass(frozen=True)
class _Drawn:
    """A file, by its path relative to the catalogue, and what it shows; its folder is its class."""

    path: Path
    colour: str
    pattern: str

    def row(self, table: Path, out: Path) -> tuple[str, ...]:
        """Its cells under COLUMNS."""
        product, place = self.path.parent.name, path_in(table.absolute(), (out / self.path).absolute())
        return place, product, DEPARTMENTS[product], self.colour, self.pattern


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


def _write_photo(out: Path, seed: int, index: int) -> _Drawn:
    product = deal(tuple(PRODUCTS), seed, Stream.CLASS_DECK, index)
    storage = deal(STORAGE_DECK, seed, Stream.STORAGE_DECK, index)
    cut_out = storage.mode == "RGBA"
    photo = draw_photo(stream(seed, Stream.PHOTO, index), product, cut_out=cut_out)
    path = Path(product, f"{index:04d}.{'jpg' if storage.format == 'JPEG' else storage.format.lower()}")
    (out / path).write_bytes(encode(photo, storage))
    return _Drawn(path, "" if storage.mode == "L" else colour_name(photo.body), photo.pattern)


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
