"""Which image files are opened, and how they are told apart: by their bytes."""

import io
from importlib import import_module
from typing import Final

from PIL import Image, UnidentifiedImageError

from models.errors import ImageError

__all__ = ["accepted_formats", "identified"]

_OWN_FORMATS: Final = frozenset({"JPEG", "MPO", "PNG", "BMP", "DIB", "GIF", "PPM", "TIFF", "WEBP", "AVIF"})
_LATER_PLUGINS: Final = ("PIL.TiffImagePlugin", "PIL.WebPImagePlugin", "PIL.AvifImagePlugin")
"""Those that Pillow's ``preinit`` leaves out: loaded when a photo is none of the others."""


def identified(data: bytes) -> Image.Image:
    """An image whose header has been read, and no more.

    Args:
        data: the bytes of an image file.

    Raises:
        ImageError: they are of no format that is accepted.
    """
    try:
        return _of_common_format(data) or Image.open(io.BytesIO(data), formats=accepted_formats())
    except UnidentifiedImageError as error:
        msg = f"Expected a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF file, got {len(data):,} bytes that are none of them."
        raise ImageError(msg) from error


def accepted_formats() -> list[str]:
    """Our formats, and those of plugins that somebody registered; not Pillow's rare ones: EPS runs a program."""
    for plugin in _LATER_PLUGINS:
        import_module(plugin)
    return _loaded_formats()


def _of_common_format(data: bytes) -> Image.Image | None:
    """What the plugins that are loaded by now open; the first bytes tell formats apart, so another order will do."""
    try:
        return Image.open(io.BytesIO(data), formats=_loaded_formats())
    except UnidentifiedImageError:
        return None


def _loaded_formats() -> list[str]:
    Image.preinit()
    return [f for f in Image.ID if f in _OWN_FORMATS or not Image.OPEN[f][0].__module__.startswith("PIL.")]
