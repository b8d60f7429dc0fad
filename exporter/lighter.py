"""The variants that are lighter than float32, made if they lose next to nothing."""

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
from models.classifier import Scores
from models.manifest import ModelMetadata, Quantization
from models.statistics.confidence import Confidence
from models.statistics.out_of_distribution import unknown_limit
from models.statistics.thresholds import HeldOut, fit_confidence

__all__ = ["know_variant", "make_float16", "make_int8"]


def know_variant(said: Scores, run: TrainingRun) -> Confidence:
    """Learn a variant's temperature, thresholds and limit from what it says of the run's validation photos.

    Args:
        said: its logits, in the place of probabilities, and its unknown scores.
        run: that it was made of. What its folds said counts for the thresholds here as well.

    Returns:
        How sure it may be.
    """
    limit = run.confidence.unknown
    known = np.ones(len(run.labels), np.bool_)
    if limit is not None and said.unknown is not None:
        limit = limit.model_copy(update={"limit": unknown_limit(said.unknown)})
        known = said.unknown <= limit.limit
    return fit_confidence(HeldOut(said.probabilities, run.labels, known), limit, list(run.folds))


_SAME_SIDE: Final = 0.97
"""A score that knows nothing of float32's would put some 90% on the same side: 5% are beyond the limit of either."""


def make_int8(
    model: onnx.ModelProto,
    said: Scores,
    run: TrainingRun,
    version: str,
    options: ExportOptions,
    advance: Advance,
) -> MadeVariant | Refusal:
    """Quantize a model, if it loses next to nothing and is quicker.

    Args:
        model: float32's, ends in ``logits``.
        said: by it, of the run's validation photos; logits in the place of probabilities.
        run: that it was converted of.
        version: of the bundle.
        options: what it must keep to.
        advance: told what is being done.

    Raises:
        InputError: the run's training photos cannot be read.
    """
    wanted = Wanted(options.max_drop, weight_bits=8 if options.vnni else 7)
    try:
        search = find_int8(model, run.training_pixels(), run.pixels, run.labels, wanted, advance)
    except QuantizeError as error:
        return Refusal(INT8, str(error))
    if search.model is None:
        return Refusal(INT8, why_refused(search, options.max_drop), search.attempts)
    chosen = search.attempts[-1]
    quantization = Quantization(weight_bits=wanted.weight_bits, float_layers=chosen.float_layers, photos=search.photos)
    got = onnx_logits(search.model.SerializeToString(), run.pixels)
    return _made(search.model, said, got, run, INT8, version, chosen.drop, chosen.gain, quantization)


def make_float16(
    model: onnx.ModelProto, said: Scores, run: TrainingRun, version: str, options: ExportOptions
) -> MadeVariant | Refusal:
    """Halve the weights of a model, if it loses next to nothing.

    Args:
        model: float32's, ends in ``logits``.
        said: by it, of the run's validation photos; logits in the place of probabilities.
        run: that it was converted of.
        version: of the bundle.
        options: what it must keep to.
    """
    half = with_half_weights(model)
    check_plain(half)
    data, reference = half.SerializeToString(), model.SerializeToString()
    got = onnx_logits(data, run.pixels)
    cost = drop(said.probabilities, got.probabilities, run.labels)
    if cost.points > options.max_drop:
        return Refusal(FLOAT16, too_much(cost, options.max_drop))
    return _made(half, said, got, run, FLOAT16, version, cost, speed_gain(reference, data, run.pixels), None)


def _made(
    model: onnx.ModelProto,
    said: Scores,
    got: Scores,
    run: TrainingRun,
    name: str,
    version: str,
    cost: Drop,
    gain: float,
    quantization: Quantization | None,
) -> MadeVariant | Refusal:
    metadata = metadata_of(run, name, version, know_variant(got, run))
    agreement = _unknown_agreement(said, got, run, metadata)
    if agreement is not None and agreement < _SAME_SIDE:
        reason = (
            f"its unknown score puts {1 - agreement:.1%} of the validation photos on the other side of its limit than "
            f"float32's does; {1 - _SAME_SIDE:.0%} are allowed"
        )
        return Refusal(name, reason)
    return MadeVariant(metadata, finished(model, metadata), cost.accuracy, cost, gain, agreement, quantization)


def _unknown_agreement(said: Scores, got: Scores, run: TrainingRun, metadata: ModelMetadata) -> float | None:
    """Share of the validation photos that both put on the same side of their limit."""
    limit = run.confidence.unknown
    if said.unknown is None or got.unknown is None or limit is None or metadata.unknown is None:
        return None
    return float(((said.unknown <= limit.limit) == (got.unknown <= metadata.unknown.limit)).mean())
