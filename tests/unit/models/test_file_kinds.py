import struct

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from models.file_kinds import ENDS_EARLY, ends_early, unreadable_words
from tests.unit.models.pictures import encoded

SAVE = "save it as JPEG, PNG or WebP."
PAGE = "It is a web page; fetch the photo itself."
TEXT = "It is text, not a photo; fetch the photo itself."
NONE = "Hangtag does not know its format; fetch it again."


def box(kind, brand):
    return b"\0\0\0\x18" + kind + brand + bytes(12)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", f"It is a PDF document; {SAVE}"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", f"It is a PostScript document; {SAVE}"),
        (b"8BPS\0\x01", f"It is a Photoshop document; {SAVE}"),
        (b"PK\x03\x04\x14\0", "It is a ZIP archive; unpack it."),
        *((box(b"ftyp", brand), f"It is an HEIF photo; {SAVE}") for brand in (b"heic", b"mif1")),
        (box(b"ftyp", b"crx "), f"It is a raw photo; {SAVE}"),
        (box(b"ftyp", b"isom"), "It is a video; fetch a photo."),
        (b"\xff\x0a" + bytes(20), f"It is a JPEG XL image; {SAVE}"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", f"It is a JPEG 2000 image; {SAVE}"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", f"It is an SVG drawing; {SAVE}"),
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>", f"It is an SVG drawing; {SAVE}"),
        (b"<?xml version='1.0'?><Error/>", "It is an XML document; fetch the photo itself."),
        *((b"<!DOCTYPE html><title>404</title>", PAGE), (b"\xef\xbb\xbf\r\n<HTML>", PAGE)),
        *((b"\n" * 200 + b"<html>", PAGE), (b"<?xml version='1.0'?><!DOCTYPE html>", PAGE)),
    ],
)
def test_a_known_kind_of_file_is_named_with_what_to_do(data, message):
    assert unreadable_words(data, UnidentifiedImageError()) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The file is empty; fetch it again."),
        (b'{"error": "not found"}', TEXT),
        (b"Not Found\r\n", TEXT),
        ("Fehler: schöne Grüße".encode(), TEXT),
        (("ö" * 600).encode()[1:], NONE),
        ((" " + "ö" * 600).encode(), TEXT),
        (bytes(5000), NONE),
        (b"\x7fELF\x02\x01\x01\0", NONE),
        (bytes(range(1, 200)), NONE),
        (b"\xff\xd8\xff\xe0", "It begins like JPEG, but is damaged; fetch it again."),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "It begins like PNG, but is damaged; fetch it again."),
        (b"RIFF\x08\0\0\0WEBPVP8 ", "It begins like WebP, but is damaged; fetch it again."),
        (box(b"ftyp", b"avif"), "It begins like AVIF, but is damaged; fetch it again."),
    ],
)
def test_anything_else_says_what_to_do(data, message):
    assert unreadable_words(data, UnidentifiedImageError()) == message


@pytest.mark.parametrize("said", ["image file is truncated (3 bytes not processed)", "Unexpected end of data"])
def test_what_pillow_finds_cut_short_is_called_that(said):
    assert unreadable_words(b"\x89PNG\r\n\x1a\n", OSError(said)) == ENDS_EARLY


def test_what_is_damaged_inside_is_to_be_saved_again():
    said = unreadable_words(b"\x89PNG\r\n\x1a\n", ValueError("bad"))
    assert said == "The image is damaged (ValueError: bad); save it again."


def tiles(seed):
    colours = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(colours).resize((120, 90), Image.Resampling.NEAREST)


@pytest.fixture(params=["GIF", "WEBP", "TIFF", "AVIF"])
def sound(request):
    """TIFFs are compressed: uncompressed ones have their directory first, and Pillow itself finds the cut."""
    options = {"compression": "tiff_lzw"} if request.param == "TIFF" else {}
    frames = {} if request.param == "TIFF" else {"save_all": True, "append_images": [tiles(1)]}
    return encoded(tiles(0), request.param, **options, **frames)


def test_a_file_ends_early_where_anything_is_cut_off(sound):
    assert not ends_early(sound)
    assert not ends_early(sound + bytes(100))
    for length in (12, len(sound) // 2, len(sound) - 1):
        assert ends_early(sound[:length])


@pytest.mark.parametrize("order", ["II", "MM"])
def test_a_tiff_of_either_byte_order(order):
    letter, number = ("<", b"*\0") if order == "II" else (">", b"\0*")
    entry = struct.pack(f"{letter}HHII", 270, 2, 40, 26)
    whole = order.encode() + number + struct.pack(f"{letter}IH", 8, 1) + entry + bytes(4 + 40)
    assert not ends_early(whole)
    assert ends_early(whole[:-1])


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"text", bytes(100)])
def test_nothing_is_said_of_other_formats(data):
    assert not ends_early(data)
