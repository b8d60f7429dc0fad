"""The SHA-256 of photos' files, and the faults of unusable files."""

import hashlib
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import ImageError
from models.preprocess import MAX_BYTES, PreprocessSpec, preprocess
from trainer.data.dataset import LabeledPhoto
from trainer.data.photo_files import FaultKind, fault_of, hash_photos, measure_photo, stray_fault, unsupported_fault


def test_an_unreadable_file_and_a_changed_one_are_different_faults(tmp_path):
    labelled = hashlib.sha256(b"as labelled").hexdigest()
    same, other = (LabeledPhoto(tmp_path / name, "hat", sha256=labelled) for name in ("same.jpg", "other.jpg"))
    same.path.write_bytes(b"as labelled")
    other.path.write_bytes(b"another photo")
    gone, folder = LabeledPhoto(tmp_path / "gone.jpg", "hat"), LabeledPhoto(tmp_path, "vase")
    hashed, unread = hash_photos([other, same, gone, folder])
    assert hashed == [(same, labelled)]
    assert [(photo, fault.kind) for photo, fault in unread] == [
        (other, FaultKind.CHANGED),
        (gone, FaultKind.MISSING),
        (folder, FaultKind.UNREADABLE),
    ]
    assert str(other.path) in unread[0][1].message


FORMATS = {
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "lossless WEBP": ("WEBP", {"lossless": True}),
    "TIFF by LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF by JPEG": ("TIFF", {"compression": "jpeg"}),
    **{name: (name, {}) for name in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM")},
}


@pytest.fixture(scope="module")
def sound(encode, tiles):
    """A photo in each format, of some kilobytes."""
    return {name: encode(tiles(), file_format, **options) for name, (file_format, options) in FORMATS.items()}


@pytest.mark.parametrize("name", FORMATS)
def test_a_photo_cut_short_is_truncated(refused, sound, name):
    for share in (0.1, 0.5, 0.9):
        assert refused(sound[name][: int(len(sound[name]) * share)]).kind is FaultKind.TRUNCATED


def test_damage_floating_point_and_size_are_faults(refused, encode, tiles):
    damaged = bytearray(encode(tiles(size=(600, 400))))
    start = damaged.index(b"IDAT") + 30
    damaged[start : start + 400] = bytes(400)
    assert refused(bytes(damaged)).kind is FaultKind.UNREADABLE
    assert refused(encode(Image.new("F", (20, 20)), "TIFF")).kind is FaultKind.UNREADABLE
    assert refused(bytes(MAX_BYTES + 1)).kind is FaultKind.TOO_LARGE
    small = encode(Image.new("RGB", (4, 4)), "BMP")
    bomb = refused(small[:18] + struct.pack("<ii", 9_000, 9_000) + small[26:])
    assert (bomb.kind, "9000×9000" in bomb.message) == (FaultKind.TOO_LARGE, True)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400))
def test_bytes_that_are_no_photo_have_a_fault_and_a_way_out(data):
    with pytest.raises(ImageError) as caught:
        measure_photo(data)
    fault = fault_of(data, caught.value)
    assert fault.kind in {FaultKind.UNREADABLE, FaultKind.TRUNCATED, FaultKind.UNSUPPORTED, FaultKind.TOO_LARGE}
    assert ";" in fault.message


@settings(deadline=None, max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize("name", FORMATS)
def test_corrupt_photos_are_usable_exactly_where_labelling_can_use_them(sound, name, data):
    whole = sound[name]
    start = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 64), label="start")
    noise = data.draw(st.binary(min_size=1, max_size=40), label="noise")
    dropped = data.draw(st.integers(0, 40), label="dropped")
    spoiled = whole[:start] + noise + whole[start + dropped :]
    labelled = PreprocessSpec(size=64, decode="full")
    assert usable(measure_photo, spoiled) is usable(lambda one: preprocess(one, labelled), spoiled)


def usable(read, data):
    try:
        read(data)
    except ImageError:
        return False
    return True


HEIC = b"\0\0\0\x18ftypheic" + bytes(12)
AVIF = b"\0\0\0\x18ftypavif" + bytes(12)


def test_a_file_of_another_kind_is_unsupported_and_a_damaged_or_unknown_one_is_not():
    for data, kind in ((b"%PDF-1.7\n%\xe2\xe3", "PDF"), (b"<!DOCTYPE html>", "web page"), (HEIC, "HEIF")):
        fault = unsupported_fault(data)
        assert (fault.kind, kind in fault.message) == (FaultKind.UNSUPPORTED, True)
    for data in (b"", b"Not Found", bytes(5000), b"\xff\xd8\xff\xe0", AVIF):
        assert unsupported_fault(data) is None


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF"])
def test_a_photo_under_another_kind_of_name(tmp_path, encode, tiles, file_format):
    for stray in ("shoe", "shoe.heic", "shoe.jpg_large"):
        path = tmp_path / stray
        path.write_bytes(encode(tiles(), file_format))
        fault = stray_fault(path)
        assert fault.kind is FaultKind.WRONG_EXTENSION
        assert file_format.lower() in fault.message.lower()
        assert stray in fault.message


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *(("a.heic", HEIC), ("a.svg", b"<?xml version='1.0'?><svg/>"), ("a.PDF", b"%PDF-1.4")),
        *(("a.heic", b"<html>"), ("a.nef", b"\0\1\2\3"), ("a.tga", b"")),
    ],
)
def test_a_file_that_was_meant_for_a_photo_is_unsupported(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert stray_fault(tmp_path / name).kind is FaultKind.UNSUPPORTED


@pytest.mark.parametrize(("name", "data"), [("notes.txt", b"left shoe"), ("Thumbs.db", bytes(9)), ("README", b"%PDF-")])
def test_other_files_are_no_photos(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.heic")
    for path in (tmp_path / name, tmp_path / "pipe.heic", tmp_path / "gone.heic"):
        assert stray_fault(path) is None
