"""What a person may ask of an export."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from models.errors import InputError
from models.manifest import AUTO, FLOAT32, INT8

Advance = Callable[[str, int, int], None]
"""Called with (what is being done, done, of all)."""

TOLERANCE: Final = 1e-4
"""The largest difference to a probability of Keras's that passes."""


@dataclass(frozen=True)
class ExportOptions:
    """What is made in addition to ``model.onnx``, and its limits.

    Attributes:
        int8: a variant that computes with 8-bit integers; it ships if it is quicker and loses next to nothing.
        edge: of each variant a graph that takes one photo of any size.
        vnni: whether int8 need only be right on processors with VNNI or the like.
        atol: the largest difference from Keras's probabilities that passes.
        max_drop: how many points of accuracy int8 may lose against float32, and an edge graph against the model behind
            its own decoding.
        default_variant: the bundle's default, ``float32`` or ``int8``; ``auto``: see
            :func:`exporter.default.choose_default`.

    Raises InputError.
    """

    int8: bool = False
    edge: bool = False
    vnni: bool = False
    atol: float = TOLERANCE
    max_drop: float = 0.5
    default_variant: str = AUTO

    def __post_init__(self) -> None:
        if self.vnni and not self.int8:
            msg = "Expected int8 with --vnni, got --no-int8; leave out one of them."
            raise InputError(msg)
        variants = [AUTO, FLOAT32, *[INT8] * self.int8]
        if self.default_variant not in variants:
            msg = f"Expected one of {', '.join(variants)} as --default-variant, got {self.default_variant}."
            raise InputError(msg)

    @property
    def weight_bits(self) -> Literal[7, 8]:
        """Bits of int8's weights; see :class:`models.manifest.Quantization`."""
        return 8 if self.vnni else 7
