"""Hashes photo files, finds their faults, and computes statistics of their pixels.

The scores follow cleanvision, with the same names and nearly the same values: https://github.com/cleanlab/cleanvision.
Brightness uses at most ``SAMPLED`` evenly spread pixels.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageStat

from models.errors import ImageError, ImageFault
from models.file_kinds import ENDS_EARLY, FIRST_BYTES, other_kind, photo_format, to_save
from models.photo import read_photo
from models.preprocess import Pixels, opened, orientation_of, shrink_large_jpeg, whole_rgb

if TYPE_CHECKING:  # PyArrow takes too much memory in the decoding processes
    from trainer.data.dataset import LabeledPhoto

COPY_SIDE: Final = 64
"""Side of the small copy in pixels. Photos are stretched into a square."""
SAMPLED: Final = 1 << 19
_BLUR_SIDE: Final = 64
_STEPS_SIDE: Final = 512
_STEEP_SHARE: Final = 0.001
_GREY_SPREAD: Final = 4
_CAMERA_TAGS: Final = frozenset({0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8769, 0x8825})
"""EXIF tags that only cameras and editors write, such as maker and model."""
_BRIGHTNESS: Final = np.array([0.241, 0.691, 0.068], np.float32)
_THREADS: Final = 8
_AT_A_TIME: Final = 1024
_MEANT_FOR_PHOTOS: Final = frozenset(
    {".heic", ".heif", ".svg", ".psd", ".pdf", ".jp2", ".jxl", ".ico", ".tga", ".eps", ".raw", ".cr2", ".nef", ".dng"}
)


class FaultKind(StrEnum):
    """Faults of files. Members of :class:`models.errors.ImageFault` with the same name have the same value."""

    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    WRONG_EXTENSION = "wrong_extension"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    REFUSED = "refused"
    DOWNLOAD = "download"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    CHANGED = "changed"


@dataclass(frozen=True)
class PhotoFault:
    """The reason why a photo cannot be used."""

    kind: FaultKind
    message: str


def changed(path: Path) -> PhotoFault:
    """The fault of a file that changed after its SHA-256 was recorded: the label may be wrong."""
    msg = f"Expected the bytes of {path} to match the recorded SHA-256, but they differ; check the label and try again."
    return PhotoFault(FaultKind.CHANGED, msg)


def hash_photos(
    photos: "Sequence[LabeledPhoto]", on_photo: Callable[[int, int], None] = lambda done, total: None
) -> "tuple[list[tuple[LabeledPhoto, str]], list[tuple[LabeledPhoto, PhotoFault]]]":
    """Hash photos. Returns usable photos with their SHA-256, and other photos with their faults."""
    hashed: list[tuple[LabeledPhoto, str]] = []
    unread: list[tuple[LabeledPhoto, PhotoFault]] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(photos), _AT_A_TIME):  # in batches, because a pool keeps all tasks in memory
            some = photos[start : start + _AT_A_TIME]
            for done, (photo, answer) in enumerate(zip(some, pool.map(_read, some), strict=True), start=start + 1):
                if isinstance(answer, str):
                    hashed.append((photo, answer))
                else:
                    unread.append((photo, answer))
                on_photo(done, len(photos))
    return hashed, unread


def _read(photo: "LabeledPhoto") -> str | PhotoFault:
    if photo.error is not None:
        return PhotoFault(FaultKind(photo.error.fault), str(photo.error))
    try:
        sha256 = file_sha256(photo.path)
    except ImageError as error:
        return PhotoFault(FaultKind(error.fault), str(error))
    return sha256 if photo.sha256 in {None, sha256} else changed(photo.path)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a photo's file, in hex. Raises ImageError if the file cannot be read."""
    return hashlib.sha256(read_photo(path)).hexdigest()


def sha256_now(path: Path) -> str | None:
    """The SHA-256 of a file, or None if the file cannot be read."""
    try:
        return file_sha256(path)
    except ImageError:
        return None


def unsupported_fault(data: bytes) -> PhotoFault | None:
    """The fault of a file in a known format that Hangtag does not read, or None for other files."""
    known = None if photo_format(data) else other_kind(data)
    return PhotoFault(FaultKind.UNSUPPORTED, known) if known else None


def stray_fault(path: Path) -> PhotoFault | None:
    """The fault of a photo whose file extension does not match its content, or None for other files."""
    try:
        data = read_photo(path)[:FIRST_BYTES]
    except ImageError:
        return None
    suffix = path.suffix.lower()
    if photo := photo_format(data):
        return PhotoFault(
            FaultKind.WRONG_EXTENSION, f"The content is {photo}, the name is {path.name}; rename the file."
        )
    if suffix in _MEANT_FOR_PHOTOS:
        return PhotoFault(FaultKind.UNSUPPORTED, other_kind(data) or to_save(f"a file of the type {suffix}"))
    return None


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of a readable photo.

    Attributes:
        format, mode: Pillow's names of the file format and of the pixel format.
        width, height: size of the upright photo in pixels.
        orientation: the EXIF tag, by default 1.
        exif: whether there are EXIF tags (in a TIFF, only tags that cameras or editors write).
        grey: whether all pixels of the small copy are grey.
        brightness_5, brightness_99: percentiles of the perceived brightness, 0 to 1.
        entropy: entropy of the histograms, in bits.
        edges, histogram_spread: standard deviations of edge strength and grey histogram, in a copy of at most 64 px.
        steepest: 99.9th percentile of differences between neighbouring pixels in any channel, 0 to 255, in a copy of at
            most 1,023 px.
        border_red, border_green, border_blue: mean of the outermost pixels, 0 to 255.
        pixels: digest of all pixels, regardless of the file format.
    """

    format: str
    mode: str
    width: int
    height: int
    bytes: int
    orientation: int
    exif: bool
    animated: bool
    transparent: bool
    grey: bool
    brightness_5: float
    brightness_99: float
    entropy: float
    edges: float
    histogram_spread: float
    steepest: int
    border_red: float
    border_green: float
    border_blue: float
    pixels: str


def measure_photo(data: bytes) -> tuple[ImageStatistics, Pixels]:
    """A photo's statistics, and a small copy ``uint8 (64, 64, 3)`` of it, from the bytes of its file."""
    with opened(data) as image:
        size = image.size
        shrink_large_jpeg(image)
        stored = _stored(image)
        whole = whole_rgb(image)
        small = np.asarray(whole.resize((COPY_SIDE, COPY_SIDE), Image.Resampling.BILINEAR))
        transparent = image.has_transparency_data and _shines_through(image)
        width, height = size if (size[0] < size[1]) == (whole.width < whole.height) else size[::-1]
        statistics = {
            **stored,
            **_seen(whole),
            "width": width,
            "height": height,
            "transparent": transparent,
            "animated": _is_animated(image),
        }
        pixels = hashlib.blake2b(str(whole.size).encode() + whole.tobytes(), digest_size=16).hexdigest()
    grey = int(np.ptp(small.astype(np.int16), axis=2).max()) <= _GREY_SPREAD
    border = np.concatenate([small[0], small[-1], small[1:-1, 0], small[1:-1, -1]]).mean(axis=0)
    red, green, blue = (round(float(value), 1) for value in border)
    statistics.update(border_red=red, border_green=green, border_blue=blue, grey=grey, pixels=pixels, bytes=len(data))
    return ImageStatistics(**statistics), small


def _stored(image: Image.Image) -> dict[str, Any]:
    if image.format != "TIFF":  # when Pillow loads a TIFF, it turns the photo upright and deletes the tag
        image.load()  # without this, getexif would decode part of a damaged PNG
    try:
        tags = set(image.getexif())
    except Exception:  # noqa: BLE001 - Pillow raises many errors on damaged EXIF; the photo may be fine
        tags = set()
    return {
        "format": "JPEG" if image.format == "MPO" else str(image.format),  # MPO is a JPEG with a preview
        "mode": image.mode,
        "orientation": orientation_of(image),
        "exif": bool(tags & _CAMERA_TAGS if image.format == "TIFF" else tags),
    }


def _is_animated(image: Image.Image) -> bool:
    """Whether the file has a second readable picture. Called last: seeking may make a damaged file unreadable."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - Pillow raises many errors on a damaged second picture
        return False


def _shines_through(image: Image.Image) -> bool:
    if image.mode.startswith("I"):
        return bool((np.asarray(image) == image.info["transparency"]).any())
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return int(alpha.min()) < 255  # noqa: PLR2004 - opaque


def _seen(image: Image.Image) -> dict[str, Any]:
    pixels = np.asarray(image).reshape(-1, 3)
    sampled = pixels[:: -(-len(pixels) // SAMPLED)].astype(np.float32)
    sampled *= sampled
    low, high = np.percentile(np.sqrt(sampled @ _BRIGHTNESS) / 255, [5, 99])
    ratio = max(1.0, max(image.size) / _BLUR_SIDE)
    reduced = (
        image.resize((max(1, int(image.width // ratio)), max(1, int(image.height // ratio)))) if ratio > 1 else image
    )
    grey = reduced.convert("L")
    return {
        "brightness_5": round(float(low), 4),
        "brightness_99": round(float(high), 4),
        "entropy": round(float(image.entropy()), 4),
        "edges": round(float(np.sqrt(ImageStat.Stat(grey.filter(ImageFilter.FIND_EDGES)).var[0])), 4),
        "histogram_spread": round(float(np.std(grey.histogram())), 4),
        "steepest": _steepest(image.reduce(max(1, max(image.size) // _STEPS_SIDE))),
    }


def _steepest(image: Image.Image) -> int:
    width, height = image.size
    steps = np.zeros(256, np.int64)
    for left, top in ((1, 0), (0, 1)):
        shifted, kept = image.crop((left, top, width, height)), image.crop((0, 0, width - left, height - top))
        steps += np.reshape(ImageChops.difference(shifted, kept).histogram(), (3, 256)).sum(axis=0)
    reached = steps[::-1].cumsum()[::-1] >= _STEEP_SHARE * steps.sum()
    return int(np.flatnonzero(reached)[-1])


def fault_of(data: bytes, error: ImageError) -> PhotoFault:
    """The fault of a photo that could not be decoded."""
    if error.fault is not ImageFault.UNREADABLE:
        return PhotoFault(FaultKind(error.fault), str(error))
    if str(error) == ENDS_EARLY:
        return PhotoFault(FaultKind.TRUNCATED, ENDS_EARLY)
    return unsupported_fault(data) or PhotoFault(FaultKind.UNREADABLE, str(error))
