"""The pictures of a run: what the network saw while it learned, and where it looked."""

from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.preprocess import Pixels
from trainer.learning.training import Training

_MOST: Final = 36
_BATCH: Final = 16
_IMAGES: Final = 4
"""Dimensions of a batch of maps: photo, row, column, channel."""


def first_photos(training: Training) -> list[tuple[Pixels, str]]:
    """The photos of the first step, as they are augmented, ``uint8 (S, S, 3)``, with the classes that they teach."""
    batches = training.batches()
    pixels, targets = (array.numpy() for array in next(iter(batches.epoch(0, batches.size))))
    labels = np.rint(targets[:, 0]) if targets.shape[1] == 1 else targets.argmax(axis=1)
    shown = np.clip(np.rint(pixels[:_MOST]), 0, 255).astype(np.uint8)
    return [(photo, training.args.classes[int(label)]) for photo, label in zip(shown, labels, strict=False)]


def heat_maps(network: keras.Model, pixels: Pixels, classes: Sequence[int]) -> NDArray[np.float32]:
    """How much each place of a photo speaks for a class: Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391).

    ``pixels`` are ``uint8 (n, S, S, 3)``; ``classes`` has the index of a class for each. Returns ``float32 (n, S, S)``,
    1 where a photo's hottest place is, all 0 where nothing speaks for the class.
    """
    size = pixels.shape[1:3]
    maps = network.get_layer(last_spatial_layer(network)).output
    probe = keras.Model(network.inputs, [maps, network.get_layer("logits").output])
    heats = [np.zeros((0, *size), np.float32)]
    for start in range(0, len(pixels), _BATCH):
        some = slice(start, start + _BATCH)
        indices = np.asarray(classes[some], np.int64)
        heats.append(_heat(probe, tf.cast(pixels[some], tf.float32), indices, size))
    return np.concatenate(heats)


def last_spatial_layer(network: keras.Model) -> str:
    """The name of the last layer whose output still has places, ``(batch, rows, columns, channels)``, or ValueError."""
    for layer in reversed(network.layers):
        shape: tuple[int | None, ...] = getattr(getattr(layer, "output", None), "shape", ())
        if len(shape) == _IMAGES and shape[1] != 1:
            return str(layer.name)
    msg = f"Expected a layer with a 4-D output in {network.name}, found none."
    raise ValueError(msg)


def _heat(probe: keras.Model, images: Any, classes: NDArray[np.int64], size: tuple[int, ...]) -> NDArray[np.float32]:  # noqa: ANN401 - tensors have no types
    with tf.GradientTape() as tape:
        tape.watch(images)  # so that a network whose weights are all frozen is followed, too
        maps, logits = probe(images, training=False)
        if logits.shape[1] == 1:
            speaking = logits[:, 0] * tf.cast(np.where(classes == 1, 1.0, -1.0), logits.dtype)
        else:
            speaking = tf.gather(logits, classes, axis=1, batch_dims=1)
        score = tf.reduce_sum(speaking)
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(tf.cast(maps * weights, tf.float32), axis=3, keepdims=True))
    whole = tf.image.resize(heat, size)[..., 0].numpy()
    hottest = whole.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(whole, hottest, out=np.zeros_like(whole), where=hottest > 0), np.float32)
