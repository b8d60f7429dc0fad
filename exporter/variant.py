"""The variants of a bundle: float32, and the lighter ones that are made of it."""

from dataclasses import dataclass
from typing import Final

import onnx

from exporter.cost import Drop
from exporter.edge.prove import EdgeParity
from exporter.graph import add_metadata, with_probabilities
from exporter.int8.search import Attempt
from exporter.training_run import TrainingRun
from models.manifest import ModelMetadata, Quantization, Variant
from models.statistics.confidence import Confidence
from models.statistics.thresholds import ruling_thresholds

__all__ = ["FLOAT16", "FLOAT32", "INT8", "MadeVariant", "Refusal", "finished", "metadata_of"]

FLOAT32: Final = "float32"
FLOAT16: Final = "float16"
INT8: Final = "int8"


@dataclass(frozen=True)
class MadeVariant:
    """A variant that may ship.

    Attributes:
        metadata: what its ONNX file says of itself.
        model: the ONNX file.
        accuracy: share of the validation photos that it labels right.
        cost: what it loses against float32; none of float32 itself.
        gain: how many times as fast as float32 its network is on one thread of this machine; ``None`` for float32.
        whole_gain: the same with decoding; ``None`` for float32, and if no photo could be decoded.
        unknown_agreement: share of the validation photos that its out-of-distribution score puts on the same side of
            its limit as float32's does; none where there is no such score.
        quantization: how it came to compute with integers; none where it does not.
        edge: the ONNX file that takes one photo of any size; none where there is none.
        edge_parity: how far that agrees with the variant.
    """

    metadata: ModelMetadata
    model: bytes
    accuracy: float
    cost: Drop | None = None
    gain: float | None = None
    unknown_agreement: float | None = None
    quantization: Quantization | None = None
    edge: bytes | None = None
    edge_parity: EdgeParity | None = None
    whole_gain: float | None = None

    @property
    def pace(self) -> str:
        """How much faster than float32 it is, in words; empty of float32 itself."""
        if self.gain is None:
            return ""
        network = f"{self.gain:.1f} times as fast in the network"
        return network if self.whole_gain is None else f"{network}, {self.whole_gain:.1f} times with decoding included"

    @property
    def name(self) -> str:
        """``float32``, ``int8`` or ``float16``."""
        return self.metadata.variant

    @property
    def files(self) -> dict[str, bytes]:
        """File name → contents, of its ONNX files."""
        edge = {} if self.edge is None else {self.file("edge"): self.edge}
        return {self.file("model"): self.model, **edge}

    def file(self, what: str, suffix: str = "onnx") -> str:
        """``model.onnx`` and ``edge.onnx`` of float32, ``model.int8.onnx`` and so on of the others."""
        return f"{what}.{suffix}" if self.name == FLOAT32 else f"{what}.{self.name}.{suffix}"

    def listed(self, *, ort: bool) -> Variant:
        """Its entry in the manifest; ``ort``: it also has files in ONNX Runtime's own format."""
        return Variant(
            file=self.file("model"),
            edge=self.file("edge") if self.edge else None,
            ort=self.file("model", "ort") if ort else None,
            edge_ort=self.file("edge", "ort") if ort and self.edge else None,
            quantization=self.quantization,
            accuracy=self.accuracy,
            temperature=self.metadata.temperature,
            thresholds=self.metadata.thresholds,
            precision=self.metadata.precision,
            targets=self.metadata.targets,
            unknown=self.metadata.unknown,
        )


@dataclass(frozen=True)
class Refusal:
    """A variant that was wanted and may not ship; ``reason`` is for a person, ``attempts`` are what was tried."""

    name: str
    reason: str
    attempts: tuple[Attempt, ...] = ()


def metadata_of(run: TrainingRun, variant: str, version: str, confidence: Confidence) -> ModelMetadata:
    """What a variant's ONNX file says of itself, in a bundle of that version."""
    return ModelMetadata(
        schema_version=1,
        name=run.name,
        version=version,
        variant=variant,
        labels=run.classes,
        preprocess=run.preprocess,
        temperature=confidence.temperature,
        thresholds=ruling_thresholds(confidence, len(run.classes)),
        precision=confidence.precision,
        targets=confidence.targets,
        unknown=confidence.unknown,
    )


def finished(model: onnx.ModelProto, metadata: ModelMetadata) -> bytes:
    """The ONNX file of a model that ends in ``logits``: calibrated, and with its metadata."""
    return add_metadata(with_probabilities(model, metadata.temperature), metadata)
