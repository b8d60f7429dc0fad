from dataclasses import dataclass

import numpy as np
import pytest

from models.preprocess import PreprocessSpec
from trainer.batches import Batches, one_hot, steps_per_epoch
from trainer.commands import MAX_SEED

PHOTOS = 10


@dataclass(frozen=True)
class MemoryStore:
    """Pixels by name, without a disk."""

    spec: PreprocessSpec
    pixels: dict[str, np.ndarray]

    def take(self, names):
        return np.stack([self.pixels[name] for name in names])


@pytest.fixture
def store():
    """Ten photos, named 0 to 9, of noise."""
    rng = np.random.default_rng(0)
    pixels = {str(i): rng.integers(0, 256, (16, 16, 3), np.uint8) for i in range(PHOTOS)}
    return MemoryStore(PreprocessSpec(size=16), pixels)


@pytest.fixture
def batches(store):
    """Batches whose targets are the numbers of the photos."""
    names = [str(i) for i in range(PHOTOS)]
    numbers = np.arange(PHOTOS, dtype=np.float32)[:, None]

    def make(batch=4, seed=3, first_epoch=0, augment=True):
        return Batches(store, names, numbers, batch=batch, seed=seed, first_epoch=first_epoch, augment=augment)

    return make


def one_pass(dataset):
    """All pixels and all targets of the next epoch."""
    pixels, targets = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), np.concatenate(targets)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_two_classes_have_one_target_and_more_have_one_each():
    assert one_hot(np.array([0, 1, 1]), 2).tolist() == [[0.0], [1.0], [1.0]]
    assert one_hot(np.array([2, 0]), 3).tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert one_hot(np.array([0]), 2).dtype == one_hot(np.array([0]), 3).dtype == np.float32


@pytest.mark.parametrize(("batch", "steps", "shown"), [(4, 2, 8), (5, 2, 10), (10, 1, 10), (64, 1, 10), (1, 10, 10)])
def test_an_epoch_is_whole_batches_and_never_none(batches, batch, steps, shown):
    made = batches(batch)
    dataset = made.dataset()
    assert made.steps == steps_per_epoch(PHOTOS, batch) == steps == int(dataset.cardinality())
    assert [len(targets) for _, targets in dataset.as_numpy_iterator()] == [shown // steps] * steps


def test_pixels_and_targets_have_the_promised_shapes(batches):
    pixels, targets = next(batches().dataset().as_numpy_iterator())
    assert (pixels.shape, pixels.dtype) == ((4, 16, 16, 3), np.float32)
    assert (targets.shape, targets.dtype) == ((4, 1), np.float32)


def test_no_photo_comes_twice_in_an_epoch(batches):
    _, targets = one_pass(batches().dataset())
    assert len(set(targets.ravel())) == 8


def test_the_order_differs_between_epochs(batches):
    dataset = batches(batch=10).dataset()
    orders = {tuple(one_pass(dataset)[1].ravel()) for _ in range(3)}
    assert len(orders) == 3
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(PHOTOS))}


def test_the_order_differs_between_seeds(batches):
    assert not np.array_equal(one_pass(batches(seed=1).dataset())[1], one_pass(batches(seed=2).dataset())[1])


def test_the_same_seed_and_epoch_give_the_same_pixels(batches):
    one, other = batches().dataset(), batches().dataset()
    for _ in range(2):
        assert same(one_pass(one), one_pass(other))


def test_a_later_first_epoch_goes_on_where_an_earlier_training_stopped(batches):
    unbroken = batches().dataset()
    seen = [one_pass(unbroken) for _ in range(4)]
    resumed = batches(first_epoch=2).dataset()
    assert same(one_pass(resumed), seen[2])
    assert same(one_pass(resumed), seen[3])


def test_augmentation_changes_pixels_within_their_range(batches, store):
    pixels, targets = one_pass(batches().dataset())
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    for shown, number in zip(pixels, targets.ravel(), strict=True):
        assert not np.array_equal(shown, store.pixels[str(int(number))])


def test_augmentation_differs_from_photo_to_photo_and_from_epoch_to_epoch(batches, store):
    for name in store.pixels:
        store.pixels[name] = store.pixels["0"]
    dataset = batches(batch=10).dataset()
    shown = np.concatenate([one_pass(dataset)[0] for _ in range(2)])
    assert len({photo.tobytes() for photo in shown}) == 20


def test_augmentation_keeps_what_makes_a_photo(batches, store):
    for i, name in enumerate(store.pixels):
        store.pixels[name] = np.full((16, 16, 3), 20 * i + 30, np.uint8)
    pixels, targets = one_pass(batches().dataset())
    expected = 20 * targets.ravel() + 30
    assert np.all(np.abs(pixels.mean(axis=(1, 2, 3)) / expected - 1) < 0.35)


def test_without_augmentation_pixels_are_untouched(batches, store):
    pixels, targets = one_pass(batches(augment=False).dataset())
    for shown, number in zip(pixels, targets.ravel(), strict=True):
        assert np.array_equal(shown, store.pixels[str(int(number))])


@pytest.mark.parametrize("seed", [0, MAX_SEED])
def test_every_seed_of_the_command_line_lasts_for_99_999_epochs(batches, seed):
    dataset = batches(seed=seed, first_epoch=99_997).dataset()
    assert [len(one_pass(dataset)[1]) for _ in range(2)] == [8, 8]
