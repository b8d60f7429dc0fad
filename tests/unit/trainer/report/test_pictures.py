import io

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from trainer.networks.build import build_network
from trainer.networks.choice import NamedWeights
from trainer.report.pictures import (
    first_batch,
    heat_maps,
    last_spatial_layer,
    plot_confusion,
    plot_history,
    train_batch_jpeg,
)
from trainer.request import Arch
from trainer.run import EpochFigures


def drawn(path):
    """Whether a picture is there and more than one colour is in it."""
    with Image.open(path) as image:
        return image.format == "PNG" and np.ptp(np.asarray(image.convert("L"))) > 0


def shade(path):
    """Share of dark blue, the colour of a full cell."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), int)
    return ((pixels[..., 2] > 90) & (pixels[..., 0] < 40)).mean()


@pytest.mark.parametrize("epochs", [1, 5])
def test_a_history_of_any_length_is_drawn(tmp_path, epochs):
    rows = [EpochFigures(i, 2 / i, 0.5, 2.1 / i, 0.4, 1e-3) for i in range(1, epochs + 1)]
    plot_history(rows, rows[-1], tmp_path / "results.png")
    assert drawn(tmp_path / "results.png")


@pytest.mark.parametrize(
    "names", [["$10_to_$20", "50% off", "a_b^c", r"c:\hats", "béret", "帽子"], [str(i) for i in range(25)]]
)
def test_a_confusion_matrix_of_any_size_and_names_is_drawn(tmp_path, names):
    plot_confusion(np.eye(len(names), dtype=np.int64), names, f"{names[0]}: test", tmp_path / "matrix.png")
    assert drawn(tmp_path / "matrix.png")


def test_full_cells_are_darker_than_spread_ones(tmp_path):
    names = [str(i) for i in range(6)]
    plot_confusion(np.eye(6, dtype=np.int64), names, "", tmp_path / "right.png")
    plot_confusion(np.ones((6, 6), np.int64), names, "", tmp_path / "guessing.png")
    assert shade(tmp_path / "right.png") > 2 * shade(tmp_path / "guessing.png")


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image.convert("RGB")


def coloured(count: int) -> np.ndarray:
    return np.stack([np.full((32, 32, 3), (200, 30 * n, 0), np.float32) for n in range(count)])


def test_each_photo_is_in_the_picture_within_the_range_of_colours() -> None:
    pixels = coloured(8)
    pixels[7] = (300.0, -40.0, 0.0)
    image = opened(train_batch_jpeg(pixels, ["hat"] * 8))
    for place in range(8):
        row, column = divmod(place, 6)
        seen = image.getpixel((8 + column * 168 + 80, 8 + row * 206 + 80))
        np.testing.assert_allclose(seen, (200, 30 * place, 0) if place < 7 else (255, 0, 0), atol=6)


@pytest.mark.parametrize("caption", ["帽子", "x" * 500, "", "two\nlines\nthree"])
def test_a_caption_stays_under_its_photo(caption) -> None:
    plain = np.asarray(opened(train_batch_jpeg(coloured(2), ["", ""])), int)
    drawn = np.asarray(opened(train_batch_jpeg(coloured(2), [caption, ""])), int)
    changed = np.argwhere(np.abs(drawn - plain).max(axis=2) > 40)
    assert bool(len(changed)) == bool(caption)
    if len(changed):
        assert changed[:, 0].min() >= 8 + 158
        assert changed[:, 0].max() < 8 + 160 + 22
        assert changed[:, 1].max() < 8 + 160 + 2


def test_the_first_batch_is_shown_as_it_is_augmented_for_the_seed(make_training):
    training = make_training(batch=4)
    shown = np.asarray(opened(first_batch(training)), int)
    pixels, _ = next(training.batches().epoch(0, 16).as_numpy_iterator())
    assert shown.shape[1] > 4 * 160
    for photo in pixels:
        assert (np.abs(shown - photo.mean(axis=(0, 1))).max(axis=2) < 40).mean() > 0.05
    changed = [first_batch(make_training(batch=4, arch=Arch.CNN)) for _ in range(2)]
    assert changed[0] == changed[1] != first_batch(training)


SIDE, CORNER = 32, 12


def corner_network(classes: int, weight: float = 1.0) -> keras.Model:
    """Sees only the upper left corner; the second class and those after it thrive on what is bright there."""
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


def test_of_two_classes_what_speaks_for_one_does_not_speak_for_the_other() -> None:
    network = corner_network(2)
    assert heat_maps(network, noise(1), [1]).max() == 1
    assert heat_maps(network, noise(1), [0]).max() == 0
    assert heat_maps(corner_network(2, weight=-1.0), noise(1), [0]).max() == 1


def test_each_photo_is_asked_about_its_own_class() -> None:
    network = corner_network(3)
    kernel = np.zeros((3, 3), np.float32)
    kernel[0, 0], kernel[1, 1] = 1.0, 1.0  # the first class thrives on red, the second on green
    network.get_layer("logits").set_weights([kernel, np.zeros(3, np.float32)])
    pixels = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    pixels[:, :4, :4, 0], pixels[:, 8:12, 8:12, 1] = 200, 200
    red, green = heat_maps(network, pixels, [0, 1])
    assert red[:4, :4].min() == 1
    assert red[8:12, 8:12].max() == 0
    assert green[:4, :4].max() == 0
    assert green[8:12, 8:12].min() == 1


@pytest.mark.parametrize(("arch", "classes"), [(Arch.CNN, 2), (Arch.SIMPLE, 3)])
def test_a_batch_changes_nothing(arch, classes) -> None:
    keras.utils.set_random_seed(1)
    network, pixels = build_network(arch, SIDE, classes, weights=NamedWeights.NONE, alpha=None), noise(18)
    asked = [place % classes for place in range(18)]
    together = heat_maps(network, pixels, asked)
    for place in (0, 17):
        np.testing.assert_allclose(
            heat_maps(network, pixels[place : place + 1], [asked[place]])[0], together[place], atol=1e-4
        )
    assert together.min() >= 0
    assert together.max() == 1


def test_an_inlined_and_frozen_application_is_followed() -> None:
    keras.utils.set_random_seed(1)
    network = build_network(Arch.MOBILENET, 64, 4, weights=NamedWeights.NONE, alpha=0.25)
    network.trainable = False
    assert last_spatial_layer(network) == "conv_pw_13_relu"
    heat = heat_maps(network, noise(2, 64), [0, 3])
    assert heat.shape == (2, 64, 64)
    assert heat.max() == 1


def test_no_photos_give_no_heat_maps_and_a_network_without_places_is_refused() -> None:
    assert heat_maps(corner_network(3), noise(0), []).shape == (0, SIDE, SIDE)
    flat = keras.Sequential([keras.Input((4,)), layers.Dense(1, name="logits")])
    with pytest.raises(ValueError, match="Expected a layer with a 4-D output"):
        last_spatial_layer(flat)
