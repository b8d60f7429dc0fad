"""What Keras's ConvNeXt needs, to be quick on a CPU and to be convertible.

Its depthwise layers are grouped convolutions, which TensorFlow compiles for each call: depthwise layers of the same
weights train ten times faster. And neither those nor the function behind its GELU have a place in ONNX.
"""

import math
from typing import Any

import keras
from keras import layers, ops

__all__ = ["plain", "pooled"]


def plain(body: keras.Model) -> keras.Model:
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


def pooled(body: keras.Model) -> keras.KerasTensor:
    """Features ``(batch, D)`` of a body without pooling.

    ConvNeXt's last norm comes after the pooling (Liu et al. 2022, and Keras with ``pooling="avg"``); a body without
    pooling has it before.
    """
    norm = body.layers[-1]
    maps = layers.Activation("linear", name="maps")(norm.input)
    pool = layers.GlobalAveragePooling2D(name="pool")(maps)
    return layers.LayerNormalization(epsilon=norm.epsilon, name="features")(pool)
