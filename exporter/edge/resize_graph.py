"""ONNX operations that give exactly the pixels of Pillow's antialiased bilinear resize.

As in Pillow's ``libImaging/Resample.c``, each output pixel is a weighted mean of input pixels. The weights form a
triangle as wide as the scale, and have 22 bits. The first axis is resized and rounded to 8 bits, then the other axis.
Weights are never negative, so each weight is three unsigned bytes, whose products never saturate. ``MatMulInteger``
thus computes the same sums as Pillow. ONNX's own ``Resize`` differs in 1 to 2% of the pixels.

A weight matrix for a whole axis would be nearly all zeros. So a loop computes a few output pixels at a time, from the
pixels that they need.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import count
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

_INT64: Final = onnx.TensorProto.INT64


class Nodes:
    """Builds a graph. Each method adds a node or a constant, and returns the name of its output."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers: Iterator[int] = count()
        self._known: dict[tuple[bytes, str, tuple[int, ...]], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def inside(self) -> "Nodes":
        """Nodes for the body of a loop. The body can read nodes and constants outside the loop."""
        body = Nodes(self._prefix)
        body._numbers, body._known, body.constants = self._numbers, self._known, self.constants
        return body

    def name(self, what: str) -> str:
        """An unused name."""
        return f"{self._prefix}{what}_{next(self._numbers)}"

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """A constant tensor."""
        array = np.array(value, dtype)
        key = (array.tobytes(), array.dtype.str, array.shape)
        if key not in self._known:
            self._known[key] = self.name("constant")
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def ints(self, *values: int) -> str:
        """An ``int64 [n]``, the type of sizes and axes."""
        return self.constant(values, np.int64)

    def add(self, op: str, *inputs: str, **attributes: int | Sequence[int] | onnx.GraphProto) -> str:
        """An operation with one output."""
        return self.split(op, 1, *inputs, **attributes)[0]

    def split(
        self, op: str, outputs: int, *inputs: str, **attributes: int | Sequence[int] | onnx.GraphProto
    ) -> list[str]:
        """An operation with several outputs."""
        names = [self.name(op) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=names[0], **attributes))
        return names

    def cast(self, value: str, dtype: int) -> str:
        """Convert a tensor to another type. Fractions are cut off, towards zero."""
        return self.add("Cast", value, to=dtype)

    def slice(self, value: str, start: str, end: str, axis: int) -> str:
        """A part of a tensor along one axis."""
        return self.add("Slice", value, start, end, self.ints(axis))

    def whole_up(self, value: str) -> str:
        """Round up to ``int64``."""
        return self.cast(self.add("Ceil", value), _INT64)

    def whole_down(self, value: str) -> str:
        """Round down to ``int64``."""
        return self.cast(self.add("Floor", value), _INT64)

    def range(self, length: str) -> str:
        """The integers 0 to ``length - 1``, ``int64 [length]``; ``length`` is a tensor ``int64 [1]``."""
        end = self.add("Squeeze", length)
        return self.add("Range", self.constant(0, np.int64), end, self.constant(1, np.int64))


_CHANNELS: Final = 3
_STEP: Final = 8
"""Output pixels per iteration of the loop. 8 was faster than 4 and 16, for photos of 400×533 to 4000×3000 pixels."""
_PRECISION_BITS: Final = 22
_BYTE: Final = 256
_TINY: Final = 1e-9


@dataclass(frozen=True)
class Axis:
    """The resizing of one axis of a photo. Each field is the name of a tensor ``[1]``.

    Attributes:
        length: size of the photo in pixels, ``int64``.
        first: first pixel of the resized part, ``int64``.
        extent: size of the resized part, ``int64``. As in Pillow, pixels just outside this part also have weights.
        out: size of the result in pixels, ``int64``.
    """

    length: str
    first: str
    extent: str
    out: str


@dataclass(frozen=True)
class _Scale:
    """Values that all iterations of the loop share.

    Attributes:
        scale: input pixels per output pixel, ``float64 [1]``.
        support: half the width of the triangle filter, ``float64 [1]``.
        band: the largest number of input pixels for ``_STEP`` output pixels, ``int64 [1]``.
        places: the integers 0 to ``band - 1``, ``int64 [band]``.
    """

    scale: str
    support: str
    band: str
    places: str


def resized(nodes: Nodes, image: str, rows: Axis, columns: Axis, tall: str) -> str:
    """Resize ``uint8 [height, width, 3]``. ``tall``, a ``bool`` scalar: resize the height first."""
    first, second = _chosen(nodes, tall, rows, columns), _chosen(nodes, tall, columns, rows)
    one, three = nodes.ints(1), nodes.ints(_CHANNELS)
    row = nodes.add("Mul", columns.length, three)
    out_row = nodes.add("Mul", columns.out, three)

    def shaped(value: str, if_tall: tuple[str, ...], if_not: tuple[str, ...]) -> str:
        shapes = (nodes.add("Concat", *shape, axis=0) for shape in (if_tall, if_not))
        return nodes.add("Reshape", value, nodes.add("Where", tall, *shapes))

    whole = shaped(image, (one, rows.length, row), (rows.length, columns.length, three))
    half = _resized_axis(nodes, whole, first, nodes.add("Where", tall, row, three))
    apart = shaped(half, (rows.out, columns.length, three), (out_row, rows.length, one))
    last = _resized_axis(nodes, apart, second, nodes.add("Where", tall, three, one))
    turned = nodes.add("Transpose", shaped(last, (out_row, rows.out), (one, nodes.ints(-1))), perm=[1, 0])
    return nodes.add("Reshape", turned, nodes.add("Concat", rows.out, columns.out, three, axis=0))


def _chosen(nodes: Nodes, tall: str, if_tall: Axis, if_not: Axis) -> Axis:
    return Axis(*(nodes.add("Where", tall, *pair) for pair in zip(astuple(if_tall), astuple(if_not), strict=True)))


def _resized_axis(nodes: Nodes, pixels: str, axis: Axis, channels: str) -> str:
    """From ``uint8 [n, length, channels]`` to ``uint8 [out, channels · n]``; ``channels`` names an ``int64 [1]``."""
    scale = _scale(nodes, axis)
    turns = nodes.add("Div", nodes.add("Add", axis.out, nodes.ints(_STEP - 1)), nodes.ints(_STEP))
    body = _body(nodes.inside(), pixels, axis, scale, channels)
    steps = nodes.add("Loop", nodes.add("Squeeze", turns), "", body=body)  # [turns, _STEP, channels · n]
    shape = nodes.add("Concat", nodes.add("Mul", turns, nodes.ints(_STEP)), nodes.ints(-1), axis=0)
    return nodes.slice(nodes.add("Reshape", steps, shape), nodes.ints(0), axis.out, 0)


def _scale(nodes: Nodes, axis: Axis) -> _Scale:
    extent, out = (nodes.cast(size, TensorProto.DOUBLE) for size in (axis.extent, axis.out))
    scale = nodes.add("Div", extent, out)
    support = nodes.add("Max", scale, nodes.constant([1.0], np.float64))
    width = nodes.add(
        "Add",
        nodes.add("Mul", scale, nodes.constant([float(_STEP)], np.float64)),
        nodes.add("Mul", support, nodes.constant([2.0], np.float64)),
    )
    band = nodes.add("Min", axis.length, nodes.add("Add", nodes.whole_up(width), nodes.ints(2)))
    return _Scale(scale, support, band, nodes.range(band))


def _body(nodes: Nodes, pixels: str, axis: Axis, scale: _Scale, channels: str) -> onnx.GraphProto:
    turn, going, still = (nodes.name(what) for what in ("turn", "going", "still"))
    nodes.nodes.append(helper.make_node("Identity", [going], [still]))
    outputs = nodes.add("Add", nodes.add("Mul", turn, nodes.constant(_STEP, np.int64)), nodes.ints(*range(_STEP)))
    centres = _centres(nodes, outputs, axis, scale)
    start = _start(nodes, centres, axis, scale)
    weights = _weights(nodes, centres, start, scale)
    pixels_out = _mean(nodes, weights, _band(nodes, pixels, start, scale, channels))
    return helper.make_graph(
        nodes.nodes,
        nodes.name("steps"),
        [helper.make_tensor_value_info(turn, TensorProto.INT64, []), _flag(going)],
        [_flag(still), helper.make_tensor_value_info(pixels_out, TensorProto.UINT8, [_STEP, None])],
    )


def _flag(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.BOOL, [])


def _centres(nodes: Nodes, outputs: str, axis: Axis, scale: _Scale) -> str:
    middles = nodes.add("Add", nodes.cast(outputs, TensorProto.DOUBLE), nodes.constant([0.5], np.float64))
    return nodes.add("Add", nodes.cast(axis.first, TensorProto.DOUBLE), nodes.add("Mul", middles, scale.scale))


def _start(nodes: Nodes, centres: str, axis: Axis, scale: _Scale) -> str:
    first = nodes.slice(centres, nodes.ints(0), nodes.ints(1), 0)
    earliest = nodes.whole_down(nodes.add("Sub", first, nodes.add("Add", scale.support, _half(nodes))))
    latest = nodes.add("Sub", axis.length, scale.band)
    return nodes.add("Min", nodes.add("Max", earliest, nodes.ints(0)), latest)


def _weights(nodes: Nodes, centres: str, start: str, scale: _Scale) -> str:
    """The 22-bit weights, each as three bytes, highest byte first: ``uint8 [3 · _STEP, band]``."""
    places = nodes.cast(nodes.add("Add", scale.places, start), TensorProto.DOUBLE)
    middles = nodes.add("Add", places, _half(nodes))
    apart = nodes.add("Abs", nodes.add("Sub", middles, nodes.add("Unsqueeze", centres, nodes.ints(1))))
    one = nodes.constant([1.0], np.float64)
    slope = nodes.add("Mul", apart, nodes.add("Div", one, scale.support))
    heights = nodes.add("Max", nodes.add("Sub", one, slope), nodes.constant([0.0], np.float64))
    total = nodes.add("ReduceSum", heights, nodes.ints(1), keepdims=1)
    beyond = nodes.add("Max", total, nodes.constant([_TINY], np.float64))  # the last iteration may have surplus outputs
    parts = nodes.add("Mul", nodes.add("Div", heights, beyond), nodes.constant([2.0**_PRECISION_BITS], np.float64))
    return _bytes(nodes, nodes.cast(nodes.add("Add", parts, _half(nodes)), TensorProto.INT32))


def _half(nodes: Nodes) -> str:
    return nodes.constant([0.5], np.float64)


def _bytes(nodes: Nodes, weights: str) -> str:
    byte, two_bytes = (nodes.constant([size], np.int32) for size in (_BYTE, _BYTE**2))
    high, middle = nodes.add("Div", weights, two_bytes), nodes.add("Div", weights, byte)
    lowest = nodes.add("Sub", weights, nodes.add("Mul", middle, byte))
    between = nodes.add("Sub", middle, nodes.add("Mul", high, byte))
    return nodes.cast(nodes.add("Concat", high, between, lowest, axis=0), TensorProto.UINT8)


def _band(nodes: Nodes, pixels: str, start: str, scale: _Scale, channels: str) -> str:
    """Returns ``uint8 [band, channels · n]``."""
    cut = nodes.slice(pixels, start, nodes.add("Add", start, scale.band), 1)
    rows = nodes.add("Concat", nodes.ints(-1), nodes.add("Mul", scale.band, channels), axis=0)
    turned = nodes.add("Transpose", nodes.add("Reshape", cut, rows), perm=[1, 0])
    return nodes.add("Reshape", turned, nodes.add("Concat", scale.band, nodes.ints(-1), axis=0))


def _mean(nodes: Nodes, weights: str, band: str) -> str:
    sums = nodes.add("MatMulInteger", weights, band)
    high, middle, low = nodes.split("Split", 3, sums, axis=0, num_outputs=3)
    upper = nodes.add(
        "Add",
        nodes.add("Mul", high, nodes.constant([_BYTE**2], np.int32)),
        nodes.add("Mul", middle, nodes.constant([_BYTE], np.int32)),
    )
    total = nodes.add("Add", upper, nodes.add("Add", low, nodes.constant([1 << (_PRECISION_BITS - 1)], np.int32)))
    return nodes.cast(nodes.add("Div", total, nodes.constant([1 << _PRECISION_BITS], np.int32)), TensorProto.UINT8)
