"""Compares the scores of ONNX Runtime and Keras, in batches and photo by photo, and decides whether they agree."""

import math
from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
import numpy.typing as npt

from exporter.graph import network_ends
from models.decision import Probabilities, Scores
from models.errors import ParityError
from models.manifest import ModelMetadata
from models.photo import evenly
from models.preprocess import Pixels
from models.session import open_session
from models.statistics.calibration import calibrated, class_logits
from models.statistics.out_of_distribution import DistanceHead, relative_difference

TOLERANCE: Final = 1e-4
"""The largest allowed difference of a probability."""
UNKNOWN_TOLERANCE: Final = 1e-2
"""The largest allowed relative difference of out-of-distribution scores, the same as for golden samples. The
difference is 1e-4 for trained networks, and 9e-3 for barely trained networks with nearly equal features."""
_BATCH: Final = 32
_SINGLES: Final = 64
"""Number of evenly spread photos that are also compared one at a time."""
_KERAS_BATCH: Final = 64
_ALL_CORES: Final = 0


@dataclass(frozen=True)
class KerasOutputs:
    """A Keras network's features ``(n, D)``, class logits and uncalibrated probabilities for photos, ``float32``."""

    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    probabilities: Probabilities

    def scores(self, temperature: float, unknown: DistanceHead | None) -> Scores:
        """Return calibrated probabilities and, with ``unknown``, out-of-distribution scores."""
        unknown_scores = None if unknown is None else unknown.score(self.features)
        return Scores(calibrated(self.logits, temperature), unknown_scores)


def keras_outputs(network: keras.Model, pixels: Pixels) -> KerasOutputs:
    """Run a network (see :func:`exporter.graph.network_ends`) on at least one photo, ``uint8 (n, S, S, 3)``."""
    ends = network_ends(network)
    all_ends = keras.Model(ends.inputs[0], [*ends.outputs, network.outputs[0]])
    features, logits, probabilities = all_ends.predict(pixels, batch_size=_KERAS_BATCH, verbose=0)
    return KerasOutputs(features, class_logits(logits), probabilities)


def onnx_scores(model: bytes, pixels: Pixels, batch: int = _BATCH) -> Scores:
    """Run an ONNX file, with all cores, on at least one photo, ``uint8 (n, S, S, 3)``.

    If the model ends in ``logits``, ``probabilities`` contains logits.
    """
    session = open_session(model, "the model", _ALL_CORES)
    parts = [session.run(None, {"image": pixels[start : start + batch]}) for start in range(0, len(pixels), batch)]
    columns: list[npt.NDArray[np.float32]] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Scores(columns[0], columns[1] if len(columns) > 1 else None)


@dataclass(frozen=True)
class UnknownParity:
    """The differences between two sets of out-of-distribution scores.

    Attributes:
        largest: largest difference, relative to the score (:func:`relative_difference`).
        crossed: number of photos whose two scores lie on different sides of the limit, except photos near the limit.
        near_limit: number of photos whose score in Keras differs from the limit by at most twice the tolerance.
    """

    largest: float
    crossed: int
    near_limit: int
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the scores agree."""
        return self.largest <= self.tolerance and not self.crossed


@dataclass(frozen=True)
class Parity:
    """The differences between two sets of probabilities.

    Attributes:
        largest, mean: absolute difference of a probability.
        flips: class indices (Keras, ONNX Runtime) of each photo with different labels, except near-ties.
        near_ties: number of photos whose two highest probabilities in Keras differ by at most twice the tolerance.
        unknown: the differences between the out-of-distribution scores, or None without scores.
    """

    photos: int
    largest: float
    mean: float
    flips: tuple[tuple[int, int], ...]
    near_ties: int
    tolerance: float
    unknown: UnknownParity | None = None

    @property
    def passed(self) -> bool:
        """Whether probabilities and scores agree."""
        return self.probabilities_passed and (self.unknown is None or self.unknown.passed)

    @property
    def probabilities_passed(self) -> bool:
        """Whether the probabilities agree."""
        return self.photos > 0 and math.isfinite(self.largest) and self.largest <= self.tolerance and not self.flips


def prove(
    network: keras.Model,
    model: bytes,
    pixels: Pixels,
    metadata: ModelMetadata,
    unknown: DistanceHead | None,
) -> tuple[Parity, Parity]:
    """Compare an ONNX file with its Keras network on at least one photo, ``uint8 (n, S, S, 3)``.

    Returns the parity of all photos in batches, and of some photos one by one. Raises ParityError.
    """
    outputs = keras_outputs(network, pixels)
    _check_last_layer(outputs)
    expected = outputs.scores(metadata.temperature, unknown)
    singles = evenly(len(pixels), _SINGLES)
    some = Scores(expected.probabilities[singles], None if expected.unknown is None else expected.unknown[singles])
    limit = metadata.unknown.limit if metadata.unknown else None
    many = compare(expected, onnx_scores(model, pixels), limit)
    return many, compare(some, onnx_scores(model, pixels[singles], 1), limit)


def _check_last_layer(outputs: KerasOutputs) -> None:
    """The ONNX graph is built from the logits, so the last layer must be their softmax or sigmoid."""
    units = outputs.probabilities.shape[1]  # a sigmoid has one output, for the second class
    difference = np.abs(outputs.probabilities - calibrated(outputs.logits, 1.0)[:, -units:]).max()
    if not difference <= TOLERANCE and np.isfinite(outputs.logits).all():
        msg = (
            "The output of the layer 'probabilities' is not the softmax (for two classes: sigmoid) of the output of "
            f"the layer 'logits': they differ by up to {difference:.2g}. Nothing was published; end the network in a "
            "softmax, and train again."
        )
        raise ParityError(msg)


def compare(expected: Scores, got: Scores, limit: float | None = None) -> Parity:
    """Compare the scores of Keras and ONNX Runtime. NaN never passes.

    A photo whose out-of-distribution score is above ``limit`` goes to review.
    """
    reference = expected.probabilities
    difference = np.abs(reference - got.probabilities)
    ranked = np.sort(reference, axis=1)
    ties = ranked[:, -1] - ranked[:, -2] <= 2 * TOLERANCE
    before, after = reference.argmax(axis=1), got.probabilities.argmax(axis=1)
    flips = (before != after) & ~ties
    largest = float(difference.max(initial=0.0))
    unknown = None
    if limit is not None and expected.unknown is not None and got.unknown is not None:
        unknown = _compare_unknown(expected.unknown, got.unknown, limit)
    return Parity(
        photos=len(reference),
        largest=largest if np.isfinite(largest) else float("inf"),
        mean=float(difference.mean()) if difference.size else 0.0,
        flips=tuple(zip(before[flips].tolist(), after[flips].tolist(), strict=True)),
        near_ties=int(ties.sum()),
        tolerance=TOLERANCE,
        unknown=unknown,
    )


def _compare_unknown(expected: npt.NDArray[np.float32], got: npt.NDArray[np.float32], limit: float) -> UnknownParity:
    near = relative_difference(expected, np.full_like(expected, limit), limit) <= 2 * UNKNOWN_TOLERANCE
    crossed = ((expected <= limit) != (got <= limit)) & ~near
    return UnknownParity(
        largest=float(relative_difference(expected, got, limit).max(initial=0.0)),
        crossed=int(crossed.sum()),
        near_limit=int(near.sum()),
        tolerance=UNKNOWN_TOLERANCE,
    )
