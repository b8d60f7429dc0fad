"""The networks. Each takes pixels ``(batch, S, S, 3)`` in 0..255 and gives probabilities.

Two classes: one sigmoid unit, ``(batch, 1)``, the probability of the second class. More: softmax, ``(batch, classes)``.
The last two layers are named ``logits`` and ``probabilities`` in every architecture.
"""

from typing import Any, Final, assert_never

import keras
from keras import layers

from trainer.arch import Arch

__all__ = ["build_network", "compile_network"]

_WARM_UP: Final = 0.1


def build_network(arch: Arch, size: int, classes: int) -> keras.Model:
    """A network with random weights.

    Args:
        arch: which one.
        size: side S of the input in pixels.
        classes: at least 2.
    """
    match arch:
        case Arch.CNN:
            return _cnn(size, classes)
        case Arch.SIMPLE:
            return _simple(size, classes)
    assert_never(arch)


def _head(classes: int) -> list[keras.Layer]:
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")  # noqa: PLR2004 - binary
    return [layers.Dense(units, name="logits"), layers.Activation(activation, name="probabilities")]


def _simple(size: int, classes: int) -> keras.Model:
    """The classic recipe of the first chapters: three blocks of convolution and pooling, then dense layers."""
    blocks = [
        layer
        for filters in (32, 64, 128)
        for layer in (layers.Conv2D(filters, 3, activation="relu", padding="same"), layers.MaxPooling2D())
    ]
    body = [layers.Rescaling(1 / 255), *blocks, layers.Flatten(), layers.Dense(128, activation="relu")]
    return keras.Sequential([keras.Input((size, size, 3), name="image"), *body, *_head(classes)], name="simple")


def _cnn(size: int, classes: int) -> keras.Model:
    """Five stages of convolution, batch norm and ReLU, the first with stride 2, then global average pooling."""
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = _conv_bn_relu(x, 32, strides=2)
    x = _conv_bn_relu(x, 64)
    x = layers.MaxPooling2D(4, padding="same")(x)
    x = _conv_bn_relu(x, 128)
    x = layers.MaxPooling2D(padding="same")(x)
    x = _conv_bn_relu(x, 192)
    x = layers.MaxPooling2D(padding="same")(x)
    x = _conv_bn_relu(x, 256)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    for layer in _head(classes):
        x = layer(x)
    return keras.Model(image, x, name="cnn")


def _conv_bn_relu(x: keras.KerasTensor, filters: int, strides: int = 1) -> keras.KerasTensor:
    convolution = layers.Conv2D(
        filters, 3, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(convolution(x)))


def compile_network(network: keras.Model, arch: Arch, classes: int, total_steps: int) -> None:
    """Give a network its loss, optimizer and learning-rate schedule.

    ``simple`` has Adam at its default rate. ``cnn`` has AdamW (Loshchilov & Hutter 2019) with a linear warm-up and
    cosine decay over the whole training, and label smoothing 0.1 (Szegedy et al. 2016).
    """
    binary = classes == 2  # noqa: PLR2004
    smoothing = 0.0 if arch == Arch.SIMPLE else 0.1
    loss = (keras.losses.BinaryCrossentropy if binary else keras.losses.CategoricalCrossentropy)(
        label_smoothing=smoothing
    )
    accuracy = (keras.metrics.BinaryAccuracy if binary else keras.metrics.CategoricalAccuracy)(name="accuracy")
    network.compile(optimizer=_optimizer(arch, total_steps), loss=loss, metrics=[accuracy])


def _optimizer(arch: Arch, total_steps: int) -> keras.Optimizer:
    if arch == Arch.SIMPLE:
        return keras.optimizers.Adam()
    warm_up = max(1, int(_WARM_UP * total_steps))
    rate = keras.optimizers.schedules.CosineDecay(
        1e-5, max(1, total_steps - warm_up), alpha=0.0, warmup_target=2e-3, warmup_steps=warm_up
    )
    return SparingAdamW(rate, weight_decay=0.05)


@keras.saving.register_keras_serializable(package="hangtag")
class SparingAdamW(keras.optimizers.AdamW):
    """AdamW that decays no bias and no batch norm; Keras forgets such exclusions when it saves an optimizer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Keras's own
        super().__init__(*args, **kwargs)
        self.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
