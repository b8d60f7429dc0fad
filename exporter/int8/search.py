"""The search for a quantized model that is quick and loses next to nothing."""

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from scipy.special import log_softmax

from exporter.cost import Drop, drop, speed_gain
from exporter.graph import check_plain, with_half_weights
from exporter.int8.quantize import QuantizeError, Quantizer, Ranges, layers_of
from exporter.options import Advance, ExportOptions
from exporter.parity import onnx_scores
from exporter.training_run import TrainingRun
from models.photo import evenly
from models.preprocess import Pixels

__all__ = ["Attempt", "Int8Search", "find_int8", "too_much", "why_refused"]

_FEWEST_PHOTOS: Final = 16
_MOST_GROUPS: Final = 24
"""How many groups of layers are measured: a hundred layers one by one would take minutes."""

_Divergence = Callable[[onnx.ModelProto], float]


@dataclass(frozen=True)
class Attempt:
    """One quantized model.

    Attributes:
        ranges: how the ranges of its activations were found.
        float_layers: nodes with weights that still compute in floating point.
        drop: what it costs.
        gain: how many times as fast as float32 it is on one thread.
    """

    ranges: Ranges
    float_layers: tuple[str, ...]
    drop: Drop
    gain: float

    @property
    def times(self) -> str:
        """The gain in speed, in words."""
        return f"{self.gain:.2f} times as fast as float32 in the network"


@dataclass(frozen=True)
class Int8Search:
    """The result of a search.

    Attributes:
        model: the model that passed, ending in ``logits``; None if none did.
        attempts: all that were made, the model's last; empty if there was nothing to quantize.
        photos: how many training photos the ranges were found on.
    """

    model: onnx.ModelProto | None
    attempts: tuple[Attempt, ...]
    photos: int


def find_int8(
    model: onnx.ModelProto, run: TrainingRun, options: ExportOptions, advance: Advance, min_gain: float = 1.0
) -> Int8Search:
    """Quantize a model.

    Half of the training photos give the ranges. The other half chooses between the ways to find them, and tells which
    layers are sensitive: what counts there is the KL divergence of the probabilities from float32's. Validation only
    judges. Where the whole body of the network costs too much, or is no quicker, the 1, 2, 4, 8 … most sensitive layers
    stay in floating point, up to half of them.

    Args:
        model: ends in ``logits``.
        run: the training that it was converted from, with training and validation photos.
        options: what it may cost, and the bits of its weights.
        advance: called with what is being done.
        min_gain: how many times as fast as float32 it must be, on this machine.

    Raises:
        InputError: the run's training photos cannot be read.
        QuantizeError: there are too few of them, or ONNX Runtime's tools cannot quantize the model.
    """
    training, reference = run.training_pixels(), model.SerializeToString()
    if len(training) < _FEWEST_PHOTOS:
        msg = f"it takes {_FEWEST_PHOTOS} training photos to quantize with, and the run keeps {len(training)}"
        raise QuantizeError(msg)
    expected, ranged = onnx_scores(reference, run.pixels).probabilities, training[::2]
    attempts: list[Attempt] = []
    with tempfile.TemporaryDirectory() as scratch:
        quantizer = Quantizer(model, ranged, options.weight_bits, Path(scratch))
        if not quantizer.body:
            return Int8Search(None, (), len(ranged))
        divergence = _kl_divergence_from(model, training[1::2])
        ranges = _best_ranges(quantizer, divergence, advance)
        for float_layers in _left_out(quantizer, ranges, divergence, advance):
            found = _quantized(quantizer, ranges, float_layers)
            data = found.SerializeToString()
            cost = drop(expected, onnx_scores(data, run.pixels).probabilities, run.labels)
            gain = speed_gain(reference, data, run.pixels)
            attempts.append(Attempt(ranges, float_layers, cost, gain))
            if cost.points <= options.max_drop and gain > min_gain:
                return Int8Search(found, tuple(attempts), len(ranged))
    return Int8Search(None, tuple(attempts), len(ranged))


def _kl_divergence_from(model: onnx.ModelProto, pixels: Pixels) -> _Divergence:
    """A function that gives a model's mean Kullback-Leibler divergence from this one, in nats; infinity for NaN.

    True labels play no part. The photos ``uint8 (n, S, S, 3)`` are not those that the ranges were found on.
    """
    expected = _log_probabilities(model, pixels)

    def divergence(other: onnx.ModelProto) -> float:
        got = _log_probabilities(other, pixels)
        mean = (np.exp(expected) * (expected - got)).sum(axis=1).mean()
        return float(mean) if np.isfinite(mean) else float("inf")

    return divergence


def _log_probabilities(model: onnx.ModelProto, pixels: Pixels) -> npt.NDArray[np.float64]:
    logits = onnx_scores(model.SerializeToString(), pixels).probabilities
    return np.asarray(log_softmax(logits.astype(np.float64), axis=1))


def _quantized(quantizer: Quantizer, ranges: Ranges, float_layers: Collection[str]) -> onnx.ModelProto:
    nodes = [name for name in quantizer.body if name not in float_layers]
    model = with_half_weights(quantizer.quantize(ranges, nodes))
    check_plain(model)
    return model


def _best_ranges(quantizer: Quantizer, divergence: _Divergence, advance: Advance) -> Ranges:
    distances: dict[Ranges, float] = {}
    failures: list[QuantizeError] = []
    for number, ranges in enumerate(Ranges):
        advance("Finding ranges", number, len(Ranges))
        try:
            distances[ranges] = divergence(_quantized(quantizer, ranges, ()))
        except QuantizeError as error:
            failures.append(error)
    if not distances:
        raise failures[0]
    return min(distances, key=lambda ranges: distances[ranges])


def _left_out(
    quantizer: Quantizer, ranges: Ranges, divergence: _Divergence, advance: Advance
) -> Iterator[tuple[str, ...]]:
    """Layers that stay in floating point: none at first, then more and more of the sensitive ones.

    The most sensitive are those whose rounding alone moves the probabilities most.
    """
    yield ()
    layers = layers_of(quantizer.folded, quantizer.body)
    starts = evenly(len(layers), _MOST_GROUPS)
    groups = [layers[start:end] for start, end in zip(starts, [*starts[1:], len(layers)], strict=True)]
    moved = []
    for number, group in enumerate(groups):
        advance("Measuring layers", number, len(groups))
        moved.append(divergence(quantizer.quantize(ranges, group)))
    ranked = [name for number in np.argsort(-np.array(moved), kind="stable") for name in groups[number]]
    count = 1
    while count <= len(layers) // 2:
        yield tuple(ranked[:count])
        count *= 2


def why_refused(attempts: Sequence[Attempt], allowed: float) -> str:
    """Why a search found no model, for a person; ``allowed`` is how many points of accuracy it may lose."""
    if not attempts:
        return "it has no layers that would be quicker with integers"
    first = attempts[0]
    reason = f"{too_much(first.drop, allowed)}; it is {first.times}"
    best = min(attempts, key=lambda attempt: (attempt.drop.points, -attempt.gain))
    if best is not first:
        layers = f"{len(best.float_layers)} sensitive layers" if len(best.float_layers) > 1 else "a sensitive layer"
        return f"{reason}. With {layers} in floating point it loses {best.drop.points:.2f} and is {best.times}"
    return f"{reason}. Leaving sensitive layers in floating point did not help" if attempts[1:] else reason


def too_much(cost: Drop, allowed: float) -> str:
    """What a variant loses and what it may lose, in words."""
    low, high = cost.points_95
    return (
        f"it loses {cost.points:.2f} points of accuracy on {cost.photos} validation photos (95%: {low:.2f} to "
        f"{high:.2f}; {allowed:g} are allowed)"
    )
