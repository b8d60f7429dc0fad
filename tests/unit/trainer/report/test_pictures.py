import keras
import numpy as np
import pytest
from keras import layers

from trainer.report.page import first_photos, heat_maps, last_spatial_layer


def test_the_first_photos_are_shown_as_they_are_augmented_with_their_classes(make_training):
    training = make_training(batch=4)
    pixels, targets = next(training.batches().epoch(0, 16).as_numpy_iterator())
    photos = first_photos(training)
    assert [label for _, label in photos] == [training.args.classes[place] for place in targets.argmax(axis=1)]
    assert all(np.abs(shown - photo).max() <= 0.5 for (shown, _), photo in zip(photos, pixels, strict=True))


SIDE, CORNER = 32, 12


def corner_network(classes: int, weight: float = 1.0) -> keras.Model:
    """A network that sees only the upper left corner; brightness there favours all classes but the first."""
    image = keras.Input((SIDE, SIDE, 3))
    rest = SIDE - CORNER
    x = layers.Cropping2D(((0, rest), (0, rest)))(image)
    x = layers.ZeroPadding2D(((0, rest), (0, rest)))(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    units = 1 if classes == 2 else classes
    logits = layers.Dense(units, name="logits", kernel_initializer=keras.initializers.Constant(weight))(x)
    return keras.Model(image, layers.Activation("softmax" if units > 1 else "sigmoid", name="probabilities")(logits))


def noise(count: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(5).integers(1, 256, (count, side, side, 3), np.uint8)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_heat_lies_where_the_logit_comes_from(classes) -> None:
    heat = heat_maps(corner_network(classes), noise(3), [1, 1, 1])
    assert heat.dtype == np.float32
    assert heat.shape == (3, SIDE, SIDE)
    assert np.all(heat[:, :CORNER, :CORNER] > 0)
    assert heat[:, CORNER:].max() == 0
    assert heat[:, :, CORNER:].max() == 0
    np.testing.assert_allclose(heat.max(axis=(1, 2)), 1.0)


def test_each_photo_is_asked_about_its_own_class() -> None:
    network = corner_network(3)
    kernel = np.zeros((3, 3), np.float32)
    kernel[0, 0], kernel[1, 1] = 1.0, 1.0  # red favours the first class, green the second
    network.get_layer("logits").set_weights([kernel, np.zeros(3, np.float32)])
    pixels = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    pixels[:, :4, :4, 0], pixels[:, 8:12, 8:12, 1] = 200, 200
    red, green = heat_maps(network, pixels, [0, 1])
    assert red[:4, :4].min() == 1
    assert red[8:12, 8:12].max() == 0
    assert green[:4, :4].max() == 0
    assert green[8:12, 8:12].min() == 1


def test_no_photos_give_no_heat_maps_and_a_network_without_places_is_refused() -> None:
    assert heat_maps(corner_network(3), noise(0), []).shape == (0, SIDE, SIDE)
    flat = keras.Sequential([keras.Input((4,)), layers.Dense(1, name="logits")])
    with pytest.raises(ValueError, match="4-D output"):
        last_spatial_layer(flat)
