"""Which nodes of a graph are worth computing with integers."""

from collections.abc import Iterable, Mapping
from typing import Final

import onnx

__all__ = ["QUANTIZED", "body_nodes", "layers_of"]

_WEIGHTY: Final = frozenset({"Conv", "MatMul", "Gemm"})
QUANTIZED: Final = ("Conv", "MatMul", "Gemm", "Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat")
"""Operators for which ONNX Runtime has integer kernels that pay."""


def body_nodes(model: onnx.ModelProto) -> list[str]:
    """The nodes between the first layer with weights and the features, in the order of the graph.

    What comes before is the scaling of pixels. What comes after, logits, probabilities and the unknown score, is a
    thousandth of the work, and all of the decision: it stays in floating point.

    Args:
        model: has an output ``logits`` that a MatMul or Gemm gives from the features.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    features = _features(model, producers)
    after_first = _descendants(model, [node for node in model.graph.node if node.op_type in _WEIGHTY])
    before_features = _ancestors([features], producers)
    return [node.name for node in model.graph.node if node.name in after_first and node.name in before_features]


def layers_of(model: onnx.ModelProto, names: Iterable[str]) -> list[str]:
    """Those of some nodes that have weights: the ones whose rounding can hurt."""
    wanted = set(names)
    return [node.name for node in model.graph.node if node.name in wanted and node.op_type in _WEIGHTY]


def _features(model: onnx.ModelProto, producers: Mapping[str, onnx.NodeProto]) -> str:
    name = "logits"
    while producers[name].op_type not in {"MatMul", "Gemm"}:
        name = next(value for value in reversed(producers[name].input) if value in producers)
    return str(producers[name].input[0])


def _ancestors(values: list[str], producers: Mapping[str, onnx.NodeProto]) -> set[str]:
    found, waiting = set[str](), list(values)
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.input)
    return found


def _descendants(model: onnx.ModelProto, sources: Iterable[onnx.NodeProto]) -> set[str]:
    """The sources and all that depends on them; an ONNX graph lists its nodes in an order that can be computed."""
    found, values = set[str](), {name for node in sources for name in node.output}
    for node in model.graph.node:
        if values.intersection(node.input) or values.intersection(node.output):
            found.add(node.name)
            values.update(node.output)
    return found
