"""How photos come to be stored: formats, pixel modes and orientations, mixed as suppliers mix them."""

from dataclasses import dataclass
from enum import Enum
from io import BytesIO

from PIL import ExifTags, Image

from trainer.sample.photo import Photo

__all__ = ["STORAGE_DECK", "UPRIGHT", "FileFormat", "PixelMode", "Storage", "encode"]

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


class FileFormat(Enum):
    """A format, by its file extension."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    BMP = "bmp"
    GIF = "gif"


class PixelMode(Enum):
    """A pixel mode, by Pillow's name of it."""

    COLOUR = "RGB"
    CUT_OUT = "RGBA"
    GREY = "L"
    PRINT = "CMYK"
    INDEXED = "P"


@dataclass(frozen=True)
class Storage:
    """How one photo is stored.

    Attributes:
        format: the file format.
        mode: the pixel mode.
        orientation: the EXIF tag, 1 to 8; any but 1 has the pixels stored turned, for the reader to turn back.
        quality: of the lossy formats, 0 to 100.
    """

    format: FileFormat
    mode: PixelMode = PixelMode.COLOUR
    orientation: int = UPRIGHT
    quality: int = 85


STORAGE_DECK: tuple[Storage, ...] = (
    *(Storage(FileFormat.JPEG, quality=55 + 2 * step) for step in range(21)),
    *(Storage(FileFormat.JPEG, orientation=tag) for tag in _STORED_AS),
    *(Storage(FileFormat.JPEG, PixelMode.GREY) for _ in range(2)),
    *(Storage(FileFormat.JPEG, PixelMode.PRINT) for _ in range(2)),
    *(Storage(FileFormat.PNG) for _ in range(3)),
    *(Storage(FileFormat.PNG, PixelMode.CUT_OUT) for _ in range(3)),
    Storage(FileFormat.PNG, PixelMode.GREY),
    *(Storage(FileFormat.WEBP, quality=70 + 10 * step) for step in range(3)),
    *(Storage(FileFormat.WEBP, PixelMode.CUT_OUT) for _ in range(2)),
    *(Storage(FileFormat.BMP) for _ in range(3)),
    *(Storage(FileFormat.GIF, PixelMode.INDEXED) for _ in range(3)),
)


def encode(photo: Photo, storage: Storage) -> bytes:
    """Returns the photo as the bytes of a file."""
    image = _converted(photo, storage.mode)
    exif = Image.Exif()
    if storage.orientation != UPRIGHT:
        image = image.transpose(_STORED_AS[storage.orientation])
        exif[ExifTags.Base.Orientation] = storage.orientation
    return _saved(image, storage, exif)


def _saved(image: Image.Image, storage: Storage, exif: Image.Exif) -> bytes:
    file = BytesIO()
    match storage.format:
        case FileFormat.JPEG:
            image.save(file, "JPEG", quality=storage.quality, exif=exif)
        case FileFormat.PNG:
            image.save(file, "PNG", compress_level=1)
        case FileFormat.WEBP:
            image.save(file, "WEBP", quality=storage.quality, method=0)
        case FileFormat.BMP | FileFormat.GIF:
            image.save(file, storage.format.name)
    return file.getvalue()


def _converted(photo: Photo, mode: PixelMode) -> Image.Image:
    match mode:
        case PixelMode.CUT_OUT:
            image = photo.image.copy()
            image.putalpha(photo.coverage)
            return image
        case PixelMode.INDEXED:
            return photo.image.quantize(128, Image.Quantize.FASTOCTREE)
        case _:
            return photo.image.convert(mode.value)
