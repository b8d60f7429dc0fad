"""The faults of files that are no photos: in another format, or not meant as photos."""

import io
import warnings
from pathlib import Path
from typing import Final

from PIL import Image

from models.errors import ImageError
from models.file_kinds import FIRST_BYTES, other_kind, photo_format, to_save
from models.photo import read_photo
from trainer.data.photo_files import FaultKind, PhotoFault

__all__ = ["stray_fault", "unsupported_fault"]

_SUFFIXES: Final = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "TIFF": ".tif", "WebP": ".webp", "AVIF": ".avif"}
_MEANT_FOR_PHOTOS: Final = frozenset(
    {".heic", ".heif", ".svg", ".psd", ".pdf", ".jp2", ".jxl", ".ico", ".tga", ".eps", ".raw", ".cr2", ".nef", ".dng"}
)


def unsupported_fault(data: bytes) -> PhotoFault | None:
    """The fault of a file in a known format that is none of ours; None if its bytes do not tell, or are damaged."""
    known = None if photo_format(data) else other_kind(data) or _pillow_kind(data)
    return PhotoFault(FaultKind.UNSUPPORTED, known) if known else None


def stray_fault(path: Path) -> PhotoFault | None:
    """The fault of a file whose name does not end like a photo's; None if it is not meant as a photo."""
    try:
        data = read_photo(path)[:FIRST_BYTES]
    except ImageError:
        return None
    photo, suffix = photo_format(data), path.suffix.lower()
    if photo:
        wanted = f"Its content is {photo}, its name is {path.name}; let the name end in {_SUFFIXES[photo]}."
        return PhotoFault(FaultKind.WRONG_EXTENSION, wanted)
    if suffix in _MEANT_FOR_PHOTOS:
        return PhotoFault(FaultKind.UNSUPPORTED, other_kind(data) or to_save(f"a file of the kind {suffix}"))
    return None


def _pillow_kind(data: bytes) -> str | None:
    """What Pillow takes a file in another format for. Readers that accept any bytes are not asked."""
    Image.init()
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=[name for name in Image.ID if Image.OPEN[name][1]]) as image,
        ):
            return to_save(f"an image of the kind {image.format}")
    except Exception:  # noqa: BLE001 - Pillow's readers raise a dozen kinds on damaged bytes
        return None
