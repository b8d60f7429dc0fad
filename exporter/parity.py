"""How far ONNX Runtime's scores agree with Keras's, and what may ship."""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from exporter.options import TOLERANCE
from models.decision import Probabilities, Scores
from models.statistics.out_of_distribution import relative_difference

__all__ = ["NearTie", "Parity", "UnknownParity", "class_probabilities", "compare", "compare_scores", "compare_unknown"]

UNKNOWN_TOLERANCE: Final = 1e-2
"""Of out-of-distribution scores, as a part of their size: as golden samples allow. They are differences of sums of as
many squares as there are features. Trained networks agree to 1e-4; one that has hardly learned, and whose features are
nearly all the same, to 9e-3."""


@dataclass(frozen=True)
class NearTie:
    """A photo whose two likeliest classes are so close in Keras itself that either may win."""

    index: int
    margin: float


@dataclass(frozen=True)
class UnknownParity:
    """How far two sets of out-of-distribution scores agree.

    Attributes:
        largest: largest difference, as a part of the score's size (:func:`relative_difference`).
        crossed: photos that are on the other side of the limit though they are not near it.
        near_limit: photos whose score in Keras is within twice the tolerance of the limit, so that either side will do.
        tolerance: the largest difference that passes.
    """

    largest: float
    crossed: tuple[int, ...]
    near_limit: tuple[int, ...]
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the export may ship."""
        return self.largest <= self.tolerance and not self.crossed


@dataclass(frozen=True)
class Parity:
    """How far two sets of probabilities agree.

    Attributes:
        photos: how many were compared.
        largest: largest absolute difference of a probability.
        mean: mean absolute difference.
        flips: photos whose top label differs though they are no near-ties.
        changed: for each flip the class index that Keras gives the photo, and the one that it has got.
        near_ties: photos whose margin in Keras is within twice the tolerance.
        tolerance: the largest difference that passes.
        unknown: how far the out-of-distribution scores agree; none where there are none.
    """

    photos: int
    largest: float
    mean: float
    flips: tuple[int, ...]
    changed: tuple[tuple[int, int], ...]
    near_ties: tuple[NearTie, ...]
    tolerance: float
    unknown: UnknownParity | None = None

    @property
    def passed(self) -> bool:
        """Whether the export may ship."""
        return self.probabilities_passed and (self.unknown is None or self.unknown.passed)

    @property
    def probabilities_passed(self) -> bool:
        """Whether the probabilities agree, whatever the out-of-distribution scores do."""
        return self.photos > 0 and math.isfinite(self.largest) and self.largest <= self.tolerance and not self.flips


def compare_scores(expected: Scores, got: Scores, limit: float | None, tolerance: float = TOLERANCE) -> Parity:
    """Compare Keras's scores of some photos with ONNX Runtime's.

    Args:
        expected: Keras's.
        got: ONNX Runtime's, of the same photos.
        limit: above which a photo's out-of-distribution score sends it to review; none where there is no such score.
        tolerance: the largest difference of a probability that passes.
    """
    parity = compare(expected.probabilities, got.probabilities, tolerance)
    if limit is None or expected.unknown is None or got.unknown is None:
        return parity
    return replace(parity, unknown=compare_unknown(expected.unknown, got.unknown, limit))


def compare_unknown(
    expected: npt.NDArray[np.float32],
    got: npt.NDArray[np.float32],
    limit: float,
    tolerance: float = UNKNOWN_TOLERANCE,
) -> UnknownParity:
    """Compare Keras's out-of-distribution scores, ``float32 (n,)``, with ONNX Runtime's."""
    near = relative_difference(expected, np.full_like(expected, limit), limit) <= 2 * tolerance
    crossed = ((expected <= limit) != (got <= limit)) & ~near
    return UnknownParity(
        largest=float(relative_difference(expected, got, limit).max(initial=0.0)),
        crossed=tuple(int(i) for i in np.flatnonzero(crossed)),
        near_limit=tuple(int(i) for i in np.flatnonzero(near)),
        tolerance=tolerance,
    )


def compare(expected: Probabilities, got: Probabilities, tolerance: float = TOLERANCE) -> Parity:
    """Compare Keras's probabilities, ``float32 (n, classes)``, with ONNX Runtime's; not-a-number never passes."""
    difference = np.abs(expected - got)
    ranked = np.sort(expected, axis=1)
    margins = ranked[:, -1] - ranked[:, -2]
    ties = margins <= 2 * tolerance
    before, after = expected.argmax(axis=1), got.argmax(axis=1)
    flips = (before != after) & ~ties
    largest = float(difference.max(initial=0.0))
    return Parity(
        photos=len(expected),
        largest=largest if np.isfinite(largest) else float("inf"),
        mean=float(difference.mean()) if difference.size else 0.0,
        flips=tuple(int(i) for i in np.flatnonzero(flips)),
        changed=tuple((int(was), int(now)) for was, now in zip(before[flips], after[flips], strict=True)),
        near_ties=tuple(NearTie(int(i), float(margins[i])) for i in np.flatnonzero(ties)),
        tolerance=tolerance,
    )


def class_probabilities(output: npt.NDArray[np.float32]) -> Probabilities:
    """A Keras network's output with a column a class: a sigmoid's ``(n, 1)`` becomes ``(n, 2)``."""
    return np.concatenate([1.0 - output, output], axis=1) if output.shape[1] == 1 else output
