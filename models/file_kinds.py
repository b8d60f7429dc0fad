"""Identifies file formats by their bytes, explains unreadable files, and strips parts that a photo does not need."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from PIL import UnidentifiedImageError

ENDS_EARLY: Final = "The file ends too early; fetch it again."
FIRST_BYTES: Final = 1024
"""Number of first bytes that identify a file's format."""
_TRUNCATED: Final = ("truncated", "unexpected end", "premature", "reached eof", "not enough image data")
_PHOTOS: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_PICTURES: Final = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
)
_MARKUP: Final = (
    (b"<svg", "an SVG drawing", "save it as JPEG, PNG or WebP"),
    (b"<!doctype html", "a web page", "fetch the photo itself"),
    (b"<html", "a web page", "fetch the photo itself"),
    (b"<?xml", "an XML document", "fetch the photo itself"),
)
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_RAW_BRAND: Final = b"crx "
JPEG_END: Final = b"\xff\xd9"
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SCAN: Final = 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN_SIZES: Final = (6, 8, 10, 12)
_MOST_SEGMENTS: Final = 4096
_PNG_START: Final = 8
_NEEDED_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"})
MOST_PROFILE_BYTES: Final = 4 * 1024 * 1024
"""The largest allowed colour profile, in bytes. Printer profiles reach 3 MB."""
_TIFF_SIZES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8)


def unreadable_words(data: bytes, error: Exception) -> str:
    """Why a photo cannot be read, and what to do. ``error`` is Pillow's error."""
    message = str(error).lower()
    if any(word in message for word in _TRUNCATED) or ends_early(data):
        return ENDS_EARLY
    if not isinstance(error, UnidentifiedImageError):
        return f"The image is damaged ({type(error).__name__}: {error}); save it again."
    if not data:
        return "The file is empty; fetch it again."
    photo = photo_format(data)
    if photo:
        return f"It begins like {photo}, but is damaged; fetch it again."
    text = "It is text, not a photo; fetch the photo itself." if is_text(data[:FIRST_BYTES]) else ""
    return other_kind(data) or text or "Hangtag does not know its format; fetch it again."


def other_kind(data: bytes) -> str | None:
    """The format of a file that is not a photo, and what to do. None if the first bytes do not identify the format."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return to_save("an HEIF photo")
    if data[4:8] == b"ftyp" and data[8:12]:
        return to_save("a raw photo") if data[8:12] == _RAW_BRAND else "It is a video; fetch a photo."
    if data.startswith(b"PK\x03\x04"):
        return "It is a ZIP archive; unpack it."
    picture = next((kind for magic, kind in _PICTURES if data.startswith(magic)), None)
    if picture:
        return to_save(picture)
    start = data[:FIRST_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start.startswith(b"<"):
        return None
    return next((f"It is {kind}; {advice}." for mark, kind, advice in _MARKUP if mark in start), None)


def to_save(kind: str) -> str:
    """The format of a picture that Hangtag does not read, and advice to convert the picture."""
    return f"It is {kind}; save it as JPEG, PNG or WebP."


def photo_format(data: bytes) -> str | None:
    """The format of a photo that Hangtag reads, by its first bytes. None for other files."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:12] in {b"ftypavif", b"ftypavis"}:
        return "AVIF"
    return next((name for magic, name in _PHOTOS if data.startswith(magic)), None)


def is_text(start: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 text. An empty file is text."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # the last character may be cut off
            return False
        text = start[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)


def ends_early(data: bytes) -> bool:
    """Whether an unreadable GIF, WebP, TIFF or AVIF file is too short. For other formats, see Pillow's error."""
    measure = _MEASURES.get(photo_format(data) or "")
    try:
        return measure is not None and measure(data)
    except struct.error:  # the header is cut off
        return True


def _cut_tiff(data: bytes) -> bool:
    order = "<" if data.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    for entry in range(count):
        _, kind, values, offset = struct.unpack_from(f"{order}HHII", data, directory + 2 + 12 * entry)
        size = values * _TIFF_SIZES[kind] if kind < len(_TIFF_SIZES) else 0
        if size > 4 and offset + size > len(data):  # noqa: PLR2004 - values of up to 4 bytes are in the entry itself
            return True
    return False


def _cut_avif(data: bytes) -> bool:
    place: int = 0
    while place < len(data):
        size: int = struct.unpack_from(">I", data, place)[0]
        if size < 8:  # noqa: PLR2004 - the box ends with the file, has a size of 64 bits, or is damaged
            return False
        place += size
    return place > len(data)


_MEASURES: Final[Mapping[str, Callable[[bytes], bool]]] = {
    "GIF": lambda data: not data.rstrip(b"\0").endswith(b";"),
    "WebP": lambda data: struct.unpack_from("<I", data, 4)[0] + 8 > len(data),
    "TIFF": _cut_tiff,
    "AVIF": _cut_avif,
}


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    place = 2
    for _ in range(_MOST_SEGMENTS):
        match = _JPEG_MARKER.search(data, place)
        if match is None:
            yield 0, len(data), b""
        if match is None or match[0] == JPEG_END:
            return
        place = match.end() + int.from_bytes(data[match.end() : match.end() + 2])
        yield match[0][1], match.start(), data[match.end() + 2 : place]


def is_interleaved(data: bytes) -> bool:
    """Whether the first scan of a JPEG has all colour components. Pillow holds other JPEGs whole in memory."""
    colours = b""
    for marker, _, contents in _jpeg_segments(data):
        if marker in _FRAMES:
            colours = contents[5:6]
        elif marker == _SCAN:
            return contents[:1] == colours
    return False


def without_end(data: bytes) -> bytes | None:
    """The bytes of a JPEG that lacks its end marker but has every scan. None for other JPEGs.

    Only a decoder can check whether the last scan is whole.
    """
    lacks: set[tuple[int, int]] | None = None
    for marker, start, contents in _jpeg_segments(data):
        if lacks is not None and not lacks:
            return data[:start].rstrip(b"\xff")
        if marker in _FRAMES:
            lacks = {(colour, place) for colour in contents[6:18:3] for place in range(64)}
        elif marker == _SCAN and lacks and len(contents) in _SCAN_SIZES:
            first, last, bits = contents[-3:]
            if bits & 0x0F:  # more bits of the coefficients follow
                continue
            lacks -= {(colour, place) for colour in contents[1:-3:2] for place in range(first, last + 1)}
    return None


def png_without_extras(data: bytes) -> tuple[bytes, bytes | None]:
    """A PNG with only the chunks that the picture needs, and the PNG's decompressed colour profile."""
    place, kept, profile = _PNG_START, [data[:_PNG_START]], b""
    while place + _PNG_START <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        chunk, place = data[place : place + size + 12], place + size + 12
        is_sound = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])
        if kind in _NEEDED_CHUNKS and (is_sound or kind[:1].isupper()):
            kept.append(chunk)
        elif kind == b"iCCP" and is_sound:
            profile = profile or chunk[8:-4].partition(b"\0")[2][1:]
    return b"".join(kept), _inflated(profile)


def _inflated(compressed: bytes) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(compressed, MOST_PROFILE_BYTES)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else text
