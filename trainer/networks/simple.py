"""The classic recipe of the first chapters."""

import keras
from keras import layers

from trainer.networks.head import head

__all__ = ["simple"]


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
