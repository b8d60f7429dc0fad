"""Our own network: small enough for a CPU, deep enough for product photos."""

import keras
from keras import layers

from trainer.networks.head import head

__all__ = ["cnn"]


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
