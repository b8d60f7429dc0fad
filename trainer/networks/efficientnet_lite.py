"""EfficientNet-Lite (Liu 2020): MobileNetV2's inverted residuals at EfficientNet's widths and depths (Tan & Le 2019).

ReLU6 and no squeeze-and-excite, so that int8 loses little and every edge device can run it. Weights that have learned
from ImageNet come as packages, with PyTorch's names; convolutions pad as TensorFlow's ``same`` does.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from models.errors import InputError

_STEM, _TOP = 32, 1280
_BLOCKS: Final = (  # kernel, strides, expansion, filters, repeats: table 1 of Tan & Le 2019
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_EPSILON: Final = 1e-3
_MIDDLE, _SPREAD = 127.0, 128.0


def lite_body(image: keras.KerasTensor, width: float, depth: float) -> keras.Model:
    """Pixels ``(batch, S, S, 3)`` in 0..255 → maps ``(batch, S / 32, S / 32, 1280)``; layers have the weights' names."""
    x = layers.Rescaling(1 / _SPREAD, offset=-_MIDDLE / _SPREAD, name="scaling")(image)
    x = _conv(x, _STEM, 3, 2, "_conv_stem", "_bn0")
    number = 0
    for place, (kernel, strides, expansion, filters, repeats) in enumerate(_BLOCKS):
        wide = _rounded(filters * width)
        deep = repeats if place in {0, len(_BLOCKS) - 1} else math.ceil(repeats * depth)
        for repeat in range(deep):
            x = _block(x, f"_blocks.{number}.", kernel, strides if repeat == 0 else 1, expansion, wide)
            number += 1
    return keras.Model(image, _conv(x, _TOP, 1, 1, "_conv_head", "_bn1"))


def _rounded(filters: float) -> int:
    """To a multiple of 8, and by a tenth at most downwards."""
    near = max(8, int(filters + 4) // 8 * 8)
    return near + 8 if near < 0.9 * filters else near  # noqa: PLR2004


def _block(
    x: keras.KerasTensor, name: str, kernel: int, strides: int, expansion: int, filters: int
) -> keras.KerasTensor:
    start, channels = x, x.shape[-1]
    if expansion > 1:
        x = _conv(x, channels * expansion, 1, 1, f"{name}_expand_conv", f"{name}_bn0")
    depthwise = layers.DepthwiseConv2D(
        kernel, strides, "same", use_bias=False, name=f"{name}_depthwise_conv", depthwise_initializer="he_normal"
    )
    x = _normed(depthwise(x), f"{name}_bn1")
    x = _conv(x, filters, 1, 1, f"{name}_project_conv", f"{name}_bn2", relu=False)
    return layers.Add()([start, x]) if strides == 1 and channels == filters else x


def _conv(
    x: keras.KerasTensor, filters: int, kernel: int, strides: int, name: str, norm: str, *, relu: bool = True
) -> keras.KerasTensor:
    convolution = layers.Conv2D(
        filters, kernel, strides, "same", use_bias=False, name=name, kernel_initializer="he_normal"
    )
    return _normed(convolution(x), norm, relu=relu)


def _normed(x: keras.KerasTensor, name: str, *, relu: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=_EPSILON, name=name)(x)
    return layers.ReLU(6.0)(x) if relu else x


def load_torch_weights(body: keras.Model, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a body weights with PyTorch's names; InputError where one is missing or has another shape."""
    for layer in body.layers:
        if layer.weights:
            found = list(_arrays_of(layer, arrays))
            wanted = [tuple(weight.shape) for weight in layer.weights]
            if [array.shape for array in found] != wanted:
                msg = f"expected {wanted} for {layer.name}, got {[array.shape for array in found]}"
                raise InputError(msg)
            layer.set_weights(found)


def _arrays_of(layer: keras.Layer, arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
    if isinstance(layer, layers.BatchNormalization):
        names, axes = ("weight", "bias", "running_mean", "running_var"), None
    else:
        names, axes = ("weight",), (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    for name in names:
        array = arrays.get(f"{layer.name}.{name}")
        if array is not None:
            yield np.transpose(array, axes) if axes else array


def early_layers(network: keras.Model) -> list[keras.Layer]:
    """All layers before the 80-channel stage."""
    names = [layer.name for layer in network.layers]
    return network.layers[: names.index("_blocks.5._expand_conv")]
