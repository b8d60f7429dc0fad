"""Batches for training: pixels from the store, shuffled and augmented while the network learns from others."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.data.pixel_store import PixelStore
from trainer.learning.augment import augmented, resized
from trainer.learning.recipe import Augmentation

__all__ = ["Batches", "Order", "one_hot", "steps_per_epoch"]

_SEEDS = 1_000_003
"""Keeps the epochs of one seed apart from those of the next."""
_AHEAD = 2

Order = Callable[[np.random.Generator], npt.NDArray[np.intp]]
"""One epoch's photos, by their places, in the order in which they are seen."""


def one_hot(labels: npt.NDArray[np.intp], classes: int) -> npt.NDArray[np.float32]:
    """Targets: ``float32 (n, 1)`` for two classes, else ``(n, classes)``."""
    if classes == 2:  # noqa: PLR2004 - binary
        return labels[:, None].astype(np.float32)
    targets = np.zeros((len(labels), classes), np.float32)
    targets[np.arange(len(labels)), labels] = 1.0
    return targets


def steps_per_epoch(photos: int, batch: int) -> int:
    """How many whole batches there are; at least one, of all photos, where they are fewer than a batch."""
    return photos // min(batch, photos)


class Batches:
    """Training batches, the same for the same seed and epoch, so that a resumed training sees what it would have seen.

    Args:
        store: the pixels.
        sha256s: of the training photos.
        labels: class indices ``(n,)``.
        classes: how many there are.
        batch: photos in a step.
        seed: of order and augmentation.
        augmentation: how far photos are changed; none leaves them.
        order: of an epoch's photos; a permutation where none is given.
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
        order: Order | None = None,
    ) -> None:
        self._store = store
        self._sha256s = sha256s
        self._labels = labels
        self._classes = classes
        self._seed = seed
        self._augmentation = augmentation
        self._order = order or (lambda random: random.permutation(len(sha256s)))
        self._epoch = 0
        self._by_size: dict[int, tf.data.Dataset] = {}
        self.batch = min(batch, len(sha256s))
        self.steps = steps_per_epoch(len(sha256s), batch)

    @property
    def size(self) -> int:
        """Side S of the stored photos in pixels."""
        return self._store.spec.size

    def epoch(self, number: int, size: int) -> Any:  # noqa: ANN401 - tf.data has no types
        """The batches of an epoch: float32 pixels ``(batch, size, size, 3)`` in 0..255, and targets.

        Args:
            number: of the epoch, from 0.
            size: side of the photos to give, in pixels.
        """
        self._epoch = number
        if size not in self._by_size:
            self._by_size[size] = self._dataset(size)
        return self._by_size[size]

    def _dataset(self, size: int) -> tf.data.Dataset:
        stored, units = self._store.spec.size, 1 if self._classes == 2 else self._classes  # noqa: PLR2004 - binary
        signature = (
            tf.TensorSpec((self.batch, stored, stored, 3), tf.uint8),
            tf.TensorSpec((self.batch, units), tf.float32),
            tf.TensorSpec((2,), tf.int64),
        )
        batches = tf.data.Dataset.from_generator(self._one_epoch, output_signature=signature)

        def prepare(pixels: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            photos = tf.cast(pixels, tf.float32)
            if self._augmentation is None:
                return resized(photos, size), targets
            return augmented(photos, targets, seed, size, self._augmentation)

        return batches.map(prepare, num_parallel_calls=1).prefetch(_AHEAD).with_options(_options())

    def _one_epoch(self) -> Iterator[tuple[Any, Any, Any]]:
        epoch = self._epoch
        order = self._order(np.random.default_rng((self._seed, epoch)))
        for step in range(self.steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            pixels = self._store.take([self._sha256s[i] for i in chosen])
            yield pixels, one_hot(self._labels[chosen], self._classes), np.array([self._seed * _SEEDS + epoch, step])


def _options() -> tf.data.Options:
    """Nothing is tuned, and there is nothing to tune.

    The thread that tunes sleeps for 10 ms, then 20, 40 and so on, and an iterator that is over waits for it to wake:
    each epoch would last until 10.2 s or 20.5 s after it began.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options
