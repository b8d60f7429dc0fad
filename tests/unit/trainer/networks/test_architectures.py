import keras
import numpy as np
import pytest
from keras import applications as published

from trainer.networks.build import build_network, features_model
from trainer.request import Arch

MADE_BY = {
    Arch.MOBILENET: (published.MobileNet, published.mobilenet),
    Arch.MOBILENET_V2: (published.MobileNetV2, published.mobilenet_v2),
    Arch.MOBILENET_V3_SMALL: (published.MobileNetV3Small, published.mobilenet_v3),
    Arch.MOBILENET_V3_LARGE: (published.MobileNetV3Large, published.mobilenet_v3),
    Arch.EFFICIENTNET_V2_B0: (published.EfficientNetV2B0, published.efficientnet_v2),
    Arch.RESNET50_V2: (published.ResNet50V2, published.resnet_v2),
}
"""Keras's body, and the module that preprocesses for it."""
MODES = {Arch.EFFICIENTNET_V2_B0: "torch"}
"""Of Keras's ``imagenet_utils.preprocess_input``; the others are ``tf``."""


def scaling(network):
    """Pixels after the network's scaling layers."""
    layers = [layer for layer in network.layers if type(layer).__name__ in {"Rescaling", "Normalization"}]
    return keras.Model(network.inputs[0], layers[-1].output)


@pytest.fixture(scope="module")
def given(family, random_network, pixels):
    """The input of Keras's own body: raw pixels if the body scales them, else scaled pixels."""
    scales_itself = np.array_equal(MADE_BY[family][1].preprocess_input(pixels.copy()), pixels)
    return pixels if scales_itself else np.asarray(scaling(random_network(family))(pixels))


@pytest.fixture(scope="module")
def reference(family, given):
    """Keras's own body with average pooling, and weights that separate photos."""
    body = MADE_BY[family][0](include_top=False, weights=None, pooling="avg", input_shape=(64, 64, 3))
    random = np.random.default_rng(1)
    for weight in body.weights:
        if weight.name != "moving_variance":
            weight.assign(weight + random.normal(0, 0.02, weight.shape))
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    body(given, training=True)
    return body


@pytest.fixture(
    scope="module",
    params=["body.weights.h5", *(pytest.param(n, marks=pytest.mark.rest) for n in ("body.h5", "model.keras"))],
)
def network(request, family, reference, tmp_path_factory):
    """Our network, from a file that Keras wrote."""
    path = tmp_path_factory.mktemp("weights") / request.param
    (reference.save_weights if ".weights." in path.name else reference.save)(path)
    return build_network(family, 64, 3, weights=path, alpha=None)


def test_features_are_those_of_kerass_own_body(reference, network, given, pixels):
    expected = np.asarray(reference(given))
    got = np.asarray(features_model(network)(pixels))
    largest = np.abs(expected).max()
    assert np.ptp(expected, axis=0).max() > 0.1 * largest, "pixels that make no difference"
    assert np.abs(got - expected).max() <= 1e-5 * largest


def test_pixels_are_scaled_as_the_family_was_trained(family, given, random_network, pixels):
    expected = published.imagenet_utils.preprocess_input(pixels.copy(), mode=MODES.get(family, "tf"))
    assert np.asarray(scaling(random_network(family))(pixels)) == pytest.approx(expected, abs=1e-4)
    if given is not pixels:
        assert MADE_BY[family][1].preprocess_input(pixels.copy()) == pytest.approx(expected)
