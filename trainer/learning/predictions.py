"""What a trained network predicts for photos."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from models.statistics.calibration import class_logits
from trainer.data.photo_cache import PixelStore

_CHUNK: Final = 128
_TIMED: Final = 3


@dataclass(frozen=True)
class Predictions:
    """A network's class logits ``float32 (n, classes)``, and the features ``float32 (n, D)`` that it decides by."""

    logits: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]


def predict(network: keras.Model, sha256s: Sequence[str], store: PixelStore, *, mirrored: bool = False) -> Predictions:
    """Show photos to a network with layers named ``features`` and ``logits``, a few at a time.

    With ``mirrored``, left and right are exchanged.
    """
    layers = [network.get_layer("logits").output, network.get_layer("features").output]
    ask = _compiled(keras.Model(network.inputs, layers))
    parts = [ask(pixels[:, :, ::-1] if mirrored else pixels) for pixels in _chunks(store, sha256s)]
    if not parts:
        return Predictions(*(np.zeros((0, max(2, layer.shape[-1])), np.float32) for layer in layers))
    logits, features = (np.concatenate([part[i].numpy() for part in parts]) for i in (0, 1))
    return Predictions(class_logits(logits), features)


def features_of(
    network: keras.Model, sha256s: Sequence[str], store: PixelStore, *, mirrored: bool = False
) -> npt.NDArray[np.float32]:
    """What a network's last layer decides by, ``float32 (n, D)``; of photos with left and right exchanged, if asked."""
    return predict(network, sha256s, store, mirrored=mirrored).features


def images_per_s(network: keras.Model, sha256s: Sequence[str], store: PixelStore) -> float:
    """How many photos a network judges in a second, decoding not counted; at least one photo."""
    ask = _compiled(network)
    pixels = next(_chunks(store, sha256s))
    ask(pixels)  # makes everything ready
    began = time.monotonic()
    for _ in range(_TIMED):
        ask(pixels)
    return _TIMED * len(pixels) / (time.monotonic() - began)


def _chunks(store: PixelStore, sha256s: Sequence[str]) -> Iterator[tf.Tensor]:
    for start in range(0, len(sha256s), _CHUNK):
        yield tf.cast(store.take(sha256s[start : start + _CHUNK]), tf.float32)


def _compiled(model: keras.Model) -> Callable[[tf.Tensor], Any]:
    compiled: Callable[[tf.Tensor], Any] = tf.function(
        lambda pixels: model(pixels, training=False), reduce_retracing=True
    )
    return compiled
