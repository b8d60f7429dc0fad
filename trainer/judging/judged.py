"""One split of the data, as the best network sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.splits.assigned import AssignedPhoto

__all__ = ["Judged"]


@dataclass(frozen=True)
class Judged:
    """One split as the best network sees it.

    Attributes:
        photos: n of them.
        labels: class indices ``(n,)``.
        logits: class logits ``float32 (n, classes)``, before the temperature.
        probabilities: calibrated, ``float32 (n, classes)``.
        unknown: the unknown score ``float32 (n,)``.
    """

    photos: Sequence[AssignedPhoto]
    labels: NDArray[np.intp]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    unknown: NDArray[np.float32]
