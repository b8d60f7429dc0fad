"""A graph that does to a decoded photo what :func:`models.preprocess.preprocess` does, with ``decode=full``."""

from dataclasses import replace
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from exporter.edge.nodes import Nodes
from exporter.edge.resize_graph import Axis, resized
from models.fit import Fit
from models.preprocess import PreprocessSpec

__all__ = ["OPSET", "PIXELS", "fit_graph"]

OPSET: Final = 18
_IR_VERSION: Final = 10
_PREFIX: Final = "fit/"
"""Of every name inside the graph, but for its input and its output."""
PIXELS: Final = "pixels"
_WHITE: Final = 255
_CHANNELS: Final = 3


def fit_graph(spec: PreprocessSpec) -> onnx.ModelProto:
    """The graph of one spec.

    Args:
        spec: its size and its fit; the photo is decoded already.

    Returns:
        Input ``image``, ``uint8 [height, width, 3]``: upright, opaque sRGB, of any size. Output ``pixels``, ``uint8
        [1, S, S, 3]``: to the pixel what Pillow makes of such a photo.
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
    image, rows, columns = "image", _whole(nodes, height, side), _whole(nodes, width, side)
    match spec.fit:
        case Fit.PAD:
            longest = nodes.add("Max", height, width)
            rows, columns = (replace(axis, out=_inside(nodes, axis.length, longest, side)) for axis in (rows, columns))
        case Fit.CROP:
            image, rows, columns = _middle(nodes, height, width, side)
        case Fit.STRETCH:
            pass
    made = resized(nodes, image, rows, columns, _tall(nodes, (height, rows.out), (width, columns.out)))
    return _padded(nodes, made, rows.out, columns.out, side) if spec.fit is Fit.PAD else made


def _tall(nodes: Nodes, height: tuple[str, str], width: tuple[str, str]) -> str:
    """Whether the height shrinks by more than twice the pixels that the width shrinks by: Pillow's rule."""
    lower, narrower = (nodes.add("Sub", *before_after) for before_after in (height, width))
    limit = nodes.add("Max", nodes.add("Mul", narrower, nodes.ints(2)), nodes.ints(0))
    return nodes.add("Squeeze", nodes.add("Greater", lower, limit))


def _whole(nodes: Nodes, length: str, out: str) -> Axis:
    return Axis(length=length, first=nodes.ints(0), extent=length, out=out)


def _inside(nodes: Nodes, length: str, longest: str, side: str) -> str:
    """As the preprocessing's own: halves to the even number, and never less than a pixel."""
    wanted, longest = (nodes.cast(size, TensorProto.DOUBLE) for size in (nodes.add("Mul", length, side), longest))
    rounded = nodes.cast(nodes.add("Round", nodes.add("Div", wanted, longest)), TensorProto.INT64)
    return nodes.add("Max", rounded, nodes.ints(1))


def _padded(nodes: Nodes, image: str, height: str, width: str, side: str) -> str:
    """White around it; what is odd goes below and to the right."""
    missing = [nodes.add("Sub", side, length) for length in (height, width)]
    before = [nodes.add("Div", size, nodes.ints(2)) for size in missing]
    after = [nodes.add("Sub", size, half) for size, half in zip(missing, before, strict=True)]
    none = nodes.ints(0)
    pads = nodes.add("Concat", *before, none, *after, none, axis=0)
    return nodes.add("Pad", image, pads, nodes.constant(_WHITE, np.uint8))


def _middle(nodes: Nodes, height: str, width: str, side: str) -> tuple[str, Axis, Axis]:
    """The middle square with as much around it as its outermost pixels are made of."""
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
