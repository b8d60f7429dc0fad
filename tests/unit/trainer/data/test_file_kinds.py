import os
import struct

import pytest
from PIL import Image

from trainer.data.file_kinds import ends_early, stray_fault, unknown_fault
from trainer.data.photo_files import FaultKind

SAVE = "save it as JPEG, PNG or WebP."
PAGE = "It is a web page; fetch the photo itself."
TEXT = "It is text, not a photo; fetch the photo itself."
NONE = "It is in none of the formats that Hangtag reads; fetch it again."


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
    fault = unknown_fault(data)
    assert (fault.kind, fault.message) == (FaultKind.UNSUPPORTED, message)


@pytest.mark.parametrize("file_format", ["ICO", "PCX", "ICNS", "SGI"])
def test_an_image_that_only_pillow_knows_is_named(encode, tiles, file_format):
    fault = unknown_fault(encode(tiles(), file_format))
    assert fault.kind is FaultKind.UNSUPPORTED
    assert fault.message == f"It is an image of the kind {file_format}; {SAVE}"


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
def test_anything_else_is_unreadable_and_says_what_to_do(data, message):
    fault = unknown_fault(data)
    assert (fault.kind, fault.message) == (FaultKind.UNREADABLE, message)


def test_bytes_that_a_reader_without_a_mark_takes_for_its_own_are_not_named_after_it(encode, tiles):
    assert unknown_fault(encode(tiles(), "TGA")).message == NONE


@pytest.mark.parametrize(
    ("file_format", "name", "suffix"),
    [
        *(("JPEG", "JPEG", ".jpg"), ("PNG", "PNG", ".png"), ("GIF", "GIF", ".gif")),
        *(("TIFF", "TIFF", ".tif"), ("WEBP", "WebP", ".webp"), ("AVIF", "AVIF", ".avif")),
    ],
)
@pytest.mark.parametrize("stray", ["shoe", "shoe.heic", "shoe.jpg_large"])
def test_a_photo_under_another_kind_of_name(tmp_path, encode, tiles, stray, file_format, name, suffix):
    path = tmp_path / stray
    path.write_bytes(encode(tiles(), file_format))
    fault = stray_fault(path)
    assert fault.kind is FaultKind.WRONG_EXTENSION
    assert fault.message == f"Its content is {name}, its name is {stray}; let the name end in {suffix}."


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.heic", box(b"ftyp", b"heic"), f"It is an HEIF photo; {SAVE}"),
        ("a.svg", b"<?xml version='1.0'?><svg/>", f"It is an SVG drawing; {SAVE}"),
        ("a.PDF", b"%PDF-1.4", f"It is a PDF document; {SAVE}"),
        ("a.heic", b"<html>", PAGE),
        ("a.nef", b"\0\1\2\3", f"It is a file of the kind .nef; {SAVE}"),
        ("a.tga", b"", f"It is a file of the kind .tga; {SAVE}"),
    ],
)
def test_what_was_meant_for_a_photo_is_unsupported(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    fault = stray_fault(tmp_path / name)
    assert (fault.kind, fault.message) == (FaultKind.UNSUPPORTED, message)


@pytest.mark.parametrize(("name", "data"), [("notes.txt", b"left shoe"), ("Thumbs.db", bytes(9)), ("README", b"%PDF-")])
def test_nobody_would_take_it_for_a_photo(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.heic")
    for path in (tmp_path / name, tmp_path / "pipe.heic", tmp_path / "gone.heic"):
        assert stray_fault(path) is None


def test_pillow_is_asked_without_running_or_warning(encode):
    """A bomb in a rare format is neither decoded nor warned of: warnings are errors here."""
    huge = encode(Image.new("1", (20_000, 12_000)), "PCX")
    assert unknown_fault(huge).kind in {FaultKind.UNSUPPORTED, FaultKind.UNREADABLE}


@pytest.fixture(params=["GIF", "WEBP", "TIFF", "AVIF"])
def sound(request, encode, tiles):
    """A TIFF is compressed: the directory of one that is not stands first, and Pillow itself finds the cut."""
    options = {"compression": "tiff_lzw"} if request.param == "TIFF" else {}
    frames = {} if request.param == "TIFF" else {"save_all": True, "append_images": [tiles(1)]}
    return encode(tiles(), request.param, **options, **frames)


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
