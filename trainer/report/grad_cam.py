"""Where a network looked: Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.preprocess import Pixels

__all__ = ["heat_maps", "last_spatial_layer"]

_BATCH: Final = 16
_IMAGES: Final = 4
"""Dimensions of a batch of maps: photo, row, column, channel."""


def last_spatial_layer(network: keras.Model) -> str:
    """The name of the last layer whose output still has places: ``(batch, rows, columns, channels)``.

    Raises:
        ValueError: there is none.
    """
    for layer in reversed(network.layers):
        shape: tuple[int | None, ...] = getattr(getattr(layer, "output", None), "shape", ())
        if len(shape) == _IMAGES and shape[1] != 1:
            return str(layer.name)
    msg = f"Expected a layer with a 4-D output in {network.name}, found none."
    raise ValueError(msg)


def heat_maps(network: keras.Model, layer: str, pixels: Pixels, classes: Sequence[int]) -> NDArray[np.float32]:
    """How much each place of a photo speaks for a class.

    Args:
        network: with a layer ``logits``: one unit for two classes, whose logit speaks for the second and against the
            first; else a unit a class.
        layer: whose maps are weighed, as :func:`last_spatial_layer` finds it.
        pixels: ``uint8 (n, S, S, 3)``.
        classes: of each photo, the index of the class asked about.

    Returns:
        ``float32 (n, S, S)`` in 0..1: 1 where a photo's hottest place is, all 0 where nothing speaks for the class.
    """
    size = pixels.shape[1:3]
    outputs = [network.get_layer(layer).output, network.get_layer("logits").output]
    probe = keras.Model(network.inputs, outputs)
    asked = np.asarray(classes, np.int64)
    heats = list(_batches(probe, pixels, asked, size))
    return np.concatenate(heats) if heats else np.zeros((0, *size), np.float32)


def _batches(
    probe: keras.Model, pixels: Pixels, asked: NDArray[np.int64], size: tuple[int, ...]
) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(pixels), _BATCH):
        chosen = slice(start, start + _BATCH)
        yield _heat(probe, tf.cast(pixels[chosen], tf.float32), asked[chosen], size)


def _heat(
    probe: keras.Model,
    images: Any,  # noqa: ANN401 - tensors have no types
    asked: NDArray[np.int64],
    size: tuple[int, ...],
) -> NDArray[np.float32]:
    with tf.GradientTape() as tape:
        tape.watch(images)  # so that a network whose weights are all frozen is followed, too
        maps, logits = probe(images, training=False)
        score = tf.reduce_sum(_logits_asked(logits, asked))
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(tf.cast(maps * weights, tf.float32), axis=3, keepdims=True))
    whole = tf.image.resize(heat, size)[..., 0].numpy()
    hottest = whole.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(whole, hottest, out=np.zeros_like(whole), where=hottest > 0), np.float32)


def _logits_asked(logits: Any, asked: NDArray[np.int64]) -> Any:  # noqa: ANN401 - tensors
    """Of each photo, the logit of the class asked about."""
    if logits.shape[1] == 1:
        return logits[:, 0] * tf.cast(np.where(asked == 1, 1.0, -1.0), logits.dtype)
    return tf.gather(logits, asked, axis=1, batch_dims=1)
