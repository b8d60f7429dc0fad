import numpy as np
import pytest


@pytest.fixture
def keras(make_network):  # loads TensorFlow
    import keras

    return keras


def network(keras, *after_pooling, units=3):
    image = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Conv2D(4, 3)(image))
    for layer in after_pooling:
        x = layer(x)
    logits = keras.layers.Dense(units, name="logits")(x)
    return keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(logits))


def test_features_are_the_layer_of_that_name(keras):
    from exporter.graph import network_ends

    layers = keras.layers
    built = network(keras, layers.Dense(7, name="features"), layers.Dropout(0.5))
    pixels = np.random.default_rng(1).random((2, 16, 16, 3))
    features, logits = network_ends(built)(pixels, training=False)
    weights, biases = built.get_layer("logits").get_weights()
    assert features.shape == (2, 7)
    assert np.asarray(features) @ weights + biases == pytest.approx(np.asarray(logits), abs=1e-5)


@pytest.mark.parametrize("dropout", [False, True])
def test_without_that_name_they_are_what_the_logits_are_made_of(keras, dropout):
    from exporter.graph import network_ends

    built = network(keras, *([keras.layers.Dropout(0.5)] if dropout else []))
    pixels = np.random.default_rng(1).random((2, 16, 16, 3))
    features, _ = network_ends(built)(pixels, training=False)
    pooled = keras.Model(built.inputs[0], built.get_layer("pool").output)(pixels)
    assert np.array_equal(features, pooled)


@pytest.mark.parametrize("arch", ["simple", "cnn"])
def test_networks_of_ours_have_ends(make_network, arch):
    from exporter.graph import network_ends

    features, logits = network_ends(make_network(arch, 2)).output_shape
    assert len(features) == len(logits) == 2
    assert logits[1] == 1
