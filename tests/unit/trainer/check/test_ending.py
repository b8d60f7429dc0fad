import struct

import pytest
from PIL import Image

from trainer.data.file_kinds import ends_early

FORMATS = ["PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"]


@pytest.fixture(params=FORMATS)
def sound(request, encode, tiles):
    """A TIFF is compressed: the directory of one that is not stands first, and Pillow itself finds the cut."""
    options = {"compression": "tiff_lzw"} if request.param == "TIFF" else {}
    return encode(tiles(), request.param, **options)


def test_a_whole_file_does_not_end_early(sound):
    assert not ends_early(sound)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8])
def test_a_cut_one_does(sound, share):
    assert ends_early(sound[: 12 + int((len(sound) - 12) * share)])


def test_one_lost_byte_is_enough(sound):
    assert ends_early(sound[:-1])


@pytest.mark.parametrize("order", ["II", "MM"])
def test_a_tiff_of_either_byte_order(order):
    letter, number = ("<", b"*\0") if order == "II" else (">", b"\0*")
    entry = struct.pack(f"{letter}HHII", 270, 2, 40, 26)
    whole = order.encode() + number + struct.pack(f"{letter}IH", 8, 1) + entry + bytes(4 + 40)
    assert not ends_early(whole)
    assert ends_early(whole[:-1])


def test_more_than_there_should_be_is_not_early(sound):
    assert not ends_early(sound + bytes(100))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"text", bytes(100)])
def test_nothing_is_said_of_other_formats(data):
    assert not ends_early(data)


def test_several_pictures_are_a_whole(encode, tiles):
    frames = {"save_all": True, "append_images": [tiles(1), tiles(2)]}
    for file_format in ("GIF", "WEBP", "AVIF", "TIFF", "PNG"):
        assert not ends_early(encode(tiles(), file_format, **frames))
    assert not ends_early(encode(Image.new("1", (9, 9)), "TIFF"))
