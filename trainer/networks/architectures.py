"""The families of ``keras.applications``, each with the scaling of pixels that it was trained with.

The body's layers lie in the one functional model, so that heat maps, layer groups, saving and conversion see them.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import keras
from keras import applications, layers, ops

from trainer.request import Arch

__all__ = ["cnn", "convertible_convnext", "head", "pooled_convnext", "published_body", "simple", "transfer"]


def head(classes: int) -> list[keras.Layer]:
    """The layers ``logits`` and ``probabilities``; a sigmoid for two classes, else a softmax."""
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")  # noqa: PLR2004 - binary
    return [layers.Dense(units, name="logits"), layers.Activation(activation, name="probabilities")]


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
        body = convertible_convnext(body)
        features = pooled_convnext(body)
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


def cnn(classes: int) -> keras.Model:
    """Two strided convolutions, then wider stages at 1/4, 1/8 and 1/16 of the size, two of them with a residual block.

    Every convolution is followed by batch norm and ReLU (He et al. 2016). It takes photos of any size, so that it may
    learn from smaller ones first.

    Args:
        classes: at least 2.
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
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D(name="features")(x))
    for layer in head(classes):
        x = layer(x)
    return keras.Model(image, x, name="cnn")


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
    """Three blocks of convolution and pooling, then dense layers.

    It is no ``keras.Sequential``: one that was loaded has outputs of its layers that do not hang together.
    """
    blocks = [
        layer
        for filters in (32, 64, 128)
        for layer in (layers.Conv2D(filters, 3, activation="relu", padding="same"), layers.MaxPooling2D())
    ]
    features = layers.Dense(128, activation="relu", name="features")
    image = x = keras.Input((size, size, 3), name="image")
    for layer in (layers.Rescaling(1 / 255), *blocks, layers.Flatten(), features, *head(classes)):
        x = layer(x)
    return keras.Model(image, x, name="simple")


def convertible_convnext(body: keras.Model) -> keras.Model:
    """The same network of other layers, with weights of its own."""
    return keras.models.clone_model(body, clone_function=_plain_layer, call_function=_plain_call)


def _plain_layer(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, layers.Conv2D) and layer.groups > 1:
        return layers.DepthwiseConv2D(layer.kernel_size, padding=layer.padding, name=layer.name)
    return type(layer).from_config(layer.get_config())


def _plain_call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - Keras's own
    if isinstance(operation, layers.Activation) and operation.activation is keras.activations.gelu:
        (x,) = args
        return x * (ops.erf(x * math.sqrt(0.5)) * 0.5 + 0.5)
    return operation(*args, **kwargs)


def pooled_convnext(body: keras.Model) -> keras.KerasTensor:
    """Features ``(batch, D)`` of a body without pooling.

    ConvNeXt's last norm comes after the pooling (Liu et al. 2022, and Keras with ``pooling="avg"``); a body without
    pooling has it before.
    """
    norm = body.layers[-1]
    maps = layers.Activation("linear", name="maps")(norm.input)
    pool = layers.GlobalAveragePooling2D(name="pool")(maps)
    return layers.LayerNormalization(epsilon=norm.epsilon, name="features")(pool)
