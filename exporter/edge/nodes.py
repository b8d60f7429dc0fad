"""ONNX nodes, written down one after the other."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

__all__ = ["Nodes"]

_INT64: Final = onnx.TensorProto.INT64


class Nodes:
    """The nodes of a graph that is being written; each method adds one and returns the name of its output.

    Args:
        prefix: of every name that is made up here.

    Attributes:
        nodes: in order.
        constants: that the nodes of this graph, and of the graphs inside it, take.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers: Iterator[int] = count()
        self._known: dict[tuple[bytes, str, tuple[int, ...]], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def inside(self) -> "Nodes":
        """The nodes of a loop's body: they may take what was added here, and their constants lie here."""
        body = Nodes(self._prefix)
        body._numbers, body._known, body.constants = self._numbers, self._known, self.constants
        return body

    def name(self, what: str) -> str:
        """A name that nothing else here has."""
        return f"{self._prefix}{what}_{next(self._numbers)}"

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """A tensor that is known beforehand."""
        array = np.array(value, dtype)
        key = (array.tobytes(), array.dtype.str, array.shape)
        if key not in self._known:
            self._known[key] = self.name("constant")
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def ints(self, *values: int) -> str:
        """An ``int64 [n]``, which sizes and axes are."""
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
        """The same numbers in another type; towards zero where they are no whole ones."""
        return self.add("Cast", value, to=dtype)

    def slice(self, value: str, start: str, end: str, axis: int) -> str:
        """A part of a tensor along one axis."""
        return self.add("Slice", value, start, end, self.ints(axis))

    def whole_up(self, value: str) -> str:
        """The next whole number, ``int64``."""
        return self.cast(self.add("Ceil", value), _INT64)

    def whole_down(self, value: str) -> str:
        """The whole number before, ``int64``."""
        return self.cast(self.add("Floor", value), _INT64)

    def range(self, length: str) -> str:
        """0, 1, 2 …, ``int64 [length]``, of a length ``int64 [1]``."""
        end = self.add("Squeeze", length)
        return self.add("Range", self.constant(0, np.int64), end, self.constant(1, np.int64))
