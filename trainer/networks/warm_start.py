"""Weights that go from one network's body to another's."""

from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np

from models.errors import InputError

__all__ = ["copy_body", "read_model"]


def copy_body(source: keras.Model, body: keras.Model) -> str | None:
    """Copy the weights of a model's first layers into a body; what follows them, its head, is left.

    Shapes may differ by ones: a depthwise kernel ``(h, w, c, 1)`` is that of a grouped convolution ``(h, w, 1, c)``.

    Returns:
        Why nothing was copied, where the model does not begin with such layers.
    """
    mine, theirs = _bearing(body.layers), _bearing(source.layers)
    if len(theirs) < len(mine):
        return f"expected {len(mine)} layers with weights, got {len(theirs)}"
    for layer, given in zip(mine, theirs, strict=False):
        if _sides(layer) != _sides(given):
            return f"expected {_shapes(layer)} for its layer {layer.name}, got {_shapes(given)}"
    for layer, given in zip(mine, theirs, strict=False):
        pairs = zip(layer.weights, given.get_weights(), strict=True)
        layer.set_weights([np.reshape(values, weight.shape) for weight, values in pairs])
    return None


def _bearing(layers: Iterable[keras.Layer]) -> list[keras.Layer]:
    return [layer for layer in layers if layer.weights]


def _shapes(layer: keras.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _sides(layer: keras.Layer) -> list[list[int]]:
    return [[side for side in shape if side > 1] for shape in _shapes(layer)]


def read_model(path: Path) -> keras.Model:
    """A whole Keras model from a ``.keras`` file, such as a run's ``weights/best.keras``.

    Raises:
        InputError: it is damaged, or needs code of its own.
    """
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        msg = f"Expected a Keras model in {path}, it is damaged or needs code of its own ({error}); pass another file."
        raise InputError(msg) from error
