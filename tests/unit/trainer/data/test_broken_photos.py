import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import ImageError, ImageFault
from models.preprocess import MAX_BYTES, PreprocessSpec, preprocess
from trainer.data.image_statistics import fault_of, measure_photo
from trainer.data.photo_files import FaultKind

FORMATS = {
    "JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "lossless WEBP": ("WEBP", {"lossless": True}),
    "TIFF by LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF by JPEG": ("TIFF", {"compression": "jpeg"}),
    **{name: (name, {}) for name in ("PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM")},
}
CUT = "The file ends too early; fetch it again."


@pytest.fixture(scope="module")
def sound(encode, tiles):
    """A photo in each format, of some kilobytes."""
    return {name: encode(tiles(), file_format, **options) for name, (file_format, options) in FORMATS.items()}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", FORMATS)
def test_a_photo_cut_short_is_truncated(refused, sound, name, share):
    fault = refused(sound[name][: int(len(sound[name]) * share)])
    assert (fault.kind, fault.message) == (FaultKind.TRUNCATED, CUT)


def test_a_photo_that_is_damaged_inside_says_to_save_it_again(refused, encode, tiles):
    data = bytearray(encode(tiles(size=(600, 400))))
    start = data.index(b"IDAT") + 30
    data[start : start + 400] = bytes(400)
    fault = refused(bytes(data))
    assert fault.kind is FaultKind.UNREADABLE
    assert "save it again" in fault.message


def test_floating_point_samples_are_unreadable_and_told_how_to_be_saved(refused, encode):
    fault = refused(encode(Image.new("F", (20, 20)), "TIFF"))
    assert fault.kind is FaultKind.UNREADABLE
    assert "re-save it with 8" in fault.message


def test_too_many_bytes_are_too_large(refused):
    fault = refused(bytes(MAX_BYTES + 1))
    assert fault.kind is FaultKind.TOO_LARGE
    assert "save a smaller copy" in fault.message


def test_too_many_pixels_are_too_large(refused, encode):
    small = encode(Image.new("RGB", (4, 4)), "BMP")
    fault = refused(small[:18] + struct.pack("<ii", 9_000, 9_000) + small[26:])
    assert fault.kind is FaultKind.TOO_LARGE
    assert "9000×9000" in fault.message


@pytest.mark.parametrize("fault", [fault for fault in ImageFault if fault not in {"download", "unreadable"}])
def test_what_keeps_a_file_from_being_read_keeps_its_name(fault):
    assert fault_of(b"", ImageError("why", fault)).kind.value == fault.value


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
    assert usable(measure_photo, spoiled) is usable(
        lambda one: preprocess(one, PreprocessSpec(size=64, decode="full")), spoiled
    )


def usable(read, data):
    try:
        read(data)
    except ImageError:
        return False
    return True
