from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporter.edge.build import fit_graph
from models.fit import Decode, Fit
from models.preprocess import PreprocessSpec, preprocess_image
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
def test_only_plain_operations_are_used(fit):
    model = fit_graph(PreprocessSpec(size=48, fit=fit))
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18}
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
