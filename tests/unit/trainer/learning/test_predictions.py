import keras
import numpy as np
import pytest

from trainer.learning.training import features_of, predict

COUNT = 130


@pytest.fixture
def store(make_store):
    return make_store(np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16, 3), np.uint8))


@pytest.fixture
def names(store):
    """In another order than that of the store; more than are shown at a time."""
    return [str(i) for i in np.random.default_rng(1).permutation(COUNT)]


def network_of(units):
    keras.utils.set_random_seed(2)
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(5, 3, strides=4)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Flatten(name="features")(x)
    x = keras.layers.Dense(units, name="logits")(keras.layers.Dropout(0.5)(x))
    return keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(x))


def said(network, layer, pixels):
    return keras.Model(network.inputs, network.get_layer(layer).output).predict(pixels, verbose=0)


def test_every_photo_is_answered_in_the_order_asked_and_only_a_few_are_in_memory_at_a_time(store, names):
    network, pixels = network_of(3), store.take(names)
    store.taken.clear()
    found = predict(network, names, store)
    assert [len(some) for some in store.taken] == [128, 2]
    assert found.logits == pytest.approx(said(network, "logits", pixels), abs=1e-4)
    assert found.features == pytest.approx(said(network, "features", pixels), abs=1e-4)
    assert found.logits.dtype == found.features.dtype == np.float32


def test_two_classes_have_a_column_each(store, names):
    network = network_of(1)
    found = predict(network, names, store).logits
    assert found.shape == (COUNT, 2)
    assert not found[:, 0].any()
    assert found[:, 1:] == pytest.approx(said(network, "logits", store.take(names)), abs=1e-4)


def test_no_photos_are_no_answers(store):
    found = predict(network_of(1), [], store)
    assert (found.logits.shape, found.features.shape) == ((0, 2), (0, 80))


def test_features_are_those_of_the_photos_or_of_their_mirror_images(store, names):
    network, pixels = network_of(3), store.take(names)
    assert features_of(network, names, store) == pytest.approx(said(network, "features", pixels), abs=1e-4)
    mirrored = features_of(network, names, store, mirrored=True)
    assert mirrored == pytest.approx(said(network, "features", pixels[:, :, ::-1]), abs=1e-4)
    assert not np.allclose(mirrored, features_of(network, names, store))
