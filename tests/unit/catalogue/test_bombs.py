"""Photos in cells that would fill the memory; for photos of hosts see ``downloads/test_answers.py``.

Python does not count a decoder's memory, so each photo is decoded in another process, and its resident memory measured.
"""

import base64
import io
import json
import struct
import subprocess
import sys
import warnings
import zlib
from contextlib import suppress
from itertools import product

import pytest
from PIL import Image

from models.errors import ImageFault
from models.preprocess import MAX_BYTES, accepted_formats
from tests.photo_jobs import outcome_of

SIDE = 60_000
WIDE = struct.pack(">II", SIDE, SIDE)
DECODE = """
import io, json, sys
from base64 import b64decode
from pathlib import Path
from PIL import Image
from models.errors import ImageError
from models.preprocess import accepted_formats
from models.preprocess import PreprocessSpec, preprocess

def peak_mb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

for kind in set(accepted_formats()) & set(Image.SAVE):  # a first photo loads modules, which do not count
    small = io.BytesIO()
    Image.new("RGB", (64, 64)).save(small, kind)
    preprocess(small.getvalue(), PreprocessSpec(size=32))
for line in sys.stdin:
    data, fault = b64decode(line), None
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = peak_mb()
    try:
        preprocess(data, PreprocessSpec(size=32))
    except ImageError as error:
        fault = error.fault
    print(json.dumps([fault, peak_mb() - before]))
"""


def decoded(*photos: bytes) -> list[tuple[str | None, float]]:
    lines = b"".join(base64.b64encode(photo) + b"\n" for photo in photos)
    done = subprocess.run([sys.executable, "-c", DECODE], input=lines, capture_output=True, check=True)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def encoded(kind, mode="RGB", size=(64, 64), **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def png(width, height, *chunks):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def patched(data: bytes, after: bytes, offset: int, new: bytes) -> bytes:
    place = data.index(after) + offset
    return data[:place] + new + data[place + len(new) :]


def webp_canvas(data: bytes) -> bytes:
    return patched(data, b"VP8X", 12, (16_382).to_bytes(3, "little") * 2)


def moving(kind: str) -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def zeros(count: int) -> bytes:
    """Compressed by zlib. After a full flush equal blocks have equal bytes, so one is compressed."""
    first, rest = (zlib.compressobj(9, wbits=-zlib.MAX_WBITS) for _ in range(2))
    block = first.compress(bytes(1 << 24)) + first.flush(zlib.Z_FULL_FLUSH)
    tail = rest.compress(bytes(count % (1 << 24))) + rest.flush()
    checksum = struct.pack(">HH", count % 65_521, 1)  # Adler-32 of zeros
    return b"\x78\xda" + block * (count >> 24) + tail + checksum


def tiff(side: int, tile: int, data: bytes) -> bytes:
    entries = ((256, side), (257, side), (258, 8), (259, 8), (262, 2), (277, 3), (284, 1), (322, tile), (323, tile))
    places = ((324, 8 + 2 + 12 * 11 + 4), (325, len(data)))
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*entries, *places))
    return b"II*\0" + struct.pack("<IH", 8, 11) + tags + bytes(4) + data


FRAME = encoded("JPEG").index(b"\xff\xc0")
TWO_FRAMES = encoded("JPEG")[:FRAME] + patched(encoded("JPEG")[FRAME:], b"\xff\xc0", 5, struct.pack(">HH", SIDE, SIDE))
BOMBS = {
    "png": png(SIDE, SIDE),
    "png, one line": png(2**31 - 1, 1),
    "png, one column": png(1, 2**31 - 1),
    "gif": patched(encoded("GIF"), b"GIF8", 6, struct.pack("<HH", SIDE, SIDE)),
    "gif, a frame": patched(encoded("GIF"), b"\x00\x00\x00\x00@\x00@\x00", 4, struct.pack("<HH", SIDE, SIDE)),
    "bmp": patched(encoded("BMP"), b"BM", 18, struct.pack("<ii", SIDE, SIDE)),
    "dib": patched(encoded("DIB"), b"(\x00\x00\x00", 4, struct.pack("<ii", SIDE, SIDE)),
    "jpeg": patched(encoded("JPEG"), b"\xff\xc0", 5, struct.pack(">HH", SIDE, SIDE)),
    "jpeg, held as a whole": patched(
        encoded("JPEG", progressive=True), b"\xff\xc2", 5, struct.pack(">HH", 12_000, 12_000)
    ),
    "mpo": patched(moving("MPO"), b"\xff\xc0", 5, struct.pack(">HH", SIDE, SIDE)),
    "ppm": b"P6 60000 60000 255\n",
    "ppm, as text": b"P3 60000 60000 255\n" + b"0 " * 1000,
    "webp": patched(encoded("WEBP", lossless=True), b"VP8L", 9, b"\xfe\xbf\xff\x0f"),
    "webp, its canvas": webp_canvas(encoded("WEBP", "RGBA", exact=True)),
    "webp, that moves": webp_canvas(moving("WEBP")),
    "tiff": tiff(SIDE, 256, b"x"),
    "tiff, its tile": tiff(64, 16_384, zeros(3 * 16_384**2)),
    "avif": patched(encoded("AVIF"), b"ispe", 8, struct.pack(">II", 16_384, 16_384)),
}


def test_too_many_pixels_are_never_decoded():
    found = dict(zip(BOMBS, decoded(*BOMBS.values()), strict=True))
    assert {kind: fault for kind, (fault, _) in found.items()} == dict.fromkeys(BOMBS, ImageFault.TOO_LARGE)
    assert {kind: grown for kind, (_, grown) in found.items() if grown > 8} == {}


def test_what_is_beside_the_pixels_takes_little_memory():
    much, megabyte = zeros(2**27), zeros(2**20 - 10)
    beside = {
        "a profile": png(8, 8, (b"iCCP", b"a\0\0" + much)),
        "a text": png(8, 8, (b"zTXt", b"a\0\0" + much)),
        "texts": png(8, 8, *((b"iTXt", b"a\0\1\0\0\0" + megabyte) for _ in range(200))),
        "more pixels than there are": png(8, 8, (b"IDAT", much)),
        "a number": b"P6 " + b"9" * 2**24,
        "two frames": TWO_FRAMES,
        "a size that is none": patched(encoded("AVIF"), b"ispe", 8, WIDE),
    }
    found = dict(zip(beside, decoded(*beside.values()), strict=True))
    assert {kind: grown for kind, (_, grown) in found.items() if grown > 100} == {}


def test_no_other_format_of_pillow_is_decoded():
    photos = {}
    for kind, mode in product(sorted(set(Image.SAVE) - set(accepted_formats()) - {"MPO"}), ("1", "L", "RGB")):
        with suppress(OSError, ValueError), warnings.catch_warnings(action="ignore"):  # it holds no such pixels
            photos[kind] = encoded(kind, mode)
    found = dict(zip(photos, decoded(*photos.values()), strict=True))
    assert len(found) > 10
    assert {kind: fault for kind, (fault, _) in found.items() if fault != ImageFault.UNREADABLE} == {}
    assert max(grown for _, grown in found.values()) < 8


LARGEST = (7000, 7100)
LARGE = [
    ("PNG", "RGBA", {}),
    ("PNG", "LA", {}),
    ("PNG", "I;16", {}),
    ("GIF", "P", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "CMYK", {}),
    ("WEBP", "RGBA", {"lossless": True, "method": 0}),
    ("AVIF", "RGB", {"speed": 10}),
    ("TIFF", "RGBA", {"compression": "tiff_deflate"}),
    ("TIFF", "I", {"compression": "tiff_deflate"}),
    ("TIFF", "LAB", {"compression": "tiff_deflate"}),
    ("PPM", "1", {}),
]


@pytest.mark.proof
@pytest.mark.parametrize(("kind", "mode", "options"), LARGE)
def test_the_largest_photos_take_a_gigabyte_at_most(kind, mode, options):
    ((fault, grown),) = decoded(encoded(kind, mode, LARGEST, **options))
    assert fault is None
    assert grown < 1000


LARGE_JPEGS = {
    "decoded at an eighth": ((65_000, 3_070), {}),
    "held as a whole": ((5_990, 11_100), {"progressive": True, "subsampling": 0}),
    "held as a whole, with fewer colours": ((11_500, 11_500), {"progressive": True, "subsampling": 2}),
}


@pytest.mark.proof
@pytest.mark.parametrize("ends", [True, False], ids=["whole", "without its end"])
@pytest.mark.parametrize("kind", LARGE_JPEGS)
def test_the_largest_jpegs_take_a_gigabyte_at_most(kind, ends):
    size, options = LARGE_JPEGS[kind]
    photo = encoded("JPEG", "RGB", size, **options)
    ((fault, grown),) = decoded(photo if ends else photo[:-2])
    assert fault is None
    assert grown < 1000


@pytest.mark.parametrize("inline", [True, False], ids=["in the cell", "on disk"])
def test_a_bomb_comes_as_its_bytes_and_what_is_huge_is_not_read(inline, tmp_path):
    (tmp_path / "bomb").write_bytes(BOMBS["tiff, its tile"])
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    bomb = "data:;base64," + base64.b64encode(BOMBS["tiff, its tile"]).decode() if inline else "bomb"
    assert outcome_of(tmp_path, bomb) == BOMBS["tiff, its tile"]
    huge = "data:," + "A" * (MAX_BYTES + 1) if inline else "huge"
    assert outcome_of(tmp_path, huge).fault is ImageFault.TOO_LARGE
