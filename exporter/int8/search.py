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
    """One quantized model.

    Attributes:
        float_layers: nodes with weights that still compute in floating point.
        drop: what it costs.
        gain: how many times as fast as float32 it is on one thread.
    """

    float_layers: tuple[str, ...]
    drop: Drop
    gain: float

    def passes(self, max_drop: float, min_gain: float) -> bool:
        """Whether it may ship."""
        return self.drop.too_much(max_drop) is None and self.gain > min_gain


@dataclass(frozen=True)
class Choice:
    """The quantized model that may ship.

    Attributes:
        model: ends in ``logits``.
        attempt: its costs and gain.
        photos: how many training photos the ranges were found on.
    """

    model: onnx.ModelProto
    attempt: Attempt
    photos: int


@dataclass(frozen=True)
class Refusal:
    """Why int8 may not ship, for a person; ``attempts`` are the models that were tried."""

    reason: str
    attempts: tuple[Attempt, ...] = ()


def find_int8(float32: Float32, options: ExportOptions, advance: Advance, min_gain: float = 1.0) -> Choice | Refusal:
    """Quantize a model with none, one or two of its first layers left in floating point; the quickest that passes wins.

    Half of the training photos give the ranges. Validation photos and the other half judge.

    Args:
        float32: the model, and what its variants are compared on.
        options: what it may cost, and the bits of its weights.
        advance: called with what is being done.
        min_gain: how many times as fast as float32 it must be, on this machine.

    Raises:
        InputError: the run's training photos cannot be read.
    """
    training = float32.run.training_pixels()
    if len(training) < _FEWEST_PHOTOS:
        return Refusal(f"it takes {_FEWEST_PHOTOS} training photos to quantize with, and the run keeps {len(training)}")
    candidates: list[Choice] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            quantizer = Quantizer(float32.model, training[::2], options.weight_bits, Path(scratch))
        except QuantizeError as error:
            return Refusal(str(error))
        counts = [count for count in _FLOAT_LAYERS if count < len(quantizer.layers)]
        for number, count in enumerate(counts):
            advance("Quantizing", number, len(counts))
            try:
                model = with_half_weights(quantizer.quantize(count))
            except QuantizeError as error:  # where a block is cut in two, ONNX Runtime quantizes its beginning as well
                failures.append(str(error))
                continue
            check_plain(model)
            attempt = _measured(float32, model, quantizer.layers[:count])
            candidates.append(Choice(model, attempt, quantizer.photos))
    if failures and not candidates:
        return Refusal(failures[0])
    passed = [one for one in candidates if one.attempt.passes(options.max_drop, min_gain)]
    if passed:
        return max(passed, key=lambda one: one.attempt.gain)
    attempts = tuple(one.attempt for one in candidates)
    return Refusal(why_refused(attempts, options.max_drop), attempts)


def _measured(float32: Float32, model: onnx.ModelProto, float_layers: Sequence[str]) -> Attempt:
    data = model.SerializeToString()
    cost = float32.drop(onnx_scores(data, float32.photos))
    gain = speed_gain(float32.model.SerializeToString(), data, float32.photos)
    return Attempt(tuple(float_layers), cost, gain)


def why_refused(attempts: Sequence[Attempt], allowed: float) -> str:
    """Why no model passed, for a person; ``allowed`` is how many points of accuracy it may lose."""
    if not attempts:
        return "it has no layers that would be quicker with integers"
    best = min(attempts, key=lambda attempt: (max(attempt.drop.estimate, allowed), -attempt.gain))
    loses = best.drop.too_much(allowed) or f"it {best.drop.words}"
    layers = f", with {number_of(len(best.float_layers), 'layer')} in floating point" if best.float_layers else ""
    return f"{loses}; it is {best.gain:.2f} times as fast as float32 in the network{layers}"
