"""The variants that are lighter than float32, made if they lose next to nothing."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx

from exporter.cost import Drop, drop, speed_gain
from exporter.graph import check_plain, with_half_weights
from exporter.int8.quantize import QuantizeError
from exporter.int8.search import Wanted, find_int8, too_much, why_refused
from exporter.options import Advance, ExportOptions
from exporter.prove import onnx_logits
from exporter.training_run import TrainingRun
from exporter.variant import FLOAT16, INT8, MadeVariant, Refusal, finished, metadata_of
from models.decision import Scores
from models.manifest import Quantization
from models.statistics.confidence import Confidence
from models.statistics.out_of_distribution import unknown_limit
from models.statistics.thresholds import HeldOut, fit_confidence

__all__ = ["Float32", "make_float16", "make_int8"]

_SAME_SIDE: Final = 0.97
"""A score that knows nothing of float32's would put some 90% on the same side: 5% are beyond the limit of either."""


@dataclass(frozen=True)
class Float32:
    """What lighter variants are made of.

    Attributes:
        model: ends in ``logits``.
        scores: its scores of the run's validation photos; logits in the place of probabilities.
        run: that it was converted of.
        version: of the bundle.
    """

    model: onnx.ModelProto
    scores: Scores
    run: TrainingRun
    version: str


def make_int8(float32: Float32, options: ExportOptions, advance: Advance) -> MadeVariant | Refusal:
    """Quantize a model, if it loses next to nothing and is quicker.

    Raises:
        InputError: the run's training photos cannot be read.
    """
    wanted, run = Wanted(options.max_drop, weight_bits=8 if options.vnni else 7), float32.run
    try:
        search = find_int8(float32.model, run.training_pixels(), run.pixels, run.labels, wanted, advance)
    except QuantizeError as error:
        return Refusal(INT8, str(error))
    if search.model is None:
        return Refusal(INT8, why_refused(search, options.max_drop), search.attempts)
    chosen = search.attempts[-1]
    quantization = Quantization(weight_bits=wanted.weight_bits, float_layers=chosen.float_layers, photos=search.photos)
    got = onnx_logits(search.model.SerializeToString(), run.pixels)
    return _made(float32, search.model, got, INT8, chosen.drop, chosen.gain, quantization)


def make_float16(float32: Float32, options: ExportOptions) -> MadeVariant | Refusal:
    """Halve the weights of a model, if it loses next to nothing."""
    half, run = with_half_weights(float32.model), float32.run
    check_plain(half)
    data, reference = half.SerializeToString(), float32.model.SerializeToString()
    got = onnx_logits(data, run.pixels)
    cost = drop(float32.scores.probabilities, got.probabilities, run.labels)
    if cost.points > options.max_drop:
        return Refusal(FLOAT16, too_much(cost, options.max_drop))
    return _made(float32, half, got, FLOAT16, cost, speed_gain(reference, data, run.pixels), None)


def _made(
    float32: Float32,
    model: onnx.ModelProto,
    got: Scores,
    name: str,
    cost: Drop,
    gain: float,
    quantization: Quantization | None,
) -> MadeVariant | Refusal:
    run, expected = float32.run, float32.scores
    metadata = metadata_of(run, name, float32.version, _know_variant(got, run))
    agreement, limit = None, run.confidence.unknown
    if expected.unknown is not None and got.unknown is not None and limit is not None and metadata.unknown is not None:
        same_side = (expected.unknown <= limit.limit) == (got.unknown <= metadata.unknown.limit)
        agreement = float(same_side.mean())
    if agreement is not None and agreement < _SAME_SIDE:
        reason = (
            f"its unknown score puts {1 - agreement:.1%} of the validation photos on the other side of its limit than "
            f"float32's does; {1 - _SAME_SIDE:.0%} are allowed"
        )
        return Refusal(name, reason)
    return MadeVariant(metadata, finished(model, metadata), cost.accuracy, cost, gain, agreement, quantization)


def _know_variant(scores: Scores, run: TrainingRun) -> Confidence:
    """Learn a variant's temperature, thresholds and limit from its scores of the run's validation photos.

    Args:
        scores: logits in the place of probabilities, and out-of-distribution scores.
        run: that it was made of. What its folds predicted counts for the thresholds here as well.
    """
    limit = run.confidence.unknown
    known = np.ones(len(run.labels), np.bool_)
    if limit is not None and scores.unknown is not None:
        limit = limit.model_copy(update={"limit": unknown_limit(scores.unknown)})
        known = scores.unknown <= limit.limit
    return fit_confidence(HeldOut(scores.probabilities, run.labels, known), limit, list(run.folds))
