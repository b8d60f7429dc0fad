from functools import partial

import numpy as np
import pytest

from trainer.commands import MAX_SEED
from trainer.learning.balance import sampling_order
from trainer.learning.batches import Batches, one_hot, resized
from trainer.learning.recipe import Augmentation

PHOTOS = 10


@pytest.fixture
def store(make_store):
    """Ten photos, named 0 to 9, of noise."""
    return make_store(np.random.default_rng(0).integers(0, 256, (PHOTOS, 16, 16, 3), np.uint8))


@pytest.fixture
def batches(store):
    """Batches in which each photo is a class of its own."""

    def make(batch=4, seed=3, augmentation=None, order=None):
        names = [str(i) for i in range(PHOTOS)]
        return Batches(
            store,
            names,
            np.arange(PHOTOS),
            classes=PHOTOS,
            batch=batch,
            seed=seed,
            augmentation=augmentation,
            order=order,
        )

    return make


def seen(made, epoch=0, size=16):
    """All pixels of an epoch, and which photos they are of."""
    pixels, targets = zip(*made.epoch(epoch, size).as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), np.concatenate(targets).argmax(axis=1)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_two_classes_have_one_target_and_more_have_one_each():
    assert one_hot(np.array([0, 1, 1]), 2).tolist() == [[0.0], [1.0], [1.0]]
    assert one_hot(np.array([2, 0]), 3).tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert one_hot(np.array([0]), 2).dtype == one_hot(np.array([0]), 3).dtype == np.float32


@pytest.mark.parametrize(("batch", "steps", "shown"), [(4, 2, 8), (5, 2, 10), (10, 1, 10), (64, 1, 10), (1, 10, 10)])
def test_an_epoch_is_whole_batches_and_never_none(batches, batch, steps, shown):
    made = batches(batch)
    assert made.steps == steps
    assert made.batch * steps == shown
    assert [len(targets) for _, targets in made.epoch(0, 16).as_numpy_iterator()] == [shown // steps] * steps


def test_pixels_and_targets_have_the_promised_shapes(batches):
    pixels, targets = next(batches().epoch(0, 16).as_numpy_iterator())
    assert (pixels.shape, pixels.dtype) == ((4, 16, 16, 3), np.float32)
    assert (targets.shape, targets.dtype) == ((4, PHOTOS), np.float32)


def test_two_classes_come_with_one_target(store):
    made = Batches(store, ["0", "1"], np.array([0, 1]), classes=2, batch=2, seed=0, augmentation=None)
    _, targets = next(made.epoch(0, 16).as_numpy_iterator())
    assert sorted(targets.tolist()) == [[0.0], [1.0]]


def test_no_photo_comes_twice_in_an_epoch(batches):
    assert len(set(seen(batches())[1])) == 8


def test_the_order_differs_between_epochs_and_between_seeds(batches):
    orders = [tuple(seen(batches(10, seed), epoch)[1]) for seed in (3, 4) for epoch in (0, 1)]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("augmentation", [None, Augmentation(erase=0.5)])
def test_the_same_seed_gives_the_same_epochs(batches, augmentation):
    one, other = batches(augmentation=augmentation), batches(augmentation=augmentation)
    for epoch in range(2):
        assert same(seen(one, epoch), seen(other, epoch))


def test_an_epoch_does_not_depend_on_those_that_were_seen_before(batches):
    unbroken = batches(augmentation=Augmentation())
    epochs = [seen(unbroken, epoch) for epoch in range(4)]
    assert same(seen(batches(augmentation=Augmentation()), 3), epochs[3])
    assert same(seen(unbroken, 1), epochs[1])


def test_an_epoch_that_was_broken_off_does_not_change_the_next(batches):
    made = batches(batch=2, augmentation=Augmentation())
    next(iter(made.epoch(0, 16)))
    assert same(seen(made, 1), seen(batches(batch=2, augmentation=Augmentation()), 1))


def test_augmentation_changes_every_photo(batches, store):
    pixels, numbers = seen(batches(augmentation=Augmentation()))
    for shown, number in zip(pixels, numbers, strict=True):
        assert not np.array_equal(shown, store.pixels[str(number)])


def test_augmentation_differs_from_step_to_step_and_from_epoch_to_epoch(batches, store):
    for name in store.pixels:
        store.pixels[name] = store.pixels["0"]
    made = batches(batch=5, augmentation=Augmentation())
    shown = np.concatenate([seen(made, epoch)[0] for epoch in range(2)])
    assert len({photo.tobytes() for photo in shown}) == 20


def test_without_augmentation_pixels_are_untouched(batches, store):
    pixels, numbers = seen(batches())
    for shown, number in zip(pixels, numbers, strict=True):
        assert np.array_equal(shown, store.pixels[str(number)])


@pytest.mark.parametrize("augmentation", [None, Augmentation()])
def test_smaller_photos_are_of_the_same_order(batches, augmentation):
    made = batches(augmentation=augmentation)
    assert made.size == 16
    small, numbers = seen(made, 0, 8)
    assert small.shape == (8, 8, 8, 3)
    assert np.array_equal(numbers, seen(made, 0)[1])


def test_smaller_photos_are_photos_made_smaller(batches, store):
    small, numbers = seen(batches(), 0, 8)
    for shown, number in zip(small, numbers, strict=True):
        expected = resized(store.pixels[str(number)][None].astype(np.float32), 8).numpy()[0]
        assert shown == pytest.approx(expected, abs=1e-3)


def test_an_order_of_ones_own_is_kept(batches):
    backwards = np.arange(PHOTOS)[::-1]
    assert seen(batches(order=lambda random: backwards))[1].tolist() == backwards[:8].tolist()


def test_an_order_may_show_rare_photos_oftener_and_differs_by_epoch(batches):
    labels = np.array([0] * 9 + [1])
    made = batches(batch=10, order=partial(sampling_order, labels))
    epochs = [seen(made, epoch)[1].tolist() for epoch in range(2)]
    assert all(9 in epoch and len(epoch) == 10 for epoch in epochs)
    assert epochs[0].count(9) == 2
    assert epochs[0] != epochs[1]
    assert epochs[0] == seen(batches(batch=10, order=partial(sampling_order, labels)), 0)[1].tolist()


@pytest.mark.parametrize("seed", [0, MAX_SEED])
def test_every_seed_of_the_command_line_lasts_for_99_999_epochs(batches, seed):
    made = batches(seed=seed, augmentation=Augmentation())
    assert [len(seen(made, epoch)[1]) for epoch in (99_997, 99_998)] == [8, 8]


def test_tensorflow_tunes_nothing_behind_the_batches(make_store):
    """Its thread keeps an epoch that is over waiting until it wakes."""
    store = make_store(np.zeros((4, 16, 16, 3), np.uint8))
    batches = Batches(
        store, ["0", "1", "2", "3"], np.array([0, 1, 0, 1]), classes=2, batch=2, seed=0, augmentation=None
    )
    assert batches.epoch(0, 16).options().autotune.enabled is False
