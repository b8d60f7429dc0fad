import keras
import numpy as np
import tensorflow as tf

from trainer.networks.architectures import simple


def test_simple_is_the_classic_recipe():
    network = simple(64, 3)
    assert [type(layer).__name__ for layer in network.layers] == [
        "InputLayer",
        "Rescaling",
        *["Conv2D", "MaxPooling2D"] * 3,
        "Flatten",
        "Dense",
        "Dense",
        "Activation",
    ]
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [(layer.filters, layer.kernel_size) for layer in convolutions] == [(32, (3, 3)), (64, (3, 3)), (128, (3, 3))]
    assert {layer.activation for layer in convolutions} == {keras.activations.relu}
    assert {layer.pool_size for layer in network.layers if isinstance(layer, keras.layers.MaxPooling2D)} == {(2, 2)}
    assert network.layers[-1].activation is keras.activations.softmax


def test_the_features_are_those_of_the_dense_layer():
    assert simple(32, 3).get_layer("features").output.shape == (None, 128)


def test_a_loaded_network_can_be_asked_for_gradients_of_its_maps(tmp_path):
    simple(32, 3).save(tmp_path / "simple.keras")
    network = keras.saving.load_model(tmp_path / "simple.keras", compile=False)
    maps = [layer.output for layer in network.layers if len(layer.output.shape) == 4][-1]
    probe = keras.Model(network.inputs, [maps, network.get_layer("logits").output])
    with tf.GradientTape() as tape:
        found, logits = probe(tf.constant(np.full((1, 32, 32, 3), 99, np.float32)))
        score = tf.reduce_sum(logits[:, 0])
    assert tape.gradient(score, found).shape == found.shape
