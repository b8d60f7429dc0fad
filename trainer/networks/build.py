"""A network, ready to be trained."""

from pathlib import Path

import keras

from models.errors import InputError
from trainer.arch import Arch
from trainer.networks.choice import NetworkChoice
from trainer.networks.cnn import cnn
from trainer.networks.depth import features_model
from trainer.networks.download import fetch
from trainer.networks.hdf5_weights import Shapes, fill, shapes_in, shapes_of
from trainer.networks.imagenet import imagenet_file, models_folder
from trainer.networks.simple import simple
from trainer.networks.transfer import published_body, transfer
from trainer.networks.warm_start import copy_body, read_model
from trainer.networks.weights import NamedWeights, Weights

__all__ = ["build_network", "weights_file"]


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
