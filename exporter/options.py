"""What a person may ask of an export."""

from collections.abc import Callable
from dataclasses import dataclass

from models.errors import InputError
from models.manifest import AUTO, FLOAT32, INT8

Advance = Callable[[str, int, int], None]
"""Called with (what is being done, done, of all)."""


@dataclass(frozen=True)
class ExportOptions:
    """What is made in addition to ``model.onnx``, and its limits; InputError if the options make no sense together.

    Attributes:
        int8: a variant that computes with 8-bit integers; it ships if it is quicker and loses next to nothing.
        edge: of each variant a graph that takes one photo of any size.
        max_drop: how many points of accuracy int8 may lose against float32, and an edge graph against the model behind
            its own decoding.
        default_variant: ``float32`` or ``int8``; ``auto``: see :func:`exporter.proof.choose_default`.
    """

    int8: bool = False
    edge: bool = False
    max_drop: float = 0.5
    default_variant: str = AUTO

    def __post_init__(self) -> None:
        variants = [AUTO, FLOAT32, *[INT8] * self.int8]
        if self.default_variant not in variants:
            msg = f"Expected one of {', '.join(variants)} as --default-variant, got {self.default_variant}."
            raise InputError(msg)
