"""The choice of a quantized model that is quick and loses next to nothing."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from exporter.cost import Drop, Float32, speed_gain
from exporter.graph import check_plain, with_half_weights
from exporter.int8.quantize import QuantizeError, Quantizer
from exporter.options import Advance, ExportOptions
from exporter.parity import onnx_scores
from models.text import number_of

_FEWEST_PHOTOS: Final = 16
_FLOAT_LAYERS: Final = (0, 1, 2)
"""How many of the first layers stay in floating point: of three colours a convolution with integers is hardly quicker,
and a depthwise one after it is slower."""


@dataclass(frozen=True)
class Attempt:
    """A quantized model that ends in ``logits``; ``gain``: how many times as fast as float32 it is on one thread."""

    model: onnx.ModelProto
    float_layers: tuple[str, ...]
    photos: int
    drop: Drop
    gain: float


@dataclass(frozen=True)
class Refusal:
    """Why int8 may not ship, for a person."""

    reason: str


def find_int8(float32: Float32, options: ExportOptions, advance: Advance, min_gain: float = 1.0) -> Attempt | Refusal:
    """Quantize a model with none, one or two of its first layers left in floating point; the quickest that passes wins.

    Half of the training photos give the ranges. Validation photos and the other half judge. It must be more than
    ``min_gain`` times as fast as float32 on this machine. Raises InputError.
    """
    training = float32.run.training_pixels()
    if len(training) < _FEWEST_PHOTOS:
        return Refusal(f"it takes {_FEWEST_PHOTOS} training photos to quantize with, and the run keeps {len(training)}")
    attempts: list[Attempt] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            quantizer = Quantizer(float32.model, training[::2], Path(scratch))
        except QuantizeError as error:
            return Refusal(str(error))
        counts = [count for count in _FLOAT_LAYERS if count < len(quantizer.layers)]
        for number, count in enumerate(counts):
            advance("Quantizing", number, len(counts))
            try:
                attempts.append(_attempt(float32, quantizer, count))
            except QuantizeError as error:  # where a block is cut in two, ONNX Runtime quantizes its beginning as well
                failures.append(str(error))
    if failures and not attempts:
        return Refusal(failures[0])
    passed = [one for one in attempts if one.drop.too_much(options.max_drop) is None and one.gain > min_gain]
    return max(passed, key=lambda one: one.gain) if passed else Refusal(why_refused(attempts, options.max_drop))


def _attempt(float32: Float32, quantizer: Quantizer, float_layers: int) -> Attempt:
    model = with_half_weights(quantizer.quantize(float_layers))
    check_plain(model)
    data = model.SerializeToString()
    cost = float32.drop(onnx_scores(data, float32.photos))
    gain = speed_gain(float32.model.SerializeToString(), data, float32.photos)
    return Attempt(model, tuple(quantizer.layers[:float_layers]), quantizer.photos, cost, gain)


def why_refused(attempts: Sequence[Attempt], allowed: float) -> str:
    """Why no model passed, for a person; ``allowed`` is how many points of accuracy it may lose."""
    if not attempts:
        return "it has no layers that would be quicker with integers"
    best = min(attempts, key=lambda attempt: (max(attempt.drop.estimate, allowed), -attempt.gain))
    loses = best.drop.too_much(allowed) or f"it {best.drop.words}"
    layers = f", with {number_of(len(best.float_layers), 'layer')} in floating point" if best.float_layers else ""
    return f"{loses}; it is {best.gain:.2f} times as fast as float32 in the network{layers}"
