"""Cells whose photos would fill the memory: a row each. Those that hosts send are in ``test_downloads.py``."""

import base64
import io
import struct
import tracemalloc
import zlib

import pytest
from PIL import Image

from models.errors import ImageError, ImageFault
from models.preprocess import MAX_BYTES, PreprocessSpec, preprocess
from tests.photo_jobs import photo_job, take_all, wanted
from worker.photos.source import open_photos

SIDE = 60_000


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def small(kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return bytearray(file.getvalue())


def gif(side):
    data = small("GIF")
    data[6:10] = struct.pack("<HH", side, side)
    return bytes(data)


def bmp(side):
    data = small("BMP")
    data[18:26] = struct.pack("<ii", side, side)
    return bytes(data)


def jpeg(side):
    data = small("JPEG")
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)


BOMBS = {
    "png": png(SIDE, SIDE),
    "png, one line": png(2**31 - 1, 1),
    "png, one column": png(1, 2**31 - 1),
    "gif": gif(SIDE),
    "bmp": bmp(SIDE),
    "jpeg": jpeg(SIDE),
}


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("inline", [True, False], ids=["in the cell", "on disk"])
def test_too_many_pixels_are_never_decoded(kind, inline, tmp_path):
    (tmp_path / "bomb").write_bytes(BOMBS[kind])
    cell = "data:;base64," + base64.b64encode(BOMBS[kind]).decode() if inline else "bomb"
    source = open_photos(photo_job(tmp_path, confined=True))
    source.want(wanted(cell), {})
    data = take_all(source, 1)[0].outcome
    assert data == BOMBS[kind]
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="pixels") as caught:
            preprocess(data, PreprocessSpec(size=32))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.fault is ImageFault.TOO_LARGE


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    source = open_photos(photo_job(tmp_path, confined=True))
    source.want(wanted("huge.jpg"), {})
    assert take_all(source, 1)[0].outcome.fault is ImageFault.TOO_LARGE


def test_a_huge_cell_is_not_decoded(tmp_path):
    source = open_photos(photo_job(tmp_path, confined=True))
    source.want(wanted("data:," + "A" * (MAX_BYTES + 1)), {})
    assert take_all(source, 1)[0].outcome.fault is ImageFault.TOO_LARGE
