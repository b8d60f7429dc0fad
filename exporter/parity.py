"""The proof that ONNX Runtime says what Keras said, on the user's own photos."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from models.classifier import Probabilities
from models.preprocess import Pixels

__all__ = ["MANY", "SINGLES", "TOLERANCE", "NearTie", "Parity", "class_probabilities", "compare", "run_onnx"]

TOLERANCE: Final = 1e-4
MANY: Final = 32
"""Photos in a call, when all of them are compared in batches."""
SINGLES: Final = 64
"""How many photos, evenly spread, are also compared one at a time."""


@dataclass(frozen=True)
class NearTie:
    """A photo whose two likeliest classes are so close in Keras itself that either may win."""

    index: int
    margin: float


@dataclass(frozen=True)
class Parity:
    """How far two sets of probabilities agree.

    Attributes:
        photos: how many were compared.
        largest: largest absolute difference of a probability.
        mean: mean absolute difference.
        flips: photos whose top label differs though they are no near-ties.
        near_ties: photos whose margin in Keras is within twice the tolerance.
        tolerance: the largest difference that passes.
    """

    photos: int
    largest: float
    mean: float
    flips: tuple[int, ...]
    near_ties: tuple[NearTie, ...]
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the export may ship."""
        return self.photos > 0 and self.largest <= self.tolerance and not self.flips


def compare(expected: Probabilities, got: Probabilities, tolerance: float = TOLERANCE) -> Parity:
    """Compare Keras's probabilities with ONNX Runtime's.

    Args:
        expected: Keras's, ``float32 (n, classes)``.
        got: ONNX Runtime's, of the same shape.
        tolerance: the largest difference that passes; not-a-number never does.
    """
    difference = np.abs(expected - got)
    ranked = np.sort(expected, axis=1)
    margins = ranked[:, -1] - ranked[:, -2]
    ties = margins <= 2 * tolerance
    flips = (expected.argmax(axis=1) != got.argmax(axis=1)) & ~ties
    largest = float(difference.max(initial=0.0))
    return Parity(
        photos=len(expected),
        largest=largest if np.isfinite(largest) else float("inf"),
        mean=float(difference.mean()) if difference.size else 0.0,
        flips=tuple(int(i) for i in np.flatnonzero(flips)),
        near_ties=tuple(NearTie(int(i), float(margins[i])) for i in np.flatnonzero(ties)),
        tolerance=tolerance,
    )


def class_probabilities(output: npt.NDArray[np.float32]) -> Probabilities:
    """A Keras network's output with a column a class: a sigmoid's ``(n, 1)`` becomes ``(n, 2)``."""
    return np.concatenate([1.0 - output, output], axis=1) if output.shape[1] == 1 else output


def run_onnx(model: bytes, pixels: Pixels, batch: int) -> Probabilities:
    """Run an ONNX model.

    Args:
        model: the ONNX file.
        pixels: ``uint8 (n, S, S, 3)``, at least one photo.
        batch: how many photos in one call.

    Returns:
        ``float32 (n, classes)``.
    """
    ort.disable_telemetry_events()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    parts = [
        session.run(["probabilities"], {"image": pixels[start : start + batch]})[0]
        for start in range(0, len(pixels), batch)
    ]
    return np.concatenate(parts)
