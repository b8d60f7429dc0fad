"""Turns bytes of a photo into pixels for the network.

Training, export, labelling and the web page all call :func:`preprocess`, so a model always gets the same pixels. The
first steps: decode the photo (a JPEG may be scaled in the DCT domain), apply the EXIF orientation, scale 16-bit samples
to 8 bits, and resize bilinearly with antialiasing. The last steps: lay transparency over white, convert an embedded
colour profile to sRGB, and fit the photo into the square.
"""

import hashlib
import io
import struct
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from models.errors import ImageError, ImageFault
from models.file_kinds import (
    JPEG_END,
    MOST_PROFILE_BYTES,
    is_interleaved,
    png_without_extras,
    unreadable_words,
    without_end,
)
from models.fit import Decode, Fit

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform


Pixels = npt.NDArray[np.uint8]

VERSION: Final = "1"
"""Increase this number when :func:`preprocess` gives different pixels for the same bytes."""
_READABLE_VERSION: Final = "2"
"""Increase this number when Hangtag can read more or fewer photos. The trainer caches which photos are readable."""

IMAGE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
)
MAX_BYTES: Final = 64 * 1024 * 1024
"""The largest file."""
MAX_PIXELS: Final = 50_000_000
"""The largest number of pixels to decode. Larger photos are refused, except JPEGs."""
_PIXEL_BYTES: Final = 8
_MAX_JPEG_PIXELS: Final = 200_000_000
"""The largest JPEG.

A large JPEG is decoded row by row at a fraction of its size: 200 million pixels take half a second and 35 MB.
"""
_COEFFICIENT_BYTES: Final = 2
_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_COMPARED_PIXELS: Final = 12_500_000
"""Before ``_TAILS`` are compared, a photo is scaled to at most this number of pixels."""
_NOISE: Final = bytes(37 * place % 255 for place in range(4096))
_RESTARTS: Final = b"".join(bytes([0xFF, restart]) + _NOISE for restart in range(0xD0, 0xD8))
_TAILS: Final = (b"", b"\xb7" + _NOISE, b"\x55" + _NOISE + _RESTARTS)
"""Endings to try on a JPEG without an end marker. If all endings give equal pixels, no pixel is missing."""

_ORIENTATION_TAG: Final = 0x0112
_TILE_TAGS: Final = (0x0142, 0x0143)
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OWN_FORMATS: Final = frozenset({"JPEG", "MPO", "PNG", "BMP", "DIB", "GIF", "PPM", "TIFF", "WEBP", "AVIF"})
_LATER_PLUGINS: Final = ("PIL.TiffImagePlugin", "PIL.WebPImagePlugin", "PIL.AvifImagePlugin")
"""Plugins that Pillow's ``preinit`` does not load. Hangtag imports these plugins only for a photo that no
loaded plugin reads."""
_PROFILE_SPACES: Final = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_WHITE: Final = (255, 255, 255)


class PreprocessSpec(BaseModel):
    """How a photo becomes pixels. Part of the manifest and of the ONNX metadata.

    Attributes:
        size: side S of the square, in pixels.
        fit: how the photo fills the square; ``pad`` pads with white.
        decode: ``dct`` is faster if photos are much larger than S.
        dct_floor: a JPEG scaled in the DCT domain is at least this many times as wide and high as the resized photo.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: int = Field(ge=16, le=1024)
    fit: Fit = Field(default=Fit.PAD, strict=False)
    decode: Decode = Field(default=Decode.DCT, strict=False)
    dct_floor: int = Field(default=1, ge=1, le=2)


def preprocess(data: bytes, spec: PreprocessSpec) -> Pixels:
    """Decode the bytes of an image file to pixels ``uint8 (S, S, 3)``, RGB. Raises ImageError."""
    return EncodedPhoto(data).pixels(spec)


class EncodedPhoto:
    """A photo's bytes, and its pixels for several models.

    Models with the same decoding share one decoded photo.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._decoded: dict[Hashable, tuple[Image.Image, bytes | None]] = {}

    def pixels(self, spec: PreprocessSpec) -> Pixels:
        """The pixels of :func:`preprocess`. May raise ImageError."""
        if None in self._decoded:
            with _only_image_errors(self._data):
                return _squared(*self._decoded[None], spec)
        with opened(self._data) as image:
            if spec.decode is Decode.DCT:
                _draft(image, _draft_size(image.size, spec))
            else:
                shrink_large_jpeg(image)
            way = _way_of_decoding(image)
            if way not in self._decoded:
                self._decoded[way] = _upright_and_ready(image)
            return _squared(*self._decoded[way], spec)


def _way_of_decoding(image: Image.Image) -> Hashable:
    """Files with equal bytes and an equal key have equal pixels. None if decoding does not depend on the spec."""
    from PIL.JpegImagePlugin import JpegImageFile

    if type(image).draft is Image.Image.draft:
        return None
    if type(image).draft is JpegImageFile.draft:
        return image.size  # a JPEG draft is scaled by 1, 2, 4 or 8
    return object()  # a plugin's draft() is unpredictable


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """Open a photo with Pillow. Reads only the header, except for a PNG. Raises ImageError."""
    if len(data) > MAX_BYTES:
        msg = f"Expected at most {MAX_BYTES:,} bytes, got {len(data):,}; save a smaller copy."
        raise ImageError(msg, ImageFault.TOO_LARGE)
    with _only_image_errors(data):
        if data.startswith(_PNG):
            yield _png(data)
            return
        image = _identified(data)
        _check_opened(image, data)
        if data.startswith(_JPEG) and not data.endswith(JPEG_END):
            start = without_end(data)
            image = _identified(start + JPEG_END) if start and _is_whole(start) else image
        yield image


def _png(data: bytes) -> Image.Image:
    try:
        return _loaded(data)
    except (ImageError, Image.DecompressionBombError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - Pillow raises a dozen kinds; raised below if the photo stays unreadable
        spared, profile = png_without_extras(data)
        try:
            image = _loaded(spared)
        except (ImageError, Image.DecompressionBombError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - the first error is more precise
            raise error from None
    image.info["icc_profile"] = profile
    return image


def _loaded(data: bytes) -> Image.Image:
    image = _identified(data)
    _check_pixels(image)
    image.load()
    return image


def _is_whole(start: bytes) -> bool:
    """Whether a JPEG without an end marker has all its pixels."""
    looks = set()
    for tail in _TAILS:
        with _identified(start + tail + JPEG_END) as image:
            scale = next(scale for scale in (1, 2, 4, 8) if image.width * image.height <= scale**2 * _COMPARED_PIXELS)
            image.draft(image.mode, (max(1, image.width // scale), max(1, image.height // scale)))
            looks.add(hashlib.sha256(image.tobytes()).digest())
    return len(looks) == 1


def _identified(data: bytes) -> Image.Image:
    """Open an image in an accepted format, but read only the header."""
    with suppress(UnidentifiedImageError):
        try:
            return Image.open(io.BytesIO(data), formats=_loaded_formats())
        except Image.DecompressionBombError:  # Pillow's limit is for photos decoded in full
            if not data.startswith(_JPEG):
                raise
            return Image.OPEN["JPEG"][0](io.BytesIO(data), "")
    return Image.open(io.BytesIO(data), formats=accepted_formats())


def accepted_formats() -> list[str]:
    """Hangtag's formats and the formats of registered plugins.

    Pillow's rare formats are excluded. For example, an EPS file would run a program.
    """
    for plugin in _LATER_PLUGINS:
        import_module(plugin)
    return _loaded_formats()


def _loaded_formats() -> list[str]:
    Image.preinit()
    return [f for f in Image.ID if f in _OWN_FORMATS or not Image.OPEN[f][0].__module__.startswith("PIL.")]


def shrink_large_jpeg(image: Image.Image) -> None:
    """Make Pillow decode a JPEG of more than ``MAX_PIXELS`` at a half or a quarter of its width and height."""
    if image.width * image.height > MAX_PIXELS:
        _draft(image, image.size)


def _draft(image: Image.Image, least: tuple[int, int]) -> None:
    """Make Pillow decode a JPEG at a fraction of its size: at least ``least``, at most ``MAX_PIXELS`` pixels."""
    width, height = image.size
    part = next((part for part in (1, 2, 4) if ceil(width / part) * ceil(height / part) <= MAX_PIXELS), 8)
    image.draft(image.mode, (min(least[0], width // part), min(least[1], height // part)))


def whole_rgb(image: Image.Image) -> Image.Image:
    """A whole :func:`opened` photo in upright sRGB, with transparency laid over white.

    A large JPEG is decoded at a fraction of its width and height.
    """
    shrink_large_jpeg(image)
    image.load()
    profile = image.info.get("icc_profile")
    return _srgb(_opaque(_ready(_eight_bit(_upright(image)))), profile)


def small_rgb(image: Image.Image, side: int, resample: Image.Resampling) -> Image.Image:
    """Like :func:`whole_rgb`, but at most ``side`` pixels wide and high, and with less memory."""
    _draft(image, (side, side))
    small, profile = _upright_and_ready(image)
    small.thumbnail((side, side), resample)
    return _srgb(_opaque(small), profile)


def whole_pixels(data: bytes) -> Pixels:
    """Decode a photo like :func:`whole_rgb`, to ``uint8 (height, width, 3)``. Raises ImageError like :func:`opened`."""
    with opened(data) as image:
        return np.asarray(whole_rgb(image))


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation tag, 1 (upright) to 8. A loaded TIFF has 1, because Pillow has rotated the photo."""
    try:
        tag = image.getexif().get(_ORIENTATION_TAG, 1)
        return int(tag) if tag in _TURNS else 1
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1  # browsers ignore damaged EXIF data, and so does Hangtag


def preprocess_image(image: Image.Image, spec: PreprocessSpec) -> Pixels:
    """Turn a Pillow image of any mode into pixels ``uint8 (S, S, 3)``, RGB.

    The orientation tag and the colour profile are applied. The photo is decoded in full; a JPEG scaled in the DCT
    domain has slightly different pixels. Raises ImageError.
    """
    with _only_image_errors():
        return _squared(*_upright_and_ready(image), spec)


@contextmanager
def _only_image_errors(data: bytes = b"") -> Iterator[None]:
    # Pillow warns of odd metadata; photos that cannot be decoded still raise errors
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except (Image.DecompressionBombError, MemoryError) as error:
            msg = f"Expected at most {MAX_PIXELS:,} pixels, got a photo too large to decode; save a smaller copy."
            raise ImageError(msg, ImageFault.TOO_LARGE) from error
        except ImageError:
            raise
        except Exception as error:  # Pillow's decoders raise a dozen kinds of errors for damaged bytes
            raise ImageError(unreadable_words(data, error)) from error


def _upright_and_ready(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    _check_pixels(image)
    image.load()
    profile = image.info.get("icc_profile")
    return _ready(_eight_bit(_upright(image))), profile


def _squared(image: Image.Image, profile: bytes | None, spec: PreprocessSpec) -> Pixels:
    return np.asarray(_padded(_srgb(_opaque(_resized(image, spec)), profile), spec.size))


def fingerprint(spec: PreprocessSpec) -> str:
    """A digest of the spec, the readable formats, and the versions of Pillow and this module.

    While the digest is the same, a file gives the same pixels.
    """
    parts = (spec.model_dump_json(), VERSION, _READABLE_VERSION, PIL.__version__, *sorted(accepted_formats()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _check_opened(image: Image.Image, data: bytes) -> None:
    pixels = image.width * image.height
    if not data.startswith(_JPEG) or pixels <= MAX_PIXELS:
        _check_pixels(image)
        return
    layers: list[tuple[int, int, int, int]] = image.layer  # type: ignore[attr-defined]
    across, down = (max(layer[side] for layer in layers) for side in (1, 2))
    samples = pixels * sum(layer[1] * layer[2] for layer in layers) / (across * down)
    is_held = "progressive" in image.info or not is_interleaved(data)
    if pixels > _MAX_JPEG_PIXELS or (is_held and samples * _COEFFICIENT_BYTES > MAX_PIXELS * _PIXEL_BYTES):
        kind = "a progressive JPEG" if is_held else "a JPEG"
        msg = (
            f"Expected {kind} that can be decoded in {MAX_PIXELS * _PIXEL_BYTES // 1_000_000} MB and has at most "
            f"{_MAX_JPEG_PIXELS:,} pixels, got {image.width}×{image.height}; save a smaller copy."
        )
        raise ImageError(msg, ImageFault.TOO_LARGE)


def _check_pixels(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        msg = f"Expected at most {MAX_PIXELS:,} pixels, got {image.width}×{image.height}; save a smaller copy."
        raise ImageError(msg, ImageFault.TOO_LARGE)
    _check_tiles(image)
    if not pixels:
        msg = f"Expected at least one pixel, got {image.width}×{image.height}."
        raise ImageError(msg)


def _check_tiles(image: Image.Image) -> None:
    """Refuse a TIFF whose tiles are too large. Each tile is decoded whole, and may be larger than the photo."""
    tags = getattr(image, "tag_v2", {})
    width, height = (int(tags.get(tag, 1)) for tag in _TILE_TAGS)
    if width * height > MAX_PIXELS:
        msg = f"Expected tiles of at most {MAX_PIXELS:,} pixels, got {width}×{height}; save the photo without tiles."
        raise ImageError(msg, ImageFault.TOO_LARGE)


def _draft_size(size: tuple[int, int], spec: PreprocessSpec) -> tuple[int, int]:
    width, height = size
    match spec.fit:
        case Fit.PAD:
            fitted = _inside(size, spec.size)
        case Fit.CROP:
            short = min(size)
            fitted = (spec.size * width // short, spec.size * height // short)
        case Fit.STRETCH:
            fitted = (spec.size, spec.size)
    return (fitted[0] * spec.dct_floor, fitted[1] * spec.dct_floor)


def _inside(size: tuple[int, int], side: int) -> tuple[int, int]:
    longest = max(size)
    return (max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest)))


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(orientation_of(image))
    return image if turn is None else image.transpose(turn)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits. Pillow's own conversion clips values above 255."""
    if image.mode == "F":
        msg = "Expected 8 or 16 bits per sample, got 32-bit floating point; re-save the photo with 8 bits."
        raise ImageError(msg)
    if not image.mode.startswith("I"):
        return image
    samples = np.clip(np.asarray(image), 0, 65_535).astype(np.uint16)
    grey = Image.fromarray((samples >> 8).astype(np.uint8))
    if (clear := image.info.get("transparency")) is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(samples == clear, 0, 255).astype(np.uint8))))


def _ready(image: Image.Image) -> Image.Image:
    key = image.info.get("transparency")
    if isinstance(key, tuple) and max(key) > 255:  # noqa: PLR2004 - 16 bits, but Pillow reduces the pixels to 8
        image = image.copy()
        image.info["transparency"] = tuple(part >> 8 for part in key)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in _PROFILE_SPACES else image.convert("RGB")


def _resized(image: Image.Image, spec: PreprocessSpec) -> Image.Image:
    """Resize bilinearly with antialiasing (a triangle filter as wide as the scale). Pillow premultiplies alpha."""
    size = _inside(image.size, spec.size) if spec.fit is Fit.PAD else (spec.size, spec.size)
    box = _middle_square(image.size) if spec.fit is Fit.CROP else None
    return image.resize(size, Image.Resampling.BILINEAR, box=box)


def _middle_square(size: tuple[int, int]) -> tuple[int, int, int, int]:
    short = min(size)
    left, top = (size[0] - short) // 2, (size[1] - short) // 2
    return (left, top, left + short, top + short)


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (*_WHITE, 255)), image).convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    transform = _profile_transform(profile, image.mode) if profile else None
    if transform is None:
        return image.convert("RGB")
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    return image if converted is None else converted


def _profile_transform(profile: bytes, mode: str) -> "ImageCmsTransform | None":
    if len(profile) > MOST_PROFILE_BYTES:
        return _transform(profile, mode)
    kept = _kept_transform(hashlib.sha256(profile).digest(), mode)
    if not kept:
        kept.append(_transform(profile, mode))
    return kept[0]


@lru_cache(maxsize=16)
def _kept_transform(_digest: bytes, _mode: str) -> "list[ImageCmsTransform | None]":
    return []  # the caller appends the transform, so that the cache keeps no profiles


def _transform(profile: bytes, mode: str) -> "ImageCmsTransform | None":
    """The transform to sRGB. None if the profile is damaged or in another colour space."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _PROFILE_SPACES[mode]:
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _padded(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    square = Image.new("RGB", (size, size), _WHITE)
    square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return square
