"""A network that is ready to be trained: built, with the weights that it starts from."""

from collections import Counter
from pathlib import Path
from zipfile import BadZipFile

import h5py
import keras
import numpy as np

from models.errors import InputError
from trainer.networks.architectures import cnn, published_body, simple, transfer
from trainer.networks.choice import NamedWeights, NetworkChoice, Weights
from trainer.networks.imagenet import fetch, imagenet_file, models_folder
from trainer.request import Arch

__all__ = ["build_network", "features_model", "weights_file"]

Shapes = Counter[tuple[int, ...]]
"""How many arrays there are of each shape."""


def build_network(arch: Arch, size: int, classes: int, *, weights: Weights, alpha: float | None) -> keras.Model:
    """Build a network; its head is always random.

    Args:
        arch: the architecture.
        size: side S of the input in pixels.
        classes: at least 2.
        weights: of its body. A file is a ``.weights.h5`` or legacy ``.h5`` of the body alone, or a ``.keras`` model of
            the same architecture with any head.
        alpha: the width multiplier, for architectures that have one; None is 1.

    Raises:
        InputError: there is no such network, or its weights cannot be had or do not fit.
    """
    choice = NetworkChoice(arch, size, weights, alpha)
    match arch:
        case Arch.CNN:
            network = cnn(classes)
        case Arch.SIMPLE:
            network = simple(size, classes)
        case _:
            network = transfer(arch, size, classes, choice.width)
    file = weights_file(choice)
    if file:
        source = _whole_model(file) if file.suffix == ".keras" else _published(file, choice)
        misfit = _copy_body(source, features_model(network))
        if misfit:
            msg = f"{file} does not fit {choice}: {misfit}; pass its own --arch, --alpha and --image-size."
            raise InputError(msg)
    return network


def weights_file(choice: NetworkChoice) -> Path | None:
    """The file that a network starts from, None for random weights; InputError if it is damaged or cannot be had."""
    match choice.weights:
        case NamedWeights.NONE:
            return None
        case NamedWeights.IMAGENET:
            return fetch(imagenet_file(choice), models_folder(), str(choice))
        case path:
            return path


def features_model(network: keras.Model) -> keras.Model:
    """Pixels ``(batch, S, S, 3)`` → features ``(batch, D)``; shares its layers with the network."""
    return keras.Model(network.inputs[0], network.get_layer("features").output, name="features_model")


def _whole_model(path: Path) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        msg = f"Expected a Keras model in {path}, it is damaged or needs code of its own ({error}); pass another file."
        raise InputError(msg) from error


def _published(file: Path, choice: NetworkChoice) -> keras.Model:
    """The body as Keras makes it, with the weights of an HDF5 file."""
    body = published_body(choice.arch, choice.size, choice.width)
    found, expected = _shapes_in(file), _shapes_of(body)
    if found != expected:
        msg = f"{file} does not fit {choice}: {_misfit(found, expected, choice)}"
        raise InputError(msg)
    try:
        body.load_weights(file)
    except (OSError, ValueError, KeyError) as error:
        msg = f"The weights in {file} are of another network: {error}"
        raise InputError(msg) from error
    return body


def _misfit(found: Shapes, expected: Shapes, choice: NetworkChoice) -> str:
    """Why a file of weights does not fit, and what to do."""
    if found > expected:
        return f"it has {(found - expected).total()} arrays more, a classification top; pass the file without top."
    for alpha in choice.arch.alphas:
        if found == _shapes_of(published_body(choice.arch, choice.size, alpha)):
            return f"it is of alpha {alpha:g}; pass --alpha {alpha:g}, or another file."
    there = (found & expected).total()
    return f"it has {there} of the {expected.total()} arrays; pass its own --arch and --alpha."


def _shapes_in(path: Path) -> Shapes:
    """How many arrays of each shape a file's weights have, without the states of optimizer and random generators."""
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
        msg = f"Expected a file of weights, {path} is damaged or not one ({error}); get it again."
        raise InputError(msg) from error
    return shapes


def _check_name(path: Path, *, legacy: bool) -> None:
    """Check that the file's name fits its format: Keras tells its formats apart by the name alone."""
    if legacy and path.name.endswith(".weights.h5"):
        msg = f"{path} is of Keras's legacy format, and named like the new one; rename it to {path.stem[:-8]}.h5."
        raise InputError(msg)
    if not legacy and not path.name.endswith(".weights.h5"):
        msg = f"{path} is of Keras's new format, and named like the legacy one; rename it to {path.stem}.weights.h5."
        raise InputError(msg)


def _shapes_of(part: keras.Model | keras.Layer) -> Shapes:
    return Counter(tuple(weight.shape) for weight in part.weights)


def _copy_body(source: keras.Model, body: keras.Model) -> str | None:
    """Copy the weights of a model's first layers into a body; what follows them, its head, is left.

    Shapes may differ by ones: a depthwise kernel ``(h, w, c, 1)`` is that of a grouped convolution ``(h, w, 1, c)``.

    Returns:
        Why nothing was copied, if the model begins with other layers; else None.
    """
    mine, theirs = ([layer for layer in model.layers if layer.weights] for model in (body, source))
    if len(theirs) < len(mine):
        return f"expected {len(mine)} layers with weights, got {len(theirs)}"
    for layer, given in zip(mine, theirs, strict=False):
        expected, got = ([tuple(weight.shape) for weight in one.weights] for one in (layer, given))
        if _without_ones(expected) != _without_ones(got):
            return f"expected {expected} for its layer {layer.name}, got {got}"
    for layer, given in zip(mine, theirs, strict=False):
        pairs = zip(layer.weights, given.get_weights(), strict=True)
        layer.set_weights([np.reshape(values, weight.shape) for weight, values in pairs])
    return None


def _without_ones(shapes: list[tuple[int, ...]]) -> list[list[int]]:
    return [[side for side in shape if side > 1] for shape in shapes]
