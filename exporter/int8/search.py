"""The search for a quantized model that is quick and loses next to nothing."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from scipy.special import log_softmax

from exporter.cost import Drop, drop, speed_gain
from exporter.graph import check_plain, with_half_weights
from exporter.int8.quantize import QuantizeError, Quantizer, Ranges, layers_of
from exporter.options import Advance
from exporter.prove import onnx_logits
from models.photo import evenly
from models.preprocess import Pixels

__all__ = ["Attempt", "Int8Search", "Wanted", "find_int8", "too_much", "why_refused"]

_FEWEST_PHOTOS: Final = 16
_MOST_GROUPS: Final = 24
"""Groups in which layers are measured: a hundred layers one by one would take minutes."""


@dataclass(frozen=True)
class Wanted:
    """What a quantized model must fulfil.

    Attributes:
        max_drop: points of accuracy that it may lose against float32, on the run's validation photos.
        min_gain: how many times as fast as float32 it must be, on this machine.
        weight_bits: see :class:`models.manifest.Quantization`.
    """

    max_drop: float
    min_gain: float = 1.0
    weight_bits: Literal[7, 8] = 7


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

    def passes(self, wanted: Wanted) -> bool:
        """Whether it may ship."""
        return self.drop.points <= wanted.max_drop and self.gain > wanted.min_gain

    @property
    def times(self) -> str:
        """Its gain in words."""
        return f"{self.gain:.2f} times as fast as float32 in the network"


@dataclass(frozen=True)
class Int8Search:
    """What came of a search.

    Attributes:
        model: the model that passed, ending in ``logits``; None if none did.
        attempts: all that were made, the model's last; empty if there was nothing to quantize.
        photos: how many training photos the ranges were found on.
    """

    model: onnx.ModelProto | None
    attempts: tuple[Attempt, ...]
    photos: int


def find_int8(
    model: onnx.ModelProto,
    training: Pixels,
    validation: Pixels,
    labels: npt.NDArray[np.intp],
    wanted: Wanted,
    advance: Advance,
) -> Int8Search:
    """Quantize a model.

    Half of the training photos give the ranges. The other half chooses between the ways to find them, and tells which
    layers are sensitive: what counts there is the KL divergence of the probabilities from float32's. Validation only
    judges. Where the whole body of the network costs too much, or is no quicker, the 1, 2, 4, 8 … most sensitive layers
    stay in floating point, up to half of them.

    Args:
        model: ends in ``logits``.
        training: photos that the network has learned from, ``uint8 (n, S, S, 3)``.
        validation: photos that it has not, likewise.
        labels: of these.
        wanted: what the result must keep to.
        advance: told what is being done.

    Raises:
        QuantizeError: there are too few training photos, or ONNX Runtime's tools cannot quantize the model.
    """
    if len(training) < _FEWEST_PHOTOS:
        msg = f"it takes {_FEWEST_PHOTOS} training photos to quantize with, and the run keeps {len(training)}"
        raise QuantizeError(msg)
    reference = model.SerializeToString()
    expected = onnx_logits(reference, validation).probabilities
    attempts: list[Attempt] = []
    with tempfile.TemporaryDirectory() as scratch:
        photos = training[::2]
        quantizer = Quantizer(model, photos, wanted.weight_bits, Path(scratch))
        if not quantizer.body:
            return Int8Search(None, (), len(photos))
        search = _Search(quantizer, _kl_divergence_from(model, training[1::2]), advance)
        ranges = search.best_ranges()
        for float_layers in search.left_out(ranges):
            found = search.quantized(ranges, float_layers)
            data = found.SerializeToString()
            cost = drop(expected, onnx_logits(data, validation).probabilities, labels)
            attempts.append(Attempt(ranges, float_layers, cost, speed_gain(reference, data, validation)))
            if attempts[-1].passes(wanted):
                return Int8Search(found, tuple(attempts), len(photos))
    return Int8Search(None, tuple(attempts), len(photos))


def _kl_divergence_from(model: onnx.ModelProto, pixels: Pixels) -> Callable[[onnx.ModelProto], float]:
    """What measures how far another model's probabilities are from a model's, without asking who is right.

    Args:
        model: computes in floating point, and ends in ``logits``, as the others do.
        pixels: photos that no range was found on, ``uint8 (n, S, S, 3)``, at least one.

    Returns:
        Gives a model's mean Kullback-Leibler divergence in nats; infinity for what is no number.
    """
    expected = _log_probabilities(model, pixels)

    def divergence(other: onnx.ModelProto) -> float:
        got = _log_probabilities(other, pixels)
        mean = (np.exp(expected) * (expected - got)).sum(axis=1).mean()
        return float(mean) if np.isfinite(mean) else float("inf")

    return divergence


def _log_probabilities(model: onnx.ModelProto, pixels: Pixels) -> npt.NDArray[np.float64]:
    logits = onnx_logits(model.SerializeToString(), pixels).probabilities
    return np.asarray(log_softmax(logits.astype(np.float64), axis=1))


@dataclass(frozen=True)
class _Search:
    quantizer: Quantizer
    divergence: Callable[[onnx.ModelProto], float]
    advance: Advance

    def quantized(self, ranges: Ranges, float_layers: Sequence[str]) -> onnx.ModelProto:
        nodes = [name for name in self.quantizer.body if name not in set(float_layers)]
        model = with_half_weights(self.quantizer.quantize(ranges, nodes))
        check_plain(model)
        return model

    def best_ranges(self) -> Ranges:
        distances: dict[Ranges, float] = {}
        failures: list[QuantizeError] = []
        for number, ranges in enumerate(Ranges):
            self.advance("Finding ranges", number, len(Ranges))
            try:
                distances[ranges] = self.divergence(self.quantized(ranges, ()))
            except QuantizeError as error:
                failures.append(error)
        if not distances:
            raise failures[0]
        return min(distances, key=lambda ranges: distances[ranges])

    def left_out(self, ranges: Ranges) -> Iterator[tuple[str, ...]]:
        """Layers that stay in floating point: none at first, then more and more of the sensitive ones."""
        yield ()
        layers = self._by_sensitivity(ranges)
        count = 1
        while count <= len(layers) // 2:
            yield tuple(layers[:count])
            count *= 2

    def _by_sensitivity(self, ranges: Ranges) -> list[str]:
        """Layers, those first whose rounding alone moves the probabilities most."""
        layers = layers_of(self.quantizer.folded, self.quantizer.body)
        starts = evenly(len(layers), _MOST_GROUPS)
        groups = [layers[start:end] for start, end in zip(starts, [*starts[1:], len(layers)], strict=True)]
        moved = []
        for number, group in enumerate(groups):
            self.advance("Measuring layers", number, len(groups))
            moved.append(self.divergence(self.quantizer.quantize(ranges, group)))
        ranked = sorted(range(len(groups)), key=lambda number: -moved[number])
        return [name for number in ranked for name in groups[number]]


def why_refused(search: Int8Search, allowed: float) -> str:
    """Why a search found no model, for a person; ``allowed`` points of accuracy could have been lost."""
    if not search.attempts:
        return "it has no layers that integers would make quicker"
    first, *others = search.attempts
    reason = f"{too_much(first.drop, allowed)}; it is {first.times}"
    if not others:
        return reason
    best = min(search.attempts, key=lambda attempt: (attempt.drop.points, -attempt.gain))
    if best is first:
        return f"{reason}. Leaving sensitive layers in floating point did not help"
    layers = f"{len(best.float_layers)} sensitive layers" if len(best.float_layers) > 1 else "a sensitive layer"
    return f"{reason}. With {layers} in floating point it loses {best.drop.points:.2f} and is {best.times}"


def too_much(cost: Drop, allowed: float) -> str:
    """What a variant loses, and what it might."""
    low, high = cost.points_95
    return (
        f"it loses {cost.points:.2f} points of accuracy on {cost.photos} validation photos (95%: {low:.2f} to "
        f"{high:.2f}; {allowed:g} are allowed)"
    )
