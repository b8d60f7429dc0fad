"""How far two computations of the same unknown scores are apart."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["relative_difference"]

_SMALLEST: Final = 0.01


def relative_difference(
    expected: npt.NDArray[np.floating[Any]], got: npt.NDArray[np.floating[Any]], limit: float
) -> npt.NDArray[np.float64]:
    """Differences of unknown scores as parts of the scores' size.

    A score may be near 0 by chance: its size is the largest of itself, the limit, and the median of all that are
    compared, each without its sign. It is 0.01 at least, of what is in logits or in squared standard deviations: to a
    network that has learned nothing all photos are the same, and what is left of their scores is rounding.

    Args:
        expected: ``(n,)``.
        got: of the same shape.
        limit: the score above which a row goes to review.

    Returns:
        ``float64 (n,)``, 0 where they are equal; infinity for what is no number.
    """
    if not len(expected):
        return np.zeros(0)
    size = np.abs(expected.astype(np.float64))
    size = np.maximum(size, max(abs(limit), float(np.median(size)), _SMALLEST))
    with np.errstate(invalid="ignore"):  # infinity less infinity, which is no number
        difference = np.abs(expected.astype(np.float64) - got) / size
    return np.where(np.isfinite(difference), difference, np.inf)
