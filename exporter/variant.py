"""The variants of a bundle: float32, and lighter ones, which ship if they lose next to nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx

from exporter.cost import Drop, Float32, speed_gain
from exporter.edge.prove import EdgeParity
from exporter.graph import add_metadata, check_plain, with_half_weights, with_probabilities
from exporter.int8.quantize import QuantizeError
from exporter.int8.search import Attempt, find_int8, why_refused
from exporter.options import Advance, ExportOptions
from exporter.parity import onnx_scores
from exporter.training_run import TrainingRun
from models.decision import Scores
from models.manifest import FLOAT32, ModelMetadata, Quantization, Variant
from models.statistics.confidence import Confidence
from models.statistics.intervals import lower_bound
from models.statistics.out_of_distribution import unknown_limit
from models.statistics.thresholds import HeldOutLogits, fit_confidence, ruling_thresholds

FLOAT16: Final = "float16"
INT8: Final = "int8"
_CROSSED: Final = 0.03
"""An unrelated score would put some 10% on the other side, since 5% are beyond the limit of either. What is near the
limit crosses it by chance: only more than this beyond chance is too much."""
_SAME_LABELS: Final = 0.95
"""With fewer labels in common, the folds' networks, which compute in float32, say nothing of a variant."""


@dataclass(frozen=True)
class MadeVariant:
    """A variant that may ship.

    Attributes:
        metadata: what its ONNX file says of itself.
        model: the ONNX file.
        accuracy: share of the validation photos that it labels right.
        cost: what it loses against float32; None for float32, like all fields below but the edge graph's.
        gain: how many times as fast as float32 its network is on one thread of this machine.
        whole_gain: the same with decoding; ``None`` too if no photo could be decoded.
        unknown_agreement: share of the compared photos that its out-of-distribution score puts on the same side of
            its limit as float32's does; None without such a score.
        quantization: how it came to compute with integers, if it does.
        edge: the ONNX file that takes one photo of any size, if one was asked for.
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
        """How much faster than float32 it is, in words; empty for float32 itself."""
        if self.gain is None:
            return ""
        network = f"{self.gain:.2f} times as fast in the network"
        return network if self.whole_gain is None else f"{network}, {self.whole_gain:.2f} times with decoding included"

    @property
    def speed(self) -> float:
        """How many times as fast as float32 it is, with decoding if that could be measured; 1.0 for float32 itself."""
        return self.whole_gain or self.gain or 1.0

    @property
    def coverage(self) -> float:
        """Expected share of rows that it labels by itself at its own promise; 0.0 if it promises nothing."""
        promised = self.metadata.precision
        return next((one.coverage for one in self.metadata.targets if one.precision == promised), 0.0)

    @property
    def has_folds(self) -> bool:
        """Whether the folds' networks, which compute in float32, speak for it."""
        return self.cost is None or self.cost.agreement >= _SAME_LABELS

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
        """``model.onnx`` and ``edge.onnx`` for float32, ``model.int8.onnx`` and so on for the others."""
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


def make_int8(float32: Float32, options: ExportOptions, advance: Advance) -> MadeVariant | Refusal:
    """Quantize a model, if it loses next to nothing and is quicker; InputError if training photos cannot be read."""
    try:
        search = find_int8(float32, options, advance)
    except QuantizeError as error:
        return Refusal(INT8, str(error))
    chosen = search.chosen
    if search.model is None or chosen is None:
        return Refusal(INT8, why_refused(search.attempts, options.max_drop), search.attempts)
    quantization = Quantization(weight_bits=options.weight_bits, float_layers=chosen.float_layers, photos=search.photos)
    return _made(float32, INT8, search.model, chosen.drop, chosen.gain, quantization)


def make_float16(float32: Float32, options: ExportOptions) -> MadeVariant | Refusal:
    """Halve the weights of a model, if it loses next to nothing."""
    half = with_half_weights(float32.model)
    check_plain(half)
    data = half.SerializeToString()
    cost = float32.drop(onnx_scores(data, float32.photos))
    if reason := cost.too_much(options.max_drop):
        return Refusal(FLOAT16, reason)
    return _made(float32, FLOAT16, half, cost, speed_gain(float32.model.SerializeToString(), data, float32.photos))


def _made(
    float32: Float32,
    name: str,
    model: onnx.ModelProto,
    cost: Drop,
    gain: float,
    quantization: Quantization | None = None,
) -> MadeVariant | Refusal:
    """A variant with a temperature, thresholds and a limit of its own."""
    run, scores = float32.run, onnx_scores(model.SerializeToString(), float32.photos)
    known = len(run.labels)
    validation = Scores(scores.probabilities[:known], None if scores.unknown is None else scores.unknown[:known])
    confidence = _confidence(validation, run, run.folds if cost.agreement >= _SAME_LABELS else ())
    crossed = _crossed(float32, scores, confidence)
    if crossed is not None and (at_least := lower_bound(int(crossed.sum()), len(crossed))) > _CROSSED:
        reason = (
            f"it and float32 disagree on whether a photo is unknown: on {crossed.mean():.1%} of {len(crossed)} "
            f"validation and training photos, {at_least:.1%} at least; {_CROSSED:.0%} are allowed"
        )
        return Refusal(name, reason)
    agreement = None if crossed is None else float(1 - crossed.mean())
    metadata = metadata_of(run, name, float32.version, confidence)
    return MadeVariant(metadata, finished(model, metadata), cost.accuracy, cost, gain, agreement, quantization)


def _crossed(float32: Float32, scores: Scores, confidence: Confidence) -> npt.NDArray[np.bool_] | None:
    """Of each compared photo, whether a variant and float32 disagree that it is unknown; None without such a score."""
    before, was, limit = float32.scores.unknown, float32.run.confidence.unknown, confidence.unknown
    if before is None or scores.unknown is None or was is None or limit is None:
        return None
    return np.asarray((before <= was.limit) != (scores.unknown <= limit.limit))


def _confidence(scores: Scores, run: TrainingRun, folds: Sequence[HeldOutLogits]) -> Confidence:
    """What a variant's scores of the validation photos, with logits for probabilities, and ``folds`` prove for it."""
    limit = run.confidence.unknown
    known = np.ones(len(run.labels), np.bool_)
    if limit is not None and scores.unknown is not None:
        limit = limit.model_copy(update={"limit": unknown_limit(scores.unknown)})
        known = scores.unknown <= limit.limit
    return fit_confidence(
        HeldOutLogits(scores.probabilities, run.labels, known, run.groups),
        limit,
        folds,
        cv=run.pools_folds,
        tree=run.tree,
    )


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
        taxonomy=dict(run.tree.parents) if run.tree else None,
    )


def finished(model: onnx.ModelProto, metadata: ModelMetadata) -> bytes:
    """The ONNX file of a model that ends in ``logits``: calibrated, and with its metadata."""
    return add_metadata(with_probabilities(model, metadata.temperature), metadata)
