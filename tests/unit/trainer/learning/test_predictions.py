import keras
import numpy as np
import pytest

from trainer.data.photo_cache import SHARD, FeatureStore
from trainer.learning.training import Predictor

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


def test_predictions_equal_keras_in_order_with_few_photos_in_memory(store, names):
    network, pixels = network_of(3), store.take(names)
    store.taken.clear()
    found = Predictor(network, store).predict(names)
    assert [len(some) for some in store.taken] == [128, 2]
    assert found.logits == pytest.approx(said(network, "logits", pixels), abs=1e-4)
    assert found.features == pytest.approx(said(network, "features", pixels), abs=1e-4)
    assert found.logits.dtype == found.features.dtype == np.float32


def test_no_photo_is_shown_to_a_network_twice_and_a_new_head_needs_no_photo(store, names):
    network = network_of(3)
    predictor = Predictor(network, store)
    predictor.features(names[:20])
    predictor.predict(names[10:30] * 2)
    network.get_layer("logits").set_weights([np.ones((80, 3)), np.zeros(3)])
    found = predictor.predict(names[:30])
    assert store.taken == [names[:20], names[20:30]]
    assert found.logits == pytest.approx(np.repeat(found.features.sum(axis=1)[:, None], 3, axis=1), abs=1e-3)


def test_two_classes_have_a_column_each(store, names):
    network = network_of(1)
    found = Predictor(network, store).predict(names).logits
    assert found.shape == (COUNT, 2)
    assert not found[:, 0].any()
    assert found[:, 1:] == pytest.approx(said(network, "logits", store.take(names)), abs=1e-4)


def test_features_on_disk_serve_another_head_and_damaged_files_are_ignored(store, names, tmp_path):
    """Some photos are new each time; only features of the same weights and pixels are taken."""

    def features(asked, body="a" * 64, units=3):
        store.taken.clear()
        return Predictor(network_of(units), store, FeatureStore(tmp_path, store.spec, body)).features(asked)

    first = features(names[:8])
    assert np.array_equal(features(names[:10], units=5)[:8], first)
    assert store.taken == [names[8:10]]
    features(names[:10])
    assert store.taken == []
    features(names[:2], body="b" * 64)
    assert store.taken == [names[:2]]
    for path in tmp_path.glob("features/aaaa*/*.npz"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    assert features(names[:8]) == pytest.approx(first, abs=1e-5)
    assert store.taken == [names[:8]]
    features(names[:8])
    assert store.taken == []


def test_of_many_photos_features_are_kept_while_the_others_are_computed(make_store, tmp_path):
    store, names = make_store(np.zeros((SHARD + 1, 16, 16, 3), np.uint8)), [str(i) for i in range(SHARD + 1)]

    def stop(done, total):
        if done == SHARD:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Predictor(network_of(3), store, FeatureStore(tmp_path, store.spec, "a" * 64)).compute(names, stop)
    store.taken.clear()
    Predictor(network_of(3), store, FeatureStore(tmp_path, store.spec, "a" * 64)).compute(names)
    assert store.taken == [names[SHARD:]]
