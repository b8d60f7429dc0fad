"""Weights in an HDF5 file: Keras's own ``.weights.h5``, or the legacy ``.h5`` of ``keras.applications``."""

from collections import Counter
from pathlib import Path

import h5py
import keras
import numpy as np

from models.errors import InputError

__all__ = ["Shapes", "fill", "shapes_in", "shapes_of"]

Shapes = Counter[tuple[int, ...]]
"""How many arrays there are of each shape."""


def shapes_of(body: keras.Model) -> Shapes:
    """Of a network's weights."""
    return Counter(tuple(weight.shape) for weight in body.weights)


def shapes_in(path: Path) -> Shapes:
    """Of a file's weights; an optimizer's state, and that of random generators, does not count.

    Raises:
        InputError: it is no HDF5 file, is damaged, or is named like a file of the other format.
    """
    shapes: Shapes = Counter()

    def count(_: str, found: h5py.Group | h5py.Dataset) -> None:
        if isinstance(found, h5py.Dataset) and np.issubdtype(found.dtype, np.floating):
            shapes[found.shape] += 1

    try:
        with h5py.File(path) as file:
            _check_name(path, legacy="layers" not in file)
            weights = next((file[name] for name in ("layers", "model_weights") if name in file), file)
            weights.visititems(count)
    except (OSError, KeyError, RuntimeError) as error:
        msg = f"Expected a file of weights, {path} is damaged or none ({error}); get it anew."
        raise InputError(msg) from error
    return shapes


def _check_name(path: Path, *, legacy: bool) -> None:
    """Keras tells the two formats by the name alone."""
    if legacy and path.name.endswith(".weights.h5"):
        msg = f"{path} is of Keras's legacy format, and named like the new one; rename it to {path.stem[:-8]}.h5."
        raise InputError(msg)
    if not legacy and not path.name.endswith(".weights.h5"):
        msg = f"{path} is of Keras's new format, and named like the legacy one; rename it to {path.stem}.weights.h5."
        raise InputError(msg)


def fill(body: keras.Model, path: Path) -> None:
    """Load a file of exactly a published body's shapes into it.

    Raises:
        InputError: its layers are others for all that.
    """
    try:
        body.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        msg = f"The weights in {path} are of another network: {error}"
        raise InputError(msg) from error
