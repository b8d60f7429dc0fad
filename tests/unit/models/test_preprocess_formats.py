import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydantic import ValidationError

from models.errors import ImageError, ImageFault
from models.fit import Decode, Fit
from models.preprocess import (
    MAX_BYTES,
    PreprocessSpec,
    _draft_size,
    opened,
    preprocess,
    small_rgb,
    whole_pixels,
)
from tests.unit.models.pictures import PAD, SIZE, distance, encoded


def decoded_size(data, spec):
    with opened(data) as image:
        if spec.decode is Decode.DCT:
            image.draft(image.mode, _draft_size(image.size, spec))
        image.load()
        return image.size


@pytest.mark.parametrize(
    ("decode", "floor", "side"), [(Decode.DCT, 1, 200), (Decode.DCT, 2, 400), (Decode.FULL, 1, 1600)]
)
def test_a_large_jpeg_is_decoded_no_larger_than_it_must_be(decode, floor, side):
    spec = PreprocessSpec(size=160, decode=decode, dct_floor=floor)
    assert decoded_size(encoded(Image.new("RGB", (1600, 1600)), "JPEG"), spec) == (side, side)


@settings(deadline=None)
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    size=st.integers(16, 128),
    fit=st.sampled_from(Fit),
    floor=st.integers(1, 2),
)
def test_a_jpeg_is_never_decoded_below_its_floor(width, height, size, fit, floor):
    spec = PreprocessSpec(size=size, fit=fit, dct_floor=floor)
    decoded = decoded_size(encoded(Image.new("L", (width, height)), "JPEG"), spec)
    side = max if fit is Fit.PAD else min
    assert side(decoded) >= size * floor or decoded == (width, height)


@pytest.mark.parametrize("floor", [1, 2])
@pytest.mark.parametrize("fit", Fit)
def test_a_jpeg_decoded_small_looks_like_one_decoded_in_full(fit, floor):
    photo = encoded(Image.merge("RGB", [Image.radial_gradient("L").resize((640, 400))] * 3), "JPEG")
    small = preprocess(photo, PreprocessSpec(size=64, fit=fit, dct_floor=floor))
    assert distance(small, preprocess(photo, PreprocessSpec(size=64, fit=fit, decode=Decode.FULL))) < 2


FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
PHOTO = Image.radial_gradient("L").resize((120, 90)).convert("RGB")
SOUND = {**{name: encoded(PHOTO, name) for name in FORMATS}, "progressive": encoded(PHOTO, "JPEG", progressive=True)}


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.0, 0.95))
@pytest.mark.parametrize("kind", SOUND)
def test_a_photo_cut_short_is_unreadable(kind, share):
    with pytest.raises(ImageError) as caught:
        preprocess(SOUND[kind][: int(len(SOUND[kind]) * share)], PAD)
    assert caught.value.fault is ImageFault.UNREADABLE


@given(data=st.data())
@pytest.mark.parametrize("kind", SOUND)
def test_corrupt_bytes_raise_nothing_but_image_errors(kind, data):
    sound = SOUND[kind]
    start = data.draw(st.integers(0, len(sound) - 1) | st.integers(0, 64), label="start")
    noise = data.draw(st.binary(min_size=1, max_size=40), label="noise")
    dropped = data.draw(st.integers(0, 40), label="dropped")
    try:
        pixels = preprocess(sound[:start] + noise + sound[start + dropped :], PAD)
    except ImageError:
        return
    assert pixels.shape == (SIZE, SIZE, 3)


def test_more_than_the_most_bytes_are_too_large():
    with pytest.raises(ImageError, match="67,108,864 bytes, got 67,108,865") as caught:
        preprocess(bytes(MAX_BYTES + 1), PAD)
    assert caught.value.fault is ImageFault.TOO_LARGE


@pytest.mark.parametrize("wrong", [{"size": 15}, {"size": 1025}, {"dct_floor": 3}, {"fit": "squeeze"}, {"mean": 0.5}])
def test_a_spec_out_of_bounds_is_refused(wrong):
    with pytest.raises(ValidationError):
        PreprocessSpec.model_validate({"size": 32, **wrong})


NOISE = Image.effect_noise((40, 30), 90).resize((301, 203)).convert("RGB")
JPEGS = {
    "baseline": {},
    "4:2:0": {"subsampling": 2},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
}
TRAILER = b"SEFH\0\1\2 of a phone \xff\xe1\0\4ab \xff\xd8\xff\xda SEFT"


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_nothing_but_its_end_has_all_its_pixels(kind):
    sound = encoded(NOISE, "JPEG", **JPEGS[kind])
    for ended in (sound[:-2], sound[:-1], sound[:-2] + TRAILER, sound + TRAILER):
        assert np.array_equal(whole_pixels(ended), whole_pixels(sound))
        assert np.array_equal(preprocess(ended, PAD), preprocess(sound, PAD))


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_pixels_is_unreadable_however_few(kind):
    sound = encoded(NOISE, "JPEG", **JPEGS[kind])
    markers = [place for place in range(len(sound) // 2, len(sound) - 2) if sound[place] == 0xFF]
    for end in {len(sound) - 20, len(sound) - 300, *markers[::9]}:
        with pytest.raises(ImageError):
            preprocess(sound[:end], PAD)


@pytest.mark.parametrize(("width", "height"), [(65_000, 800), (65_500, 764)])
@pytest.mark.parametrize("fit", Fit)
def test_a_long_jpeg_of_more_than_fifty_megapixels_is_read_for_any_network(width, height, fit):
    photo = encoded(Image.new("L", (width, height)), "JPEG")
    for decode in Decode:
        spec = PreprocessSpec(size=1024, fit=fit, dct_floor=2, decode=decode)
        assert preprocess(photo, spec).shape == (1024, 1024, 3)
    with opened(photo) as image:
        assert small_rgb(image, 1000, Image.Resampling.BOX).width == 1000


def of_size(side, height=None, **options):
    """A JPEG with these sides in its header."""
    data = encoded(Image.new("RGB", (64, 64)), "JPEG", **options)
    frame = data.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0") + 5
    return data[:frame] + struct.pack(">HH", height or side, side) + data[frame + 4 :]


def in_scans_of_a_colour(data):
    """The JPEG with a first scan of one colour: a decoder must keep all coefficients until the other scans."""
    start = data.index(b"\xff\xda")
    return data[:start] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + data[start:]


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        (of_size(14_100), True),
        (of_size(14_200), False),
        (of_size(8_100, progressive=True), True),
        (of_size(8_200, progressive=True), False),
        (of_size(11_500, progressive=True, subsampling=2), True),
        (in_scans_of_a_colour(of_size(8_100)), True),
        (in_scans_of_a_colour(of_size(8_200)), False),
    ],
)
def test_a_jpeg_may_be_as_large_as_its_decoding_is_cheap(data, fits):
    if fits:
        with opened(data) as image:
            assert image.width == image.height > 8000
        return
    with pytest.raises(ImageError) as caught:
        preprocess(data, PAD)
    assert caught.value.fault is ImageFault.TOO_LARGE


def chunk(kind, contents, *, is_sound=True):
    checksum = zlib.crc32(kind + contents) if is_sound else 0
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", checksum)


PNG, LARGE = SOUND["PNG"], b"a" * 3_000_000
SPARED = {
    "text": chunk(b"tEXt", b"k\0" + LARGE),
    "compressed text": chunk(b"zTXt", b"k\0\0" + zlib.compress(LARGE)),
    "much compressed text": 80 * chunk(b"zTXt", b"k\0\0" + zlib.compress(LARGE[:1_000_000])),
    "international text": chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(LARGE)),
    "a colour profile that inflates for ever": chunk(b"iCCP", b"p\0\0" + zlib.compress(LARGE * 2)),
    "a short chunk": chunk(b"gAMA", b"\0"),
    **{
        f"checksum of {kind}": chunk(kind, b"contents", is_sound=False) for kind in (b"tEXt", b"iCCP", b"eXIf", b"abCd")
    },
}


@pytest.mark.parametrize("place", [33, len(PNG) - 12], ids=["before the pixels", "after them"])
@pytest.mark.parametrize("spared", SPARED)
def test_a_png_is_read_despite_faults_in_chunks_that_its_picture_does_not_need(spared, place):
    odd = PNG[:place] + SPARED[spared] + PNG[place:]
    assert np.array_equal(whole_pixels(odd), whole_pixels(PNG))
    with pytest.raises(ImageError):
        preprocess(PNG[:33] + SPARED[spared] + PNG[33:-80], PAD)


def test_a_large_colour_profile_of_a_png_is_applied():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"----").replace(b"bXYZ", b"rXYZ").replace(b"----", b"bXYZ")
    red = encoded(Image.new("RGB", (8, 8), "red"))
    for padded in (swapped, swapped + bytes(2_000_000)):
        photo = red[:33] + chunk(b"iCCP", b"p\0\0" + zlib.compress(padded)) + red[33:]
        assert whole_pixels(photo)[0, 0].tolist() == [0, 0, 255]


def test_a_faulty_chunk_does_not_hide_that_a_png_is_too_large():
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    faulty = SPARED["checksum of b'tEXt'"]
    with pytest.raises(ImageError) as caught:
        preprocess(PNG[:8] + chunk(b"IHDR", header) + faulty + PNG[33:], PAD)
    assert caught.value.fault is ImageFault.TOO_LARGE
