import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from models.errors import ImageError, ImageFault
from models.fit import Decode, Fit
from models.preprocess import MAX_BYTES, PreprocessSpec, _draft_size, opened, preprocess
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
