"""A network whose weights take half the room: for devices that compute with float16, and for downloads."""

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from exporter.int8.body import body_nodes
from exporter.load_tensorflow import silent_stderr

__all__ = ["to_float16"]


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert the body of a network; pixels, logits and unknown score stay float32.

    On a processor without float16 arithmetic ONNX Runtime widens the weights when it loads them: the answers are the
    same, nothing is quicker.

    Args:
        model: ends in ``logits``; left as it is.
    """
    body = set(body_nodes(model))
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    others = [node.name for node in copy.graph.node if node.name not in body]
    with silent_stderr():
        half = OnnxModel(convert_float_to_float16(copy, keep_io_types=True, node_block_list=others))
        _drop_repeated(half.model.graph)
        half.topological_sort()
    return half.model


def _drop_repeated(graph: onnx.GraphProto) -> None:
    """The converter widens a value once for each node that wants it, under one name."""
    seen = set[str]()
    for node in list(graph.node):
        if seen.issuperset(node.output):
            graph.node.remove(node)
        seen.update(node.output)
