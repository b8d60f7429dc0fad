"""The families of ``keras.applications``, each with the scaling of pixels that it was trained with.

The body's layers lie in the one functional model, so that heat maps, layer groups, saving and conversion see them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import keras
from keras import applications, layers

from trainer.arch import Arch
from trainer.networks import convnext
from trainer.networks.head import head

__all__ = ["published_body", "transfer"]

_DROPOUT: Final = 0.2


def transfer(arch: Arch, size: int, classes: int, alpha: float) -> keras.Model:
    """A network with random weights.

    Args:
        arch: one of ``keras.applications``.
        size: side S of the input in pixels, 32 or more.
        classes: at least 2.
        alpha: width multiplier, of those that have one.
    """
    body = published_body(arch, size, alpha)
    if arch == Arch.CONVNEXT_TINY:
        body = convnext.plain(body)
        features = convnext.pooled(body)
    else:
        features = layers.GlobalAveragePooling2D(name="features")(body.output)
    x = layers.Dropout(_DROPOUT, name="dropout")(features)
    for layer in head(classes):
        x = layer(x)
    return keras.Model(body.inputs[0], x, name=arch.value)


def published_body(arch: Arch, size: int, alpha: float) -> keras.Model:
    """Pixels in 0..255 → maps ``(batch, h, w, c)``: the layers whose weights are published, and scaling before them."""
    image = keras.Input((size, size, 3), name="image")
    make, scale, options = _FAMILIES[arch]
    options = {**options, "alpha": alpha} if arch.alphas else options
    return make(include_top=False, weights=None, input_tensor=scale(image), input_shape=(size, size, 3), **options)


def _to_plus_minus_one(image: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(image)


def _to_caffe(image: keras.KerasTensor) -> keras.KerasTensor:
    """Blue, green, red, less ImageNet's means (Simonyan & Zisserman 2015)."""
    return layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68], name="scaling")(keras.ops.flip(image, axis=-1))


def _as_it_is(image: keras.KerasTensor) -> keras.KerasTensor:
    """For a family that scales pixels itself."""
    return image


_FAMILIES: Final[Mapping[Arch, tuple[Any, Any, dict[str, Any]]]] = MappingProxyType(
    {
        Arch.MOBILENET: (applications.MobileNet, _to_plus_minus_one, {}),
        Arch.MOBILENET_V2: (applications.MobileNetV2, _to_plus_minus_one, {}),
        Arch.MOBILENET_V3_SMALL: (applications.MobileNetV3Small, _as_it_is, {"include_preprocessing": True}),
        Arch.MOBILENET_V3_LARGE: (applications.MobileNetV3Large, _as_it_is, {"include_preprocessing": True}),
        Arch.EFFICIENTNET_V2_B0: (applications.EfficientNetV2B0, _as_it_is, {"include_preprocessing": True}),
        Arch.RESNET50_V2: (applications.ResNet50V2, _to_plus_minus_one, {}),
        Arch.VGG16: (applications.VGG16, _to_caffe, {}),
        Arch.CONVNEXT_TINY: (applications.ConvNeXtTiny, _as_it_is, {"include_preprocessing": True}),
    }
)
