from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.learning.batches import Batches, augmented
from trainer.learning.recipe import Augmentation

PHOTOS = 10


@pytest.fixture
def store(make_store):
    """Ten photos, named 0 to 9, of noise."""
    return make_store(np.random.default_rng(0).integers(0, 256, (PHOTOS, 16, 16, 3), np.uint8))


@pytest.fixture
def batches(store):
    """Batches in which each photo is a class of its own."""

    def make(batch=4, seed=3, augmentation=None):
        options = {"batch": batch, "seed": seed, "augmentation": augmentation}
        return Batches(store, [str(i) for i in range(PHOTOS)], np.arange(PHOTOS), classes=PHOTOS, **options)

    return make


def seen(made, epoch=0, size=16):
    """All pixels of an epoch, and their photos' numbers."""
    pixels, targets = zip(*made.epoch(epoch, size).as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), np.concatenate(targets).argmax(axis=1)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("batch", "steps", "shown"), [(4, 2, 8), (5, 2, 10), (10, 1, 10), (64, 1, 10), (1, 10, 10)])
def test_an_epoch_is_whole_batches_and_never_none(batches, batch, steps, shown):
    made = batches(batch)
    assert made.steps == steps
    assert made.batch * steps == shown
    assert [len(targets) for _, targets in made.epoch(0, 16).as_numpy_iterator()] == [shown // steps] * steps


def test_an_epoch_has_each_photo_once_in_an_order_of_its_own(batches):
    assert len(set(seen(batches())[1])) == 8
    orders = [tuple(seen(batches(10, seed), epoch)[1]) for seed in (3, 4) for epoch in (0, 1)]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("augmentation", [None, Augmentation(erase=0.5)])
def test_an_epoch_depends_only_on_its_seed(batches, augmentation):
    unbroken = batches(augmentation=augmentation)
    epochs = [seen(unbroken, epoch) for epoch in range(3)]
    assert same(seen(batches(augmentation=augmentation), 2), epochs[2])
    assert same(seen(unbroken, 1), epochs[1])


def test_tensorflow_tunes_nothing_behind_the_batches(batches):
    """TensorFlow's tuning thread delays the end of an epoch until it wakes."""
    assert batches().epoch(0, 16).options().autotune.enabled is False


COUNT, SIZE = 32, 16
NOTHING = Augmentation(flip=False, shift=0, zoom=(1, 1), stretch=0, rotation_rad=0, colour=0, erase=0)

wishes = st.builds(
    Augmentation,
    flip=st.booleans(),
    shift=st.floats(0, 0.3),
    zoom=st.tuples(st.floats(0.5, 1), st.floats(1, 1.5)),
    stretch=st.floats(0, 0.3),
    rotation_rad=st.floats(0, 0.5),
    colour=st.floats(0, 0.5),
    erase=st.floats(0, 1),
)


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3)).astype(np.float32)


def change(photos, how, *, seed=0, size=None):
    size = size or photos.shape[1]
    return augmented(tf.constant(photos), tf.constant([seed, 0], tf.int64), size, how).numpy()


@settings(deadline=None, max_examples=15)
@given(wishes, st.sampled_from([16, 24, 32]), st.integers(0, 2**40))
def test_pixels_stay_pixels(photos, wish, size, seed):
    pixels = change(photos[:5], wish, seed=seed, size=size)
    assert (pixels.shape, pixels.dtype) == ((5, size, size, 3), np.float32)
    assert 0 <= pixels.min() <= pixels.max() <= 255


def test_a_flip_mirrors_about_half_of_the_photos_to_the_pixel(photos):
    shown = change(photos, replace(NOTHING, flip=True))
    mirrored, same = (np.isclose(shown, one, atol=1e-3).all(axis=(1, 2, 3)) for one in (photos[:, :, ::-1], photos))
    assert (mirrored ^ same).all()
    assert COUNT / 4 < mirrored.sum() < COUNT * 3 / 4


def holes(photos, shown):
    """Height and width of each photo's changed area, in pixels; 0 without a change."""
    changed = (np.abs(shown - photos) > 1e-3).any(axis=3)
    return np.stack([changed.any(axis=2).sum(axis=1), changed.any(axis=1).sum(axis=1)], axis=1)


def test_an_erased_rectangle_is_grey_and_the_rest_is_untouched():
    white = np.full((COUNT, 40, 40, 3), 255, np.float32)
    shown = change(white, replace(NOTHING, erase=1.0))
    assert sorted(np.unique(shown.round(2)).tolist()) == [127.5, 255.0]
    sides = holes(white, shown)
    assert sides.max() <= 0.5 * 40 + 1
    assert np.median(sides) >= 0.15 * 40 / 2
    for photo, (height, width) in zip(shown, sides, strict=True):
        assert (photo[..., 0] < 200).sum() == height * width


def test_photos_much_too_large_lose_no_pixel_on_their_way_to_a_smaller_size():
    """Every fourth column is white: skipping columns would show only white, or no white at all."""
    striped = np.zeros((1, 64, 64, 3), np.float32)
    striped[:, :, ::4] = 255
    shown = change(striped, NOTHING, size=16)
    assert shown[0, 2:-2, 2:-2] == pytest.approx(255 / 4, abs=8)
