"""What a trained network makes of photos."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from models.statistics.calibration import class_logits
from trainer.data.pixel_store import PixelStore

__all__ = ["Answers", "answer", "features_of", "images_per_s"]

_CHUNK: Final = 128
_TIMED: Final = 3


@dataclass(frozen=True)
class Answers:
    """What a network said of photos.

    Attributes:
        logits: class logits, ``float32 (n, classes)``.
        features: what its last layer decides by, ``float32 (n, D)``.
    """

    logits: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]


def answer(network: keras.Model, sha256s: Sequence[str], store: PixelStore) -> Answers:
    """Show photos to a network, a few at a time.

    Args:
        network: has layers named ``features`` and ``logits``.
        sha256s: of the photos.
        store: their pixels.
    """
    layers = [network.get_layer("logits").output, network.get_layer("features").output]
    ask = _asking(keras.Model(network.inputs, layers))
    parts = [ask(_pixels(store, sha256s[i : i + _CHUNK])) for i in range(0, len(sha256s), _CHUNK)]
    if not parts:
        return Answers(*(np.zeros((0, max(2, layer.shape[-1])), np.float32) for layer in layers))
    logits, features = (np.concatenate([part[i].numpy() for part in parts]) for i in (0, 1))
    return Answers(class_logits(logits), features)


def features_of(
    network: keras.Model, sha256s: Sequence[str], store: PixelStore, *, mirrored: bool = False
) -> npt.NDArray[np.float32]:
    """What a network's last layer decides by, ``float32 (n, D)``.

    Args:
        network: has a layer named ``features``.
        sha256s: of the photos.
        store: their pixels.
        mirrored: whether left and right are exchanged.
    """
    ask = _asking(keras.Model(network.inputs, network.get_layer("features").output))
    chunks = (_pixels(store, sha256s[i : i + _CHUNK]) for i in range(0, len(sha256s), _CHUNK))
    return np.concatenate([ask(chunk[:, :, ::-1] if mirrored else chunk).numpy() for chunk in chunks])


def images_per_s(network: keras.Model, sha256s: Sequence[str], store: PixelStore) -> float:
    """How many photos a network judges in a second, decoding not counted; at least one photo."""
    ask = _asking(network)
    pixels = _pixels(store, sha256s[:_CHUNK])
    ask(pixels)  # makes everything ready
    began = time.monotonic()
    for _ in range(_TIMED):
        ask(pixels)
    return _TIMED * len(pixels) / (time.monotonic() - began)


def _pixels(store: PixelStore, sha256s: Sequence[str]) -> tf.Tensor:
    return tf.cast(store.take(sha256s), tf.float32)


def _asking(model: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(lambda pixels: model(pixels, training=False), reduce_retracing=True)
