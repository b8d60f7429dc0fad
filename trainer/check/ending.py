"""Whether a file ends before it should, by what its own headers say of its length.

Pillow says so of some formats and of some cuts; of others it says only that it cannot read the file.
"""

import struct
from collections.abc import Callable
from typing import Final

__all__ = ["ends_early"]

_TIFF_SIZES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8)


def ends_early(data: bytes) -> bool:
    """Whether a PNG, GIF, WebP, BMP, TIFF or AVIF file is shorter than it says; False of all others.

    Args:
        data: the bytes of a file that cannot be read.
    """
    measures = (missing for is_one, missing in _MEASURES if is_one(data))
    try:
        return any(missing(data) for missing in measures)
    except struct.error:  # not even the header is whole
        return True


def _cut_png(data: bytes) -> bool:
    place: int = 8
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        place += 12 + int(length)
        if kind == b"IEND":
            break
    else:
        return True
    return place > len(data)


def _cut_gif(data: bytes) -> bool:
    return not data.rstrip(b"\0").endswith(b";")


def _cut_webp(data: bytes) -> bool:
    return bool(struct.unpack_from("<I", data, 4)[0] + 8 > len(data))


def _cut_bmp(data: bytes) -> bool:
    return bool(struct.unpack_from("<I", data, 2)[0] > len(data))


def _cut_tiff(data: bytes) -> bool:
    """Whether the first directory, or a value that it points to, lies beyond the end."""
    order = "<" if data.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    for entry in range(count):
        _, kind, values, offset = struct.unpack_from(f"{order}HHII", data, directory + 2 + 12 * entry)
        size = values * _TIFF_SIZES[kind] if kind < len(_TIFF_SIZES) else 0
        if size > 4 and offset + size > len(data):  # noqa: PLR2004 - more than fits into the entry itself
            return True
    return False


def _cut_avif(data: bytes) -> bool:
    place: int = 0
    while place < len(data):
        size: int = struct.unpack_from(">I", data, place)[0]
        if size < 8:  # noqa: PLR2004 - up to the end, in 64 bits, or damaged
            return False
        place += size
    return place > len(data)


_MEASURES: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes], bool]], ...]] = (
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _cut_png),
    (lambda data: data.startswith(b"GIF8"), _cut_gif),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _cut_webp),
    (lambda data: data.startswith(b"BM"), _cut_bmp),
    (lambda data: data.startswith((b"II*\0", b"MM\0*")), _cut_tiff),
    (lambda data: data[4:12] in {b"ftypavif", b"ftypavis"}, _cut_avif),
)
