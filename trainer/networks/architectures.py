"""The architectures, with random weights: two of our own, and the families of ``keras.applications``.

A family's layers lie in the one functional model, so that heat maps, layer groups, saving and conversion see them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import keras
from keras import applications, layers

from trainer.request import Arch, Preset

_DROPOUT: Final = 0.2


@dataclass(frozen=True)
class Plan:
    """What a preset chooses.

    ``backbone`` is used where pretrained weights can be had, at ``pretrained_size``; else ``cnn`` at ``size`` px.
    ``length`` of the training is a multiple of the recipe's.
    """

    backbone: Arch
    size: int
    pretrained_size: int
    length: float


PRESETS: Final[Mapping[Preset, Plan]] = MappingProxyType(
    {
        Preset.QUICK: Plan(Arch.MOBILENET_V3_SMALL, size=96, pretrained_size=128, length=0.5),
        Preset.GOOD: Plan(Arch.MOBILENET_V3_LARGE, size=128, pretrained_size=160, length=1.0),
        Preset.BEST: Plan(Arch.EFFICIENTNET_V2_B0, size=160, pretrained_size=224, length=1.5),
    }
)
"""ImageNet top-1 accuracy in Keras's tables, at 224 px: 68.1% and 75.6% (MobileNetV3), 78.7% (EfficientNetV2-B0).

``benchmarks/backbones.py`` has their speed; docs/measurements.md why these.
"""


def cnn(classes: int) -> keras.Model:
    """Our own network: small enough for a CPU, deep enough for product photos; it takes photos of any size.

    Two strided convolutions, then wider stages at 1/4, 1/8 and 1/16 of the size, two of them with a residual block.
    Every convolution is followed by batch norm and ReLU (He et al. 2016).
    """
    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = _conv_bn_relu(x, 32, strides=2)
    x = _conv_bn_relu(x, 64, strides=2)
    x = _halved(_conv_bn_relu(x, 96))
    x = _residual(x)
    x = _halved(_conv_bn_relu(x, 192))
    x = _residual(x)
    x = _conv_bn_relu(x, 320)
    x = layers.Dropout(_DROPOUT)(layers.GlobalAveragePooling2D(name="features")(x))
    return keras.Model(image, _with_head(x, classes), name="cnn")


def _conv_bn_relu(x: keras.KerasTensor, filters: int, strides: int = 1) -> keras.KerasTensor:
    convolution = layers.Conv2D(
        filters, 3, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(convolution(x)))


def _halved(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.MaxPooling2D(padding="same")(x)


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    filters = x.shape[-1]
    return layers.Add()([x, _conv_bn_relu(_conv_bn_relu(x, filters), filters)])


def simple(size: int, classes: int) -> keras.Model:
    """The classic recipe of the first chapters: three blocks of convolution and pooling, then dense layers.

    It is no ``keras.Sequential``: one that was loaded has outputs of its layers that do not hang together.
    """
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 255)(image)
    for filters in (32, 64, 128):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, activation="relu", padding="same")(x))
    x = layers.Dense(128, activation="relu", name="features")(layers.Flatten()(x))
    return keras.Model(image, _with_head(x, classes), name="simple")


def transfer(arch: Arch, size: int, classes: int, alpha: float) -> keras.Model:
    """A family of ``keras.applications``, of 32 px or more; ``alpha`` is the width of those that have one."""
    body = published_body(arch, size, alpha)
    features = layers.GlobalAveragePooling2D(name="features")(body.output)
    x = layers.Dropout(_DROPOUT, name="dropout")(features)
    return keras.Model(body.inputs[0], _with_head(x, classes), name=arch.value)


def published_body(arch: Arch, size: int, alpha: float) -> keras.Model:
    """Pixels in 0..255 → maps ``(batch, h, w, c)``: the layers whose weights are published, and scaling before them."""
    image = keras.Input((size, size, 3), name="image")
    make, scale, options = _FAMILIES[arch]
    options = {**options, "alpha": alpha} if arch.alphas else options
    return make(include_top=False, weights=None, input_tensor=scale(image), input_shape=(size, size, 3), **options)


def _to_plus_minus_one(image: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(image)


def _as_it_is(image: keras.KerasTensor) -> keras.KerasTensor:
    return image


_SCALES_ITSELF: Final = {"include_preprocessing": True}
_FAMILIES: Final[Mapping[Arch, tuple[Any, Any, dict[str, Any]]]] = MappingProxyType(
    {
        Arch.MOBILENET: (applications.MobileNet, _to_plus_minus_one, {}),
        Arch.MOBILENET_V2: (applications.MobileNetV2, _to_plus_minus_one, {}),
        Arch.MOBILENET_V3_SMALL: (applications.MobileNetV3Small, _as_it_is, _SCALES_ITSELF),
        Arch.MOBILENET_V3_LARGE: (applications.MobileNetV3Large, _as_it_is, _SCALES_ITSELF),
        Arch.EFFICIENTNET_V2_B0: (applications.EfficientNetV2B0, _as_it_is, _SCALES_ITSELF),
        Arch.RESNET50_V2: (applications.ResNet50V2, _to_plus_minus_one, {}),
    }
)


def _with_head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")  # noqa: PLR2004 - binary
    return layers.Activation(activation, name="probabilities")(layers.Dense(units, name="logits")(x))
