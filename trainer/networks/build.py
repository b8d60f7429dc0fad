"""A network, ready to be trained."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile

import h5py
import keras
import numpy as np

from models.errors import InputError
from trainer.networks.architectures import cnn, published_body, simple, transfer
from trainer.networks.choice import NamedWeights, NetworkChoice, Weights
from trainer.networks.depth import features_model
from trainer.networks.imagenet import fetch, imagenet_file, models_folder
from trainer.request import Arch

__all__ = ["Shapes", "build_network", "copy_body", "fill", "read_model", "shapes_in", "shapes_of", "weights_file"]


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
            return f"expected {_weight_shapes(layer)} for its layer {layer.name}, got {_weight_shapes(given)}"
    for layer, given in zip(mine, theirs, strict=False):
        pairs = zip(layer.weights, given.get_weights(), strict=True)
        layer.set_weights([np.reshape(values, weight.shape) for weight, values in pairs])
    return None


def _bearing(layers: Iterable[keras.Layer]) -> list[keras.Layer]:
    return [layer for layer in layers if layer.weights]


def _weight_shapes(layer: keras.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _sides(layer: keras.Layer) -> list[list[int]]:
    return [[side for side in shape if side > 1] for shape in _weight_shapes(layer)]


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


def build_network(arch: Arch, size: int, classes: int, *, weights: Weights, alpha: float | None) -> keras.Model:
    """Build a network; its head is always random.

    Args:
        arch: the architecture.
        size: side S of the input in pixels.
        classes: at least 2.
        weights: what its body starts from. A file is a ``.weights.h5`` or legacy ``.h5`` of the body alone, or a
            ``.keras`` model of the same architecture with any head.
        alpha: the width multiplier, for architectures that have one; none is 1.

    Raises:
        InputError: there is no such network, or its weights cannot be had or do not fit.
    """
    choice = NetworkChoice(arch, size, weights, alpha)
    network = _random_network(choice, classes)
    file = weights_file(choice)
    if file:
        _start_from(network, file, choice)
    return network


def weights_file(choice: NetworkChoice) -> Path | None:
    """The file that a network starts from, downloaded if need be; none for random weights.

    Raises:
        InputError: it could not be downloaded, or is damaged.
    """
    match choice.weights:
        case NamedWeights.NONE:
            return None
        case NamedWeights.IMAGENET:
            return fetch(imagenet_file(choice), models_folder(), str(choice))
        case path:
            return path


def _random_network(choice: NetworkChoice, classes: int) -> keras.Model:
    match choice.arch:
        case Arch.CNN:
            return cnn(classes)
        case Arch.SIMPLE:
            return simple(choice.size, classes)
    return transfer(choice.arch, choice.size, classes, choice.width)


def _start_from(network: keras.Model, file: Path, choice: NetworkChoice) -> None:
    source = read_model(file) if file.suffix == ".keras" else _published(file, choice)
    misfit = copy_body(source, features_model(network))
    if misfit:
        msg = f"{file} does not fit {choice}: {misfit}; pass the --arch, --alpha and --image-size that it is of."
        raise InputError(msg)


def _published(file: Path, choice: NetworkChoice) -> keras.Model:
    """The body as Keras makes it, with the weights of an HDF5 file."""
    body = published_body(choice.arch, choice.size, choice.width)
    found, expected = shapes_in(file), shapes_of(body)
    if found != expected:
        msg = f"{file} does not fit {choice}: {_misfit(found, expected, choice)}"
        raise InputError(msg)
    fill(body, file)
    return body


def _misfit(found: Shapes, expected: Shapes, choice: NetworkChoice) -> str:
    """What is wrong with a file of weights, and what to do."""
    if found > expected:
        return f"it has {(found - expected).total()} arrays more, a classification top; pass the file without top."
    for alpha in choice.arch.alphas:
        if found == shapes_of(published_body(choice.arch, choice.size, alpha)):
            return f"it is of alpha {alpha:g}; pass --alpha {alpha:g}, or another file."
    there = (found & expected).total()
    return f"it has {there} of the {expected.total()} arrays; pass the --arch and --alpha that it is of."
