"""A network that is ready to be trained: built, with the weights that it starts from."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias
from zipfile import BadZipFile

import h5py
import keras
import numpy as np

from models.errors import InputError
from trainer.networks.architectures import PRESETS, Plan, cnn, published_body, simple, transfer
from trainer.networks.choice import NamedWeights, NetworkChoice, Weights, default_weights, parse_weights
from trainer.networks.imagenet import Downloaded, NotDownloadedError, fetch, imagenet_file, models_folder
from trainer.request import Arch, NetworkOptions, Preset

_HEAD_ARRAYS: Final = 4
"""At most this many arrays of a whole model are its head's."""

_MOMENTUM: Final = 0.9
"""How much of a batch norm's statistics stays at a step, at most, in a network that begins from nothing."""

Get: TypeAlias = Callable[[NetworkChoice], Path | None]
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
    else:
        _forget_soon(network)
    return network


def _forget_soon(network: keras.Model) -> None:
    """Let batch norms follow what they see.

    Keras's MobileNetV2 and V3 keep 0.999 of their statistics at each step: after 500 steps these are still half of what
    they began with, and the network says the same of all photos, however well it has learned.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, _MOMENTUM)


def weights_file(choice: NetworkChoice, progress: Downloaded | None = None) -> Path | None:
    """The file that a network starts from, None for random weights; InputError if it is damaged or cannot be had."""
    match choice.weights:
        case NamedWeights.NONE:
            return None
        case NamedWeights.IMAGENET:
            return fetch(imagenet_file(choice), models_folder(), str(choice), progress)
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
        msg = f"{path} has Keras's legacy format, but a name of the new one; rename it to {path.stem[:-8]}.h5."
        raise InputError(msg)
    if not legacy and not path.name.endswith(".weights.h5"):
        msg = f"{path} has Keras's new format, but a name of the legacy one; rename it to {path.stem}.weights.h5."
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


@dataclass(frozen=True)
class Start:
    """The network that a training begins with.

    Attributes:
        length: of the training, as a multiple of the recipe's.
        why: a line for a person, where Hangtag has chosen the architecture.
    """

    choice: NetworkChoice
    length: float
    why: str | None = None


def choose_start(options: NetworkOptions, get: Get = weights_file) -> Start:
    """Choose the network that a training begins with; ImageNet weights are downloaded where they are needed.

    Without ``arch`` it is the one whose weights are given (``weights``, ``place``); else the preset's backbone if its
    weights are here or can be downloaded; else another preset's whose weights are here; else ``cnn``.

    Args:
        options: what was asked for, which goes before what a preset chooses.
        get: gives the file that a network starts from, as :func:`weights_file` does.

    Raises:
        InputError: weights that were asked for cannot be had, are damaged, or are of no network that is known here.
    """
    plan = PRESETS[options.preset or Preset.GOOD]
    given = parse_weights(options.weights) if options.weights else None
    if options.arch is not None:
        start = _start(options.arch, given or default_weights(options.arch), plan, options)
        get(start.choice)
        return start
    if given is None and options.place is not None:
        given = _in_place(options.place, plan, options)
    match given:
        case NamedWeights.NONE:
            return _from_nothing("--weights none", plan, options)
        case Path():
            arch, alpha = network_of(given)
            return _begun(
                _start(arch, given, plan, replace(options, arch=arch, alpha=alpha)), f"its weights are {given}"
            )
        case NamedWeights.IMAGENET:
            start = _start(plan.backbone, given, plan, options)
            get(start.choice)
            return _begun(start, "--weights imagenet")
    return _pretrained(plan, options, get)


def _pretrained(plan: Plan, options: NetworkOptions, get: Get) -> Start:
    """The preset's backbone, or another's, with ImageNet weights; ``cnn`` where there are none."""
    smallest = plan.backbone.min_exported_size
    if options.size is not None and options.size < smallest:
        return _from_nothing(f"a pretrained {plan.backbone} needs {smallest} px or more", plan, options)
    start, folder = _start(plan.backbone, NamedWeights.IMAGENET, plan, options), models_folder()
    file = imagenet_file(start.choice)
    found = "are in" if (folder / file.name).is_file() else "were downloaded into"
    try:
        get(start.choice)
    except NotDownloadedError as error:
        missing = f"{file.name} could not be downloaded ({error.why})"
    else:
        return _begun(start, f"its weights {found} {folder}")
    for other in (PRESETS[preset].backbone for preset in Preset):
        start = _start(other, NamedWeights.IMAGENET, plan, options)
        if (folder / imagenet_file(start.choice).name).is_file():
            get(start.choice)
            return _begun(start, f"its weights are in {folder}, and {missing}")
    return _from_nothing(f"{missing}. For a pretrained network, put {file.url} into {folder}", plan, options)


def _in_place(place: Path, plan: Plan, options: NetworkOptions) -> Path:
    """The file that ``HANGTAG_WEIGHTS`` leads to: itself, or in a folder the backbone's or the only one."""
    if not place.is_dir():
        if not place.is_file():
            msg = (
                f"Expected weights, or a folder of them, at HANGTAG_WEIGHTS={place}; found nothing, change or unset it."
            )
            raise InputError(msg)
        return place
    named = imagenet_file(_start(plan.backbone, NamedWeights.IMAGENET, plan, options).choice).name
    if (place / named).is_file():
        return place / named
    found = sorted(path for path in place.iterdir() if path.suffix in {".h5", ".keras"})
    if len(found) != 1:
        msg = (
            f"Expected {named} or one file of weights in HANGTAG_WEIGHTS={place}, found {len(found)} files; "
            "pass one with --weights, or change or unset HANGTAG_WEIGHTS."
        )
        raise InputError(msg)
    return found[0]


def network_of(file: Path) -> tuple[Arch, float | None]:
    """The architecture and alpha that a file's weights are of, by the model's name and the shapes of its arrays."""
    archs = [arch for arch in Arch if arch.is_transfer]
    if file.suffix == ".keras":
        model = _whole_model(file)
        if model.name in set(Arch):
            archs = [Arch(model.name)]
        found = _shapes_of(model)
    else:
        found = _shapes_in(file)
    for arch in archs:
        if not arch.alphas and len(archs) == 1:
            return arch, None
        for alpha in arch.alphas or (None,):
            body = _shapes_of(published_body(arch, arch.min_exported_size, alpha or 1.0))
            if not 0 <= found.total() - body.total() <= _HEAD_ARRAYS:
                break  # nor of another width, which has as many arrays
            if body <= found:
                return arch, alpha
    msg = (
        f"Expected weights of {', '.join(archs)} in {file}, they fit none of these in a published width; pass their "
        "--arch."
    )
    raise InputError(msg)


def _start(arch: Arch, weights: Weights, plan: Plan, options: NetworkOptions) -> Start:
    """What was asked for goes before what the preset chooses."""
    pretrained = arch.is_transfer and weights is not NamedWeights.NONE
    size = options.size or (plan.pretrained_size if pretrained else plan.size)
    return Start(NetworkChoice(arch, size, weights, options.alpha), plan.length)


def _begun(start: Start, where: str) -> Start:
    width = f" {start.choice.alpha:g}" if start.choice.alpha else ""
    why = f"Begin with {start.choice.arch}{width}, pretrained: {where}. For a network with random weights: --arch cnn"
    return replace(start, why=why)


def _from_nothing(reason: str, plan: Plan, options: NetworkOptions) -> Start:
    why = f"Begin with cnn, with random weights: {reason}"
    if options.weights is None:
        why = (
            f"{why}. With random weights, few photos teach far less; name pretrained ones with --weights FILE or "
            "HANGTAG_WEIGHTS"
        )
    return replace(_start(Arch.CNN, NamedWeights.NONE, plan, options), why=why)
