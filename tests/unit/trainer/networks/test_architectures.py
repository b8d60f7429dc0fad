import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import applications as published

from trainer.networks.architectures import cnn, simple
from trainer.networks.build import build_network, features_model
from trainer.request import Arch

MADE_BY = {
    Arch.MOBILENET: published.MobileNet,
    Arch.MOBILENET_V2: published.MobileNetV2,
    Arch.MOBILENET_V3_SMALL: published.MobileNetV3Small,
    Arch.MOBILENET_V3_LARGE: published.MobileNetV3Large,
    Arch.EFFICIENTNET_V2_B0: published.EfficientNetV2B0,
    Arch.RESNET50_V2: published.ResNet50V2,
    Arch.VGG16: published.VGG16,
    Arch.CONVNEXT_TINY: published.ConvNeXtTiny,
}
PREPROCESSED_BY = {
    Arch.MOBILENET: published.mobilenet.preprocess_input,
    Arch.MOBILENET_V2: published.mobilenet_v2.preprocess_input,
    Arch.MOBILENET_V3_SMALL: published.mobilenet_v3.preprocess_input,
    Arch.MOBILENET_V3_LARGE: published.mobilenet_v3.preprocess_input,
    Arch.EFFICIENTNET_V2_B0: published.efficientnet_v2.preprocess_input,
    Arch.RESNET50_V2: published.resnet_v2.preprocess_input,
    Arch.VGG16: published.vgg16.preprocess_input,
    Arch.CONVNEXT_TINY: published.convnext.preprocess_input,
}
MODES = {Arch.VGG16: "caffe", Arch.EFFICIENTNET_V2_B0: "torch", Arch.CONVNEXT_TINY: "torch"}
"""Of Keras's ``imagenet_utils.preprocess_input``; the others are ``tf``."""


def scaling(network):
    """Pixels as the layers after the scaling see them."""
    layers = [layer for layer in network.layers if type(layer).__name__ in {"Rescaling", "Normalization"}]
    return keras.Model(network.inputs[0], layers[-1].output)


@pytest.fixture(scope="module")
def given(family, random_network, pixels):
    """What Keras's own body is given for the pixels: as they are where it scales them itself."""
    scales_itself = np.array_equal(PREPROCESSED_BY[family](pixels.copy()), pixels)
    return pixels if scales_itself else np.asarray(scaling(random_network(family))(pixels))


@pytest.fixture(scope="module")
def reference(family, given):
    """Keras's own body with average pooling, and weights with which it tells photos apart."""
    body = MADE_BY[family](include_top=False, weights=None, pooling="avg", input_shape=(32, 32, 3))
    random = np.random.default_rng(1)
    for weight in body.weights:
        if weight.name != "moving_variance":
            weight.assign(weight + random.normal(0, 0.02, weight.shape))
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    body(given, training=True)
    return body


@pytest.fixture(scope="module", params=["body.weights.h5", "body.h5", "model.keras"])
def network(request, family, reference, tmp_path_factory):
    """Ours, from a file that Keras wrote of its own."""
    path = tmp_path_factory.mktemp("weights") / request.param
    (reference.save_weights if ".weights." in path.name else reference.save)(path)
    return build_network(family, 32, 3, weights=path, alpha=None)


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
        assert PREPROCESSED_BY[family](pixels.copy()) == pytest.approx(expected)


def test_convnext_has_no_grouped_convolution():
    """They train ten times slower on a CPU, and cannot be converted."""
    from trainer.networks.architectures import transfer

    layers = transfer(Arch.CONVNEXT_TINY, 32, 3, 1.0).layers
    assert not [layer for layer in layers if getattr(layer, "groups", 1) > 1]
    assert len([layer for layer in layers if isinstance(layer, keras.layers.DepthwiseConv2D)]) == 18


def test_cnn_takes_photos_of_any_size():
    network = cnn(3)
    for size in (16, 40, 96):
        assert network(np.zeros((2, size, size, 3), np.float32)).shape == (2, 3)


def test_a_loaded_network_can_be_asked_for_gradients_of_its_maps(tmp_path):
    simple(32, 3).save(tmp_path / "simple.keras")
    network = keras.saving.load_model(tmp_path / "simple.keras", compile=False)
    maps = [layer.output for layer in network.layers if len(layer.output.shape) == 4][-1]
    probe = keras.Model(network.inputs, [maps, network.get_layer("logits").output])
    with tf.GradientTape() as tape:
        found, logits = probe(tf.constant(np.full((1, 32, 32, 3), 99, np.float32)))
        score = tf.reduce_sum(logits[:, 0])
    assert tape.gradient(score, found).shape == found.shape
