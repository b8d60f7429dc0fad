"""Builds ``edge.onnx``: a graph that fits a photo into the square, followed by the model."""

from dataclasses import replace
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from exporter.edge.resize_graph import Axis, Nodes, resized
from models.errors import ParityError
from models.fit import Fit
from models.manifest import ModelMetadata
from models.preprocess import PreprocessSpec

OPSET: Final = 18
_IR_VERSION: Final = 10
_PREFIX: Final = "fit/"
"""Prefix of every name inside the graph, except its input and its output."""
_MODEL: Final = "model/"
"""Prefix of every name inside the model, to avoid names of the resizing graph."""
PIXELS: Final = "pixels"
_WHITE: Final = 255
_CHANNELS: Final = 3


def fit_graph(spec: PreprocessSpec) -> onnx.ModelProto:
    """Build the graph that resizes a decoded photo by a spec's size and fit.

    Input ``image``, ``uint8 [height, width, 3]``: upright, opaque sRGB, of any size. Output ``pixels``, ``uint8 [1, S,
    S, 3]``: the same pixels as from Pillow.
    """
    nodes = Nodes(_PREFIX)
    square = _square(nodes, spec)
    nodes.nodes.append(helper.make_node("Reshape", [square, nodes.ints(1, spec.size, spec.size, _CHANNELS)], [PIXELS]))
    graph = helper.make_graph(
        nodes.nodes,
        "fit",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", _CHANNELS])],
        [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [1, spec.size, spec.size, _CHANNELS])],
        nodes.constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, producer_name="hangtag", opset_imports=[opset], ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _square(nodes: Nodes, spec: PreprocessSpec) -> str:
    shape = nodes.add("Shape", "image")
    height, width = (nodes.slice(shape, nodes.ints(axis), nodes.ints(axis + 1), 0) for axis in (0, 1))
    side = nodes.ints(spec.size)
    rows, columns = (Axis(length=length, first=nodes.ints(0), extent=length, out=side) for length in (height, width))
    image = "image"
    match spec.fit:
        case Fit.PAD:
            longest = nodes.add("Max", height, width)
            rows, columns = (replace(axis, out=_inside(nodes, axis.length, longest, side)) for axis in (rows, columns))
        case Fit.CROP:
            image, rows, columns = _middle(nodes, height, width, side)
        case Fit.STRETCH:
            pass
    fitted = resized(nodes, image, rows, columns, _tall(nodes, (height, rows.out), (width, columns.out)))
    return _padded(nodes, fitted, rows.out, columns.out, side) if spec.fit is Fit.PAD else fitted


def _tall(nodes: Nodes, height: tuple[str, str], width: tuple[str, str]) -> str:
    """Whether Pillow (since 13) resizes the height first: if it loses over twice as many pixels as the width."""
    lower, narrower = (nodes.add("Sub", *before_after) for before_after in (height, width))
    limit = nodes.add("Max", nodes.add("Mul", narrower, nodes.ints(2)), nodes.ints(0))
    return nodes.add("Squeeze", nodes.add("Greater", lower, limit))


def _inside(nodes: Nodes, length: str, longest: str, side: str) -> str:
    scaled, longest = (nodes.cast(size, TensorProto.DOUBLE) for size in (nodes.add("Mul", length, side), longest))
    rounded = nodes.cast(nodes.add("Round", nodes.add("Div", scaled, longest)), TensorProto.INT64)
    return nodes.add("Max", rounded, nodes.ints(1))


def _padded(nodes: Nodes, image: str, height: str, width: str, side: str) -> str:
    missing = [nodes.add("Sub", side, length) for length in (height, width)]
    before = [nodes.add("Div", size, nodes.ints(2)) for size in missing]
    after = [nodes.add("Sub", size, half) for size, half in zip(missing, before, strict=True)]
    none = nodes.ints(0)
    pads = nodes.add("Concat", *before, none, *after, none, axis=0)
    return nodes.add("Pad", image, pads, nodes.constant(_WHITE, np.uint8))


def _middle(nodes: Nodes, height: str, width: str, side: str) -> tuple[str, Axis, Axis]:
    short = nodes.add("Min", height, width)
    scale = nodes.add("Div", *(nodes.cast(size, TensorProto.DOUBLE) for size in (short, side)))
    around = nodes.add("Add", nodes.whole_up(scale), nodes.ints(2))
    image, axes = "image", []
    for axis, length in enumerate((height, width)):
        begin = nodes.add("Div", nodes.add("Sub", length, short), nodes.ints(2))
        start = nodes.add("Max", nodes.add("Sub", begin, around), nodes.ints(0))
        end = nodes.add("Min", nodes.add("Add", nodes.add("Add", begin, short), around), length)
        image = nodes.slice(image, start, end, axis)
        left = nodes.add("Sub", begin, start)
        axes.append(Axis(length=nodes.add("Sub", end, start), first=left, extent=short, out=side))
    return image, axes[0], axes[1]


def edge_graph(model: bytes, metadata: ModelMetadata) -> bytes:
    """Add resizing before a model, and the decision after it; see :class:`models.classifier.EdgeModel`.

    The model has an input ``image``, ``uint8 [batch, S, S, 3]``, and outputs ``probabilities``, ``[batch, classes]``,
    and optionally ``unknown``, ``[batch]``. The model may be int8. Raises ParityError.
    """
    inner = compose.add_prefix(onnx.load_from_string(model), _MODEL)
    fit = fit_graph(metadata.preprocess).graph
    answer = Nodes("answer/")
    outputs = _answer(answer, inner.graph, metadata)
    graph = helper.make_graph(
        [*fit.node, helper.make_node("Identity", [PIXELS], [f"{_MODEL}image"]), *inner.graph.node, *answer.nodes],
        inner.graph.name,
        fit.input,
        outputs,
        [*fit.initializer, *inner.graph.initializer, *answer.constants],
    )
    graph.quantization_annotation.extend(inner.graph.quantization_annotation)
    return _checked(inner, graph)


def _answer(nodes: Nodes, graph: onnx.GraphProto, rules: ModelMetadata) -> list[onnx.ValueInfoProto]:
    values = {value.name.removeprefix(_MODEL): value for value in graph.output}
    classes = values["probabilities"].type.tensor_type.shape.dim[1].dim_value
    probabilities = nodes.add("Squeeze", values["probabilities"].name, nodes.ints(0))
    label = nodes.add("ArgMax", probabilities, axis=0, keepdims=0, select_last_index=0)
    confidence = nodes.add("Gather", probabilities, label, axis=0)
    unknown = nodes.add("Squeeze", values["unknown"].name, nodes.ints(0)) if "unknown" in values else None
    outputs = {
        "label": (label, TensorProto.INT64, []),
        "confidence": (confidence, TensorProto.FLOAT, []),
        "probabilities": (probabilities, TensorProto.FLOAT, [classes]),
        **({} if unknown is None else {"unknown": (unknown, TensorProto.FLOAT, [])}),
        "review": (_review(nodes, label, confidence, unknown, rules), TensorProto.BOOL, []),
    }
    nodes.nodes += [helper.make_node("Identity", [value], [name]) for name, (value, _, _) in outputs.items()]
    return [helper.make_tensor_value_info(name, dtype, shape) for name, (_, dtype, shape) in outputs.items()]


def _review(nodes: Nodes, label: str, confidence: str, unknown: str | None, rules: ModelMetadata) -> str:
    thresholds = [np.inf if threshold is None else threshold for threshold in rules.thresholds]
    needed = nodes.add("Gather", nodes.constant(thresholds, np.float32), label, axis=0)
    sure = nodes.add("GreaterOrEqual", confidence, needed)
    if unknown is not None and rules.unknown is not None:
        limit = nodes.constant(rules.unknown.limit, np.float64)
        known = nodes.add("LessOrEqual", nodes.cast(unknown, TensorProto.DOUBLE), limit)
        sure = nodes.add("And", sure, known)
    return nodes.add("Not", sure)


def _checked(inner: onnx.ModelProto, graph: onnx.GraphProto) -> bytes:
    edge = helper.make_model(
        graph,
        producer_name="hangtag",
        opset_imports=inner.opset_import,
        ir_version=inner.ir_version,
    )
    helper.set_model_props(edge, {entry.key: entry.value for entry in inner.metadata_props})
    try:
        onnx.checker.check_model(edge, full_check=True)
    except onnx.checker.ValidationError as error:
        msg = f"The edge graph is not valid ONNX: {error} Nothing was published."
        raise ParityError(msg) from error
    return bytes(edge.SerializeToString())
