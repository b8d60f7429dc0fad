"""What a person may ask of an export."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from models.benchmark.measure import Effort
from models.errors import InputError
from models.manifest import AUTO, FLOAT32

Advance = Callable[[str, int, int], None]
"""Called with (what is being done, done, of all)."""

TOLERANCE: Final = 1e-4
"""The largest difference to a probability of Keras's that passes."""
_SKETCH: Final = Effort(rounds=1, calls=5, batches=1, seconds=0.05)


@dataclass(frozen=True)
class ExportOptions:
    """What is made in addition to ``model.onnx``, and its limits.

    Attributes:
        int8, float16: variants that compute with 8-bit integers, if that is quicker, and whose weights take half the
            room; they ship if they lose next to nothing.
        edge: of each variant a graph that takes one photo of any size.
        ort: of each of these files (float16 has none) another in ONNX Runtime's own format, for its mobile build.
        vnni: whether int8 need only be right on processors with VNNI or the like.
        atol: the largest difference from Keras's probabilities that passes.
        max_drop: how many points of accuracy int8 and float16 may lose against float32, and an edge graph against the
            model behind its own decoding.
        default_variant: the bundle's default, ``float32``, ``int8`` or ``float16``; ``auto``: see
            :func:`exporter.default.choose_default`.
        effort: how thoroughly speeds are measured for the bundle's card.
    """

    int8: bool = False
    float16: bool = False
    edge: bool = False
    ort: bool = False
    vnni: bool = False
    atol: float = TOLERANCE
    max_drop: float = 0.5
    default_variant: str = AUTO
    effort: Effort = _SKETCH

    def check(self) -> None:
        """Raise an InputError where options make no sense together."""
        if self.vnni and not self.int8:
            msg = "Expected int8 with --vnni, got --no-int8; leave out one of them."
            raise InputError(msg)
        made = [AUTO, FLOAT32, *["int8"] * self.int8, *["float16"] * self.float16]
        if self.default_variant not in made:
            msg = f"Expected one of {', '.join(made)} as --default-variant, got {self.default_variant}."
            raise InputError(msg)

    @property
    def weight_bits(self) -> Literal[7, 8]:
        """Bits of int8's weights; see :class:`models.manifest.Quantization`."""
        return 8 if self.vnni else 7
