import os

import pytest
from PIL import Image

from trainer.data.photo_files import FaultKind, PhotoFault, stray_fault, unsupported_fault

SAVE = "save it as JPEG, PNG or WebP."
PAGE = "It is a web page; fetch the photo itself."


def box(kind, brand):
    return b"\0\0\0\x18" + kind + brand + bytes(12)


@pytest.mark.parametrize(
    ("data", "message"), [(b"%PDF-1.7\n%\xe2\xe3", f"It is a PDF document; {SAVE}"), (b"<!DOCTYPE html>", PAGE)]
)
def test_a_file_of_another_kind_is_unsupported(data, message):
    assert unsupported_fault(data) == PhotoFault(FaultKind.UNSUPPORTED, message)


@pytest.mark.parametrize("data", [b"", b"Not Found", bytes(5000), b"\xff\xd8\xff\xe0", box(b"ftyp", b"avif")])
def test_what_is_damaged_or_unknown_is_not(data):
    assert unsupported_fault(data) is None


@pytest.mark.parametrize("file_format", ["ICO", "PCX", "ICNS", "SGI"])
def test_an_image_that_only_pillow_knows_is_named(encode, tiles, file_format):
    fault = unsupported_fault(encode(tiles(), file_format))
    assert fault.kind is FaultKind.UNSUPPORTED
    assert fault.message == f"It is an image of the kind {file_format}; {SAVE}"


def test_bytes_that_a_reader_without_a_mark_takes_for_its_own_are_not_named_after_it(encode, tiles):
    assert unsupported_fault(encode(tiles(), "TGA")) is None


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
    assert unsupported_fault(huge) in (
        None,
        PhotoFault(FaultKind.UNSUPPORTED, f"It is an image of the kind PCX; {SAVE}"),
    )
