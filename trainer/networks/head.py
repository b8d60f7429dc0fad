"""What every network ends in."""

import keras
from keras import layers

__all__ = ["head"]


def head(classes: int) -> list[keras.Layer]:
    """The layers ``logits`` and ``probabilities``; a sigmoid for two classes, else a softmax."""
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")  # noqa: PLR2004 - binary
    return [layers.Dense(units, name="logits"), layers.Activation(activation, name="probabilities")]
