"""The variants of a bundle: float32, and int8 if it is faster and almost as accurate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx

from exporter.cost import Drop, Float32, whole_gain
from exporter.edge.prove import EdgeParity
from exporter.graph import add_metadata, with_probabilities
from exporter.int8 import Attempt, Refusal, find_int8
from exporter.options import Advance, ExportOptions
from exporter.parity import onnx_scores
from exporter.training_run import TrainingRun
from models.decision import Scores
from models.manifest import FLOAT32, INT8, ModelMetadata, Quantization, Variant
from models.statistics.confidence import Confidence
from models.statistics.intervals import lower_bound
from models.statistics.out_of_distribution import unknown_limit
from models.statistics.thresholds import HeldOutLogits, fit_confidence

_CROSSED: Final = 0.03
"""The largest allowed share of photos that only one of the two models calls unknown, with 95% confidence. Each model
calls 5% of the photos unknown, so unrelated models would disagree on about 10%."""
_SAME_LABELS: Final = 0.95
"""A variant that agrees with float32 on this share of labels may use float32's out-of-fold predictions."""


@dataclass(frozen=True)
class Int8Facts:
    """The accuracy and speed of int8 compared with float32.

    Attributes:
        gain: speed of the int8 network on one thread of this machine, as a multiple of float32's speed.
        whole_gain: like ``gain``, but with decoding of the photos, or None if no photo could be decoded.
        unknown_agreement: share of the compared photos that are unknown to both models or to neither. None without an
            out-of-distribution score.
    """

    cost: Drop
    gain: float
    whole_gain: float | None
    unknown_agreement: float | None
    quantization: Quantization

    @property
    def pace(self) -> str:
        """The speed as a multiple of float32's speed, in words."""
        network = f"{self.gain:.2f} times as fast in the network"
        return network if self.whole_gain is None else f"{network}, {self.whole_gain:.2f} times with decoding included"

    @property
    def speed(self) -> float:
        """The speed as a multiple of float32's speed, with decoding if that was measured."""
        return self.whole_gain or self.gain

    @property
    def has_folds(self) -> bool:
        """Whether float32's out-of-fold predictions are also used for int8."""
        return self.cost.agreement >= _SAME_LABELS


@dataclass(frozen=True)
class MadeVariant:
    """A variant for the bundle: its ONNX file with metadata, and its edge graph if requested.

    ``accuracy`` is the accuracy on the validation photos. ``facts`` is None for float32.
    """

    metadata: ModelMetadata
    model: bytes
    accuracy: float
    facts: Int8Facts | None = None
    edge: bytes | None = None
    edge_parity: EdgeParity | None = None

    @property
    def coverage(self) -> float:
        """Expected share of rows labelled without review at the default precision. 0.0 without a default."""
        return self.metadata.ruling.coverage if self.metadata.ruling else 0.0

    @property
    def name(self) -> str:
        """``float32`` or ``int8``."""
        return self.metadata.variant

    @property
    def files(self) -> dict[str, bytes]:
        """The contents of the variant's ONNX files, by name."""
        edge = {} if self.edge is None else {self.file("edge"): self.edge}
        return {self.file("model"): self.model, **edge}

    def file(self, what: str) -> str:
        """``model.onnx`` and ``edge.onnx`` for float32, ``model.int8.onnx`` and ``edge.int8.onnx`` for int8."""
        return f"{what}.onnx" if self.name == FLOAT32 else f"{what}.{self.name}.onnx"

    @property
    def listed(self) -> Variant:
        """The variant's entry in the manifest."""
        return Variant(
            file=self.file("model"),
            edge=self.file("edge") if self.edge else None,
            quantization=self.facts.quantization if self.facts else None,
            accuracy=self.accuracy,
            temperature=self.metadata.temperature,
            precision=self.metadata.precision,
            targets=self.metadata.targets,
            unknown=self.metadata.unknown,
        )


def make_int8(float32: Float32, options: ExportOptions, advance: Advance) -> MadeVariant | Refusal:
    """Quantize a model. Returns a refusal if the result loses too much accuracy or is not faster. Raises InputError."""
    attempt = find_int8(float32, options, advance)
    return attempt if isinstance(attempt, Refusal) else variant_of(float32, attempt, options)


def variant_of(float32: Float32, attempt: Attempt, options: ExportOptions) -> MadeVariant | Refusal:
    """A quantized model with its own temperature, thresholds and out-of-distribution limit.

    Returns a refusal if int8 and float32 disagree on too many unknown photos.
    """
    run, data = float32.run, attempt.model.SerializeToString()
    scores, known = onnx_scores(data, float32.photos), len(run.labels)
    validation = Scores(scores.probabilities[:known], None if scores.unknown is None else scores.unknown[:known])
    confidence = _confidence(validation, run, run.folds if attempt.drop.agreement >= _SAME_LABELS else ())
    crossed = _crossed(float32, scores, confidence)
    if crossed is not None and (at_least := lower_bound(int(crossed.sum()), len(crossed))) > _CROSSED:
        return Refusal(
            f"int8 and float32 disagree on which photos are unknown: {crossed.mean():.1%} of {len(crossed)} "
            f"validation and training photos (at least {at_least:.1%} with 95% confidence); {_CROSSED:.0%} are allowed"
        )
    facts = Int8Facts(
        cost=attempt.drop,
        gain=attempt.gain,
        whole_gain=whole_gain(float32.model.SerializeToString(), data, run.original_bytes(), run.preprocess),
        unknown_agreement=None if crossed is None else float(1 - crossed.mean()),
        quantization=Quantization(float_layers=attempt.float_layers, photos=attempt.photos),
    )
    metadata = metadata_of(run, INT8, float32.version, confidence)
    return MadeVariant(metadata, finished(attempt.model, metadata), facts.cost.accuracy, facts)


def _crossed(float32: Float32, scores: Scores, confidence: Confidence) -> npt.NDArray[np.bool_] | None:
    before, old, new = float32.scores.unknown, float32.run.confidence.unknown, confidence.unknown
    if before is None or scores.unknown is None or old is None or new is None:
        return None
    return np.asarray((before <= old.limit) != (scores.unknown <= new.limit))


def _confidence(scores: Scores, run: TrainingRun, folds: Sequence[HeldOutLogits]) -> Confidence:
    limit = run.confidence.unknown
    known = np.ones(len(run.labels), np.bool_)
    if limit is not None and scores.unknown is not None:
        limit = limit.model_copy(update={"limit": unknown_limit(scores.unknown)})
        known = scores.unknown <= limit.limit
    held_out = HeldOutLogits(scores.probabilities, run.labels, known, run.groups)
    return fit_confidence(held_out, limit, folds, cv=run.pools_folds, tree=run.tree)


def metadata_of(run: TrainingRun, variant: str, version: str, confidence: Confidence) -> ModelMetadata:
    """The metadata of a variant's ONNX file, in a bundle with this version."""
    return ModelMetadata(
        schema_version=1,
        name=run.name,
        version=version,
        variant=variant,
        labels=run.classes,
        preprocess=run.preprocess,
        taxonomy=run.taxonomy,
        temperature=confidence.temperature,
        precision=confidence.precision,
        targets=confidence.targets,
        unknown=confidence.unknown,
    )


def finished(model: onnx.ModelProto, metadata: ModelMetadata) -> bytes:
    """Add calibration and metadata to an ONNX model that ends in ``logits``."""
    return add_metadata(with_probabilities(model, metadata.temperature), metadata)
