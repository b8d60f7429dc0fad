"""Any of a bundle's models behind the graph that fits a photo: ``edge.onnx``."""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from exporter.edge.fit_graph import OPSET, PIXELS, fit_graph
from exporter.edge.nodes import Nodes
from models.errors import ParityError
from models.manifest import METADATA_KEY, ModelMetadata, parse_metadata
from models.preprocess import PreprocessSpec

__all__ = ["edge_graph"]

_MODEL: Final = "model/"
"""Before every name of the model, so that none is also one of the graph before it."""


def edge_graph(model: bytes, spec: PreprocessSpec) -> bytes:
    """Put resizing and fitting before a model, and the answer after it.

    Args:
        model: an ONNX file; input ``image``, ``uint8 [batch, S, S, 3]``; outputs ``probabilities``, ``[batch,
            classes]``, and maybe ``unknown``, ``[batch]``. It may compute with integers or with half precision.
        spec: the model's; its thresholds are in the file's metadata.

    Returns:
        An ONNX file as :class:`models.edge.EdgeModel` takes it, with the model's metadata.

    Raises:
        ParityError: it is no such model, or the graph that came of it is no valid ONNX.
    """
    inner = onnx.load_from_string(model)
    _check_fits(inner, spec)
    inner = compose.add_prefix(inner, _MODEL)
    fit = fit_graph(spec).graph
    answer = _Answer(inner.graph, _rules_of(inner))
    graph = helper.make_graph(
        [*fit.node, helper.make_node("Identity", [PIXELS], [f"{_MODEL}image"]), *inner.graph.node, *answer.nodes],
        inner.graph.name,
        fit.input,
        answer.outputs,
        [*fit.initializer, *inner.graph.initializer, *answer.constants],
        sparse_initializer=inner.graph.sparse_initializer,
    )
    graph.quantization_annotation.extend(inner.graph.quantization_annotation)
    return _checked(inner, graph)


def _check_fits(model: onnx.ModelProto, spec: PreprocessSpec) -> None:
    shapes = {value.name: _shape(value) for value in model.graph.input}
    wanted = [spec.size, spec.size, 3]
    if list(shapes) != ["image"] or shapes["image"][1:] != wanted:
        msg = f"Expected a model that takes image [batch, {', '.join(map(str, wanted))}], got {shapes}."
        raise ParityError(msg)
    opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    if opset < OPSET:
        msg = f"Expected a model of ONNX opset {OPSET} or later, got {opset}; export it again."
        raise ParityError(msg)


def _rules_of(model: onnx.ModelProto) -> ModelMetadata:
    told = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY not in told:
        msg = f"Expected a model that carries {METADATA_KEY} metadata, with the thresholds of its classes; it has none."
        raise ParityError(msg)
    return parse_metadata(told[METADATA_KEY], "the model")


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


class _Answer:
    """What is made of the outputs that a model has for a batch of one photo."""

    def __init__(self, graph: onnx.GraphProto, rules: ModelMetadata) -> None:
        self._nodes = Nodes("answer/")
        given = {value.name.removeprefix(_MODEL): value for value in graph.output}
        self.outputs: list[onnx.ValueInfoProto] = []
        probabilities = self._squeezed(given["probabilities"])
        label = self._nodes.add("ArgMax", probabilities, axis=0, keepdims=0, select_last_index=0)
        self._give("label", label, TensorProto.INT64, [])
        confidence = self._nodes.add("Gather", probabilities, label, axis=0)
        self._give("confidence", confidence, TensorProto.FLOAT, [])
        self._give("probabilities", probabilities, TensorProto.FLOAT, _shape(given["probabilities"])[1:])
        unknown = self._squeezed(given["unknown"]) if "unknown" in given else None
        if unknown is not None:
            self._give("unknown", unknown, TensorProto.FLOAT, [])
        self._give("review", self._review(label, confidence, unknown, rules), TensorProto.BOOL, [])

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        return self._nodes.nodes

    @property
    def constants(self) -> list[onnx.TensorProto]:
        return self._nodes.constants

    def _review(self, label: str, confidence: str, unknown: str | None, rules: ModelMetadata) -> str:
        """As :class:`models.decision.Rules` has it: what is no number is within no limit."""
        thresholds = [np.inf if threshold is None else threshold for threshold in rules.thresholds]
        needed = self._nodes.add("Gather", self._nodes.constant(thresholds, np.float32), label, axis=0)
        sure = self._nodes.add("GreaterOrEqual", confidence, needed)
        if unknown is not None and rules.unknown is not None:
            limit = self._nodes.constant(rules.unknown.limit, np.float64)
            known = self._nodes.add("LessOrEqual", self._nodes.cast(unknown, TensorProto.DOUBLE), limit)
            sure = self._nodes.add("And", sure, known)
        return self._nodes.add("Not", sure)

    def _squeezed(self, value: onnx.ValueInfoProto) -> str:
        one = self._nodes.add("Squeeze", value.name, self._nodes.ints(0))
        return (
            one if value.type.tensor_type.elem_type == TensorProto.FLOAT else self._nodes.cast(one, TensorProto.FLOAT)
        )

    def _give(self, name: str, value: str, dtype: int, shape: list[int | str]) -> None:
        self._nodes.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))


def _checked(inner: onnx.ModelProto, graph: onnx.GraphProto) -> bytes:
    edge = helper.make_model(
        graph,
        producer_name="hangtag",
        opset_imports=inner.opset_import,
        ir_version=inner.ir_version,
        functions=inner.functions,
    )
    helper.set_model_props(edge, {entry.key: entry.value for entry in inner.metadata_props})
    try:
        onnx.checker.check_model(edge, full_check=True)
    except onnx.checker.ValidationError as error:
        msg = f"The edge graph is no valid ONNX, and nothing was published: {error}"
        raise ParityError(msg) from error
    return bytes(edge.SerializeToString())
