"""The raw photos that a bundle proves itself with: the user's own, and hard cases made from one of them."""

import io
from pathlib import Path
from typing import Final

from PIL import Image

from exporter.evenly import evenly
from models.errors import ImageError
from models.photo import read_photo
from models.preprocess import PreprocessSpec, preprocess

__all__ = ["golden_photos"]

PHOTOS: Final = 8
_LONG_SIDE: Final = 480
_TURNED_LEFT: Final = 6
_ORIENTATION_TAG: Final = 0x0112


def golden_photos(originals: list[Path], spec: PreprocessSpec) -> dict[str, tuple[str, bytes]]:
    """Choose and make golden photos.

    Args:
        originals: validation photos as they were.
        spec: the model's preprocessing; photos it cannot read are passed over.

    Returns:
        File name → (kind, bytes): some originals, then one very wide, one turned by its EXIF tag, one transparent.
    """
    readable = [(path, data) for path in originals if (data := _readable(path, spec)) is not None]
    chosen = [readable[i] for i in evenly(len(readable), PHOTOS)]
    photos = {f"photo-{i}{path.suffix}": ("photo", data) for i, (path, data) in enumerate(chosen)}
    return {**photos, **(_hard_cases(chosen[0][1]) if chosen else {})}


def _readable(path: Path, spec: PreprocessSpec) -> bytes | None:
    try:
        data = read_photo(path)
        preprocess(data, spec)
    except ImageError:
        return None
    return data


def _hard_cases(data: bytes) -> dict[str, tuple[str, bytes]]:
    with Image.open(io.BytesIO(data)) as opened:
        photo = opened.convert("RGB")
    photo.thumbnail((_LONG_SIDE, _LONG_SIDE))
    wide = photo.resize((photo.width, max(1, photo.width // 3)))
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = _TURNED_LEFT
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    clear = photo.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    return {
        "non-square.jpg": ("non_square", _encoded(wide, "JPEG")),
        "exif-rotated.jpg": ("exif_rotated", _encoded(turned, "JPEG", exif)),
        "transparent.png": ("transparent", _encoded(clear, "PNG")),
    }


def _encoded(image: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif or Image.Exif())
    return buffer.getvalue()
