import io
from functools import cache

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporter.edge.build import fit_graph
from models.fit import Decode, Fit
from models.preprocess import PreprocessSpec, preprocess, preprocess_image, whole_pixels
from models.session import open_session


@cache
def session(fit, size):
    graph = fit_graph(PreprocessSpec(size=size, fit=fit, decode=Decode.FULL))
    return open_session(graph.SerializeToString(), "fit", 1)


def fitted(photo, fit, size):
    return session(fit, size).run(None, {"image": photo})[0]


def by_pillow(photo, fit, size):
    return preprocess_image(Image.fromarray(photo), PreprocessSpec(size=size, fit=fit))[np.newaxis]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(deadline=None)
@given(
    st.integers(1, 200), st.integers(1, 200), st.sampled_from(Fit), st.sampled_from([16, 33, 64]), st.integers(0, 99)
)
def test_a_photo_of_any_size_is_fitted_to_the_pixel_as_pillow_does_it(height, width, fit, size, seed):
    photo = noise(height, width, seed)
    assert np.array_equal(fitted(photo, fit, size), by_pillow(photo, fit, size))


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (2, 3), (3000, 7), (7, 3000), (1, 5000), (5000, 1), (32, 32), (33, 31), (64, 64), (600, 799)],
)
def test_tiny_and_very_long_photos_too(fit, height, width):
    photo = noise(height, width)
    assert np.array_equal(fitted(photo, fit, 32), by_pillow(photo, fit, 32))


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_one_colour_stays_that_colour(fit, value):
    photo = np.full((97, 61, 3), value, np.uint8)
    assert np.array_equal(fitted(photo, fit, 64), by_pillow(photo, fit, 64))


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 60), st.integers(2, 60), st.sampled_from(Fit))
def test_halves_are_rounded_as_pillow_rounds_them(height, width, fit):
    board = (np.indices((height, width)).sum(axis=0) % 2 * 255).astype(np.uint8)
    photo = np.repeat(board[..., np.newaxis], 3, axis=2)
    assert np.array_equal(fitted(photo, fit, 32), by_pillow(photo, fit, 32))


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(64, 5, 32, 2), (5, 64, 2, 32), (64, 7, 32, 4)])
def test_half_a_pixel_goes_to_the_even_number(height, width, rows, columns):
    """2.5 becomes 2 and 3.5 becomes 4, as in Python."""
    dark = (fitted(np.zeros((height, width, 3), np.uint8), Fit.PAD, 32)[0, ..., 0] == 0).nonzero()
    assert (len(set(dark[0])), len(set(dark[1]))) == (rows, columns)


def test_padding_is_white_and_what_is_odd_goes_right():
    square = fitted(np.zeros((32, 29, 3), np.uint8), Fit.PAD, 32)[0]
    assert (square[:, 1:30] == 0).all()
    assert (square[:, :1] == 255).all()
    assert (square[:, 30:] == 255).all()


def test_a_file_that_is_turned_and_grey_gives_the_pixels_of_a_full_decoding():
    exif = Image.Exif()
    exif[0x0112] = 6
    kept = io.BytesIO()
    Image.fromarray(noise(150, 90)[..., 0]).save(kept, "JPEG", exif=exif)
    whole = whole_pixels(kept.getvalue())
    expected = preprocess(kept.getvalue(), PreprocessSpec(size=64, decode=Decode.FULL))
    assert whole.shape == (90, 150, 3)
    assert np.array_equal(fitted(whole, Fit.PAD, 64)[0], expected)


def test_input_and_output_are_named_and_sized_as_promised():
    graph = fit_graph(PreprocessSpec(size=48)).graph
    (image,), (pixels,) = graph.input, graph.output
    assert (image.name, pixels.name) == ("image", "pixels")
    assert [size.dim_param or size.dim_value for size in image.type.tensor_type.shape.dim] == ["height", "width", 3]
    assert [size.dim_value for size in pixels.type.tensor_type.shape.dim] == [1, 48, 48, 3]
    assert {value.type.tensor_type.elem_type for value in (image, pixels)} == {onnx.TensorProto.UINT8}


@pytest.mark.parametrize("fit", Fit)
def test_only_plain_operations_are_used(fit):
    model = fit_graph(PreprocessSpec(size=48, fit=fit))
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18}
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
