"""Batches for training: pixels from the store, shuffled, augmented, prefetched."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.pixel_store import PixelStore

__all__ = ["Batches", "one_hot", "steps_per_epoch"]

_SHIFT: Final = 0.1
_ZOOM: Final = (0.8, 1.12)
_STRETCH: Final = 0.1
_COLOUR: Final = 0.2


def one_hot(labels: npt.NDArray[np.intp], classes: int) -> npt.NDArray[np.float32]:
    """Targets: ``float32 (n, 1)`` for two classes, else ``(n, classes)``."""
    if classes == 2:  # noqa: PLR2004 - binary
        return labels[:, None].astype(np.float32)
    return np.eye(classes, dtype=np.float32)[labels]


def steps_per_epoch(photos: int, batch: int) -> int:
    """How many whole batches there are; at least one, of all photos, where they are fewer than a batch."""
    return photos // min(batch, photos)


class Batches:
    """Training batches, the same for the same seed and epoch, so that a resumed training sees what it would have seen.

    Args:
        store: the pixels.
        sha256s: of the training photos.
        targets: as :func:`one_hot` makes them.
        batch: photos in a step.
        seed: of order and augmentation.
        first_epoch: from 0; later when a training is resumed.
        augment: whether photos are flipped, shifted, zoomed and recoloured.
    """

    def __init__(
        self,
        store: PixelStore,
        sha256s: Sequence[str],
        targets: npt.NDArray[np.float32],
        *,
        batch: int,
        seed: int,
        first_epoch: int,
        augment: bool,
    ) -> None:
        self._store = store
        self._sha256s = sha256s
        self._targets = targets
        self._batch = min(batch, len(sha256s))
        self._seed = seed
        self._epoch = first_epoch
        self._augment = augment
        self.steps = steps_per_epoch(len(sha256s), batch)

    def dataset(self) -> tf.data.Dataset:
        """Batches of float32 pixels ``(batch, S, S, 3)`` in 0..255 with targets; each pass is the next epoch."""
        size = self._store.spec.size
        signature = (
            tf.TensorSpec((None, size, size, 3), tf.uint8),
            tf.TensorSpec((None, self._targets.shape[1]), tf.float32),
            tf.TensorSpec((2,), tf.int64),
        )
        batches = tf.data.Dataset.from_generator(self._one_epoch, output_signature=signature)
        prepare = _augmented if self._augment else _plain
        counted = batches.apply(tf.data.experimental.assert_cardinality(self.steps))
        return counted.map(prepare, num_parallel_calls=1).prefetch(2)

    def _one_epoch(self) -> Iterator[tuple[Any, Any, Any]]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._sha256s))
        for step in range(self.steps):
            chosen = order[step * self._batch : (step + 1) * self._batch]
            pixels = self._store.take([self._sha256s[i] for i in chosen])
            yield pixels, self._targets[chosen], np.array([self._seed + epoch, step], np.int64)


def _plain(pixels: tf.Tensor, targets: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cast(pixels, tf.float32), targets


def _augmented(pixels: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    moved = _moved(tf.cast(pixels, tf.float32), seed)
    return tf.clip_by_value(_recoloured(moved, seed), 0.0, 255.0), targets


def _uniform(shape: list[tf.Tensor | int], seed: tf.Tensor, stream: int, low: float, high: float) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed + tf.constant([0, stream * 1_000_003], tf.int64), low, high)


def _moved(pixels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Flip, shift, zoom and stretch in one bilinear pass; what comes into view repeats the border."""
    count, size = tf.shape(pixels)[0], float(pixels.shape[1])
    flip = tf.where(_uniform([count], seed, 1, 0.0, 1.0) < 0.5, -1.0, 1.0)  # noqa: PLR2004 - a coin
    zoom = _uniform([count], seed, 2, *_ZOOM)
    stretch = tf.exp(_uniform([count], seed, 3, -_STRETCH, _STRETCH))
    across, down = flip * zoom * stretch, zoom / stretch
    centre = size / 2.0
    right = centre + size * _uniform([count], seed, 4, -_SHIFT, _SHIFT) - across * centre
    below = centre + size * _uniform([count], seed, 5, -_SHIFT, _SHIFT) - down * centre
    nothing = tf.zeros_like(zoom)
    transforms = tf.stack([across, nothing, right, nothing, down, below, nothing, nothing], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=transforms,
        output_shape=tf.shape(pixels)[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )


def _recoloured(pixels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Brightness, white balance and contrast."""
    count = tf.shape(pixels)[0]
    brightness = _uniform([count, 1, 1, 1], seed, 6, 1 - _COLOUR, 1 + _COLOUR)
    balance = _uniform([count, 1, 1, 3], seed, 7, 1 - _COLOUR / 2, 1 + _COLOUR / 2)
    contrast = _uniform([count, 1, 1, 1], seed, 8, 1 - _COLOUR, 1 + _COLOUR)
    lit = pixels * brightness * balance
    mean = tf.reduce_mean(lit, axis=[1, 2], keepdims=True)
    return mean + (lit - mean) * contrast
