"""Weights that take half the room: for downloads, and for what a quantized model keeps in floating point."""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["with_half_weights"]

_WORTH_IT: Final = 4096
"""Arrays with fewer numbers are left alone."""
_LARGEST: Final = 65_504.0


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Keep large arrays as float16 and compute with them as float32 all the same.

    ONNX Runtime widens them once, when it loads the model: nothing is quicker, nothing slower, and every processor gives
    the same answers. An array with a number that float16 cannot hold stays as it is.

    Args:
        model: left as it is.
    """
    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    graph = smaller.graph
    chosen = [array for array in graph.initializer if _can_be_half(array)]
    for array in chosen:
        numbers = numpy_helper.to_array(array).astype(np.float16)
        name = array.name
        array.CopyFrom(numpy_helper.from_array(numbers, f"{name}/half"))
        graph.node.insert(0, helper.make_node("Cast", [f"{name}/half"], [name], f"{name}/widen", to=TensorProto.FLOAT))
    return smaller


def _can_be_half(array: onnx.TensorProto) -> bool:
    if array.data_type != TensorProto.FLOAT or np.prod(array.dims) < _WORTH_IT:
        return False
    return bool(np.abs(numpy_helper.to_array(array)).max() <= _LARGEST)
