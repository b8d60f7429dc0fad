"""What a model says of each test photo, under the names of today."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Answers", "Said"]


@dataclass(frozen=True)
class Said:
    """A label a photo.

    Attributes:
        labels: names of today, ``(n,)``.
        confidence: of each, ``float64 (n,)``.
    """

    labels: npt.NDArray[np.str_]
    confidence: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """A model's probabilities, and what it makes of them.

    Attributes:
        labels: of the model; the position is the column.
        probabilities: ``float32 (n, classes)``.
        sure: whether it labels a photo by itself, without a person, ``(n,)``: with the thresholds of ``precision``.
        precision: how often it is to be right where it does so; none where it promises nothing.
        own_sure: the same with those that rule where a job asks for none, ``(n,)``.
        own_precision: and what these promise.
    """

    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    sure: npt.NDArray[np.bool_]
    precision: float | None
    own_sure: npt.NDArray[np.bool_]
    own_precision: float | None

    def said(self, today: Mapping[str, str]) -> Said:
        """The label of each photo, as it would be written today.

        The likeliest class is the one that the model would have labelled, and then gets its name of today; the
        confidence is the sum of all columns that have this name. So a merge changes no decision of the model's.

        Args:
            today: a name for each label; several may have the same.
        """
        names = np.array([today[label] for label in self.labels], dtype=np.str_)
        labels = names[self.probabilities.argmax(axis=1)]
        merged = names[None, :] == labels[:, None]
        return Said(labels, np.where(merged, self.probabilities.astype(np.float64), 0.0).sum(axis=1))
