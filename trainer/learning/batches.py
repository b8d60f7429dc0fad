"""Training batches: photos from the pixel store, shuffled and augmented while the network trains.

Augmentation is not part of the saved model.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.data.photo_cache import PixelStore
from trainer.learning.recipe import Augmentation

_SEEDS: Final = 1_000_003
"""An epoch's seed is this number times the run's seed, plus the epoch. Seeds do not repeat."""
_AHEAD: Final = 2
_SIDES: Final = (0.15, 0.5)
_GREY: Final = 127.5


class Batches:
    """Training batches. The same seed and epoch give the same batches, also in a resumed training.

    ``labels`` are class indices ``(n,)``. Without ``augmentation``, photos are only resized. ``size`` is the side of
    the stored photos, in pixels.
    """

    def __init__(
        self,
        store: PixelStore,
        sha256s: Sequence[str],
        labels: npt.NDArray[np.intp],
        *,
        classes: int,
        batch: int,
        seed: int,
        augmentation: Augmentation | None,
    ) -> None:
        self._store = store
        self._sha256s = sha256s
        self._labels = labels
        self._classes = classes
        self._seed = seed
        self._augmentation = augmentation
        self._epoch = 0
        self._by_size: dict[int, tf.data.Dataset] = {}
        self.size = store.spec.size
        self.batch = min(batch, len(sha256s))
        self.steps = len(sha256s) // self.batch

    def epoch(self, number: int, size: int) -> Any:  # noqa: ANN401 - tf.data has no types
        """Iterate over epoch ``number`` (from 0): pixels, ``float32 (batch, size, size, 3)`` in 0..255, and targets."""
        self._epoch = number
        if size not in self._by_size:
            self._by_size[size] = self._dataset(size)
        return self._by_size[size]

    def _dataset(self, size: int) -> tf.data.Dataset:
        stored, units = self.size, 1 if self._classes == 2 else self._classes  # noqa: PLR2004 - binary
        signature = (
            tf.TensorSpec((self.batch, stored, stored, 3), tf.uint8),
            tf.TensorSpec((self.batch, units), tf.float32),
            tf.TensorSpec((2,), tf.int64),
        )
        batches = tf.data.Dataset.from_generator(self._one_epoch, output_signature=signature)
        # With autotuning, an epoch ends only when TensorFlow's autotuner wakes, which can take 20 seconds.
        options = tf.data.Options()
        options.autotune.enabled = False

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def prepare(pixels: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            photos, how = tf.cast(pixels, tf.float32), self._augmentation
            return augmented(photos, seed, size, how) if how else resized(photos, size), targets

        return batches.map(prepare, num_parallel_calls=1).prefetch(_AHEAD).with_options(options)

    def _one_epoch(self) -> Iterator[tuple[Any, Any, Any]]:
        epoch = self._epoch
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._labels))
        for step in range(self.steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            pixels = self._store.take([self._sha256s[i] for i in chosen])
            yield pixels, one_hot(self._labels[chosen], self._classes), np.array([self._seed * _SEEDS + epoch, step])


def one_hot(labels: npt.NDArray[np.intp], classes: int) -> npt.NDArray[np.float32]:
    """Targets: ``float32 (n, 1)`` for two classes, ``(n, classes)`` for more."""
    if classes == 2:  # noqa: PLR2004 - binary
        return labels[:, None].astype(np.float32)
    return np.asarray(keras.utils.to_categorical(labels, classes), np.float32)


def augmented(pixels: tf.Tensor, seed: tf.Tensor, size: int, augmentation: Augmentation) -> tf.Tensor:
    """Augment photos ``float32 (batch, S, S, 3)`` in 0..255 and resize them to ``size`` pixels.

    The same seed, ``int64 (2,)``, gives the same result.
    """
    draw = _Draw(seed, tf.shape(pixels)[0])
    while pixels.shape[1] >= 2 * size:  # bilinear sampling alone would alias
        pixels = tf.nn.avg_pool2d(pixels, 2, 2, "VALID")
    moved = _moved(pixels, size, augmentation, draw)
    changed = _erased(_recoloured(moved, augmentation, draw), augmentation.erase, draw)
    return tf.clip_by_value(changed, 0.0, 255.0)


def resized(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """Resize photos ``float32 (batch, S, S, 3)`` to ``(batch, size, size, 3)``, with antialiasing."""
    return tf.image.resize(pixels, (size, size), antialias=True) if pixels.shape[1] != size else pixels


class _Draw:
    def __init__(self, seed: tf.Tensor, count: tf.Tensor) -> None:
        self._seed = seed
        self._count = count
        self._streams = 0

    def each(self, low: float, high: float, *, shape: tuple[int, ...] = ()) -> Any:  # noqa: ANN401 - TensorFlow has no types
        self._streams += 1
        seed = self._seed + tf.constant([0, self._streams * 1_000_003], tf.int64)
        return tf.random.stateless_uniform([self._count, *shape], seed, low, high)

    def chosen(self, share: float) -> Any:  # noqa: ANN401
        return tf.cast(self.each(0.0, 1.0) < share, tf.float32)


def _moved(pixels: tf.Tensor, size: int, how: Augmentation, draw: _Draw) -> tf.Tensor:
    """Flip, shift, zoom, stretch and rotate in one bilinear step. Border pixels fill empty areas."""
    side = float(pixels.shape[1])
    mirrored = 1.0 - 2.0 * draw.chosen(0.5 if how.flip else 0.0)
    zoom = draw.each(*how.zoom) * (side / size)
    stretch = tf.exp(draw.each(-how.stretch, how.stretch))
    angle = draw.each(-how.rotation_rad, how.rotation_rad)
    right, below = zoom * stretch, zoom / stretch
    a, b = mirrored * tf.cos(angle) * right, -tf.sin(angle) * below
    c, d = mirrored * tf.sin(angle) * right, tf.cos(angle) * below
    middle, goal = (side - 1.0) / 2.0, (size - 1.0) / 2.0
    x = middle + side * draw.each(-how.shift, how.shift) - (a + b) * goal
    y = middle + side * draw.each(-how.shift, how.shift) - (c + d) * goal
    nothing = tf.zeros_like(zoom)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=tf.stack([a, b, x, c, d, y, nothing, nothing], axis=1),
        output_shape=tf.constant([size, size]),
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )


def _recoloured(pixels: tf.Tensor, how: Augmentation, draw: _Draw) -> tf.Tensor:
    brightness = draw.each(1 - how.colour, 1 + how.colour, shape=(1, 1, 1))
    balance = draw.each(1 - how.colour / 2, 1 + how.colour / 2, shape=(1, 1, 3))
    contrast = draw.each(1 - how.colour, 1 + how.colour, shape=(1, 1, 1))
    light = brightness * balance
    mean = tf.reduce_mean(pixels, axis=[1, 2], keepdims=True)
    return pixels * (light * contrast) + mean * light * (1.0 - contrast)


def _erased(pixels: tf.Tensor, share: float, draw: _Draw) -> tf.Tensor:
    """Random erasing (Zhong et al. 2020)."""
    if not share:
        return pixels
    chosen = draw.chosen(share)[:, None]
    across = _span(pixels.shape[2], draw) * chosen
    hole = (_span(pixels.shape[1], draw)[:, :, None] * across[:, None, :])[..., None]
    return pixels * (1.0 - hole) + _GREY * hole


def _span(side: int, draw: _Draw) -> tf.Tensor:
    places = (tf.range(side, dtype=tf.float32) + 0.5) / float(side)
    middle, length = draw.each(0.0, 1.0), draw.each(*_SIDES)
    return tf.cast(tf.abs(places[None] - middle[:, None]) < length[:, None] / 2.0, tf.float32)
