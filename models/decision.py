"""From what the network says of a photo to a label, or to a person."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from models.statistics.confidence import Thresholds

__all__ = ["Prediction", "Probabilities", "ReviewReason", "Rules", "Scores"]

Probabilities = npt.NDArray[np.float32]


class ReviewReason(StrEnum):
    """Why a person should look.

    A confidence under the class's threshold, or an unknown score beyond the limit; where both are so it is the latter:
    what is none of the products has no class to be sure of. The model says these two; that photos of one product
    disagree is found when a job's parts are merged, of photos that were sure by themselves.
    """

    THRESHOLD = "threshold"
    UNKNOWN = "unknown"
    DISAGREEMENT = "disagreement"

    @property
    def words(self) -> str:
        """As a person reads it."""
        return {
            "threshold": "not sure enough",
            "unknown": "unlike what the model knows",
            "disagreement": "photos of one product disagree",
        }[self]


@dataclass(frozen=True)
class Scores:
    """What the network says of some photos.

    Attributes:
        probabilities: ``float32 (n, classes)``; rows sum to 1.
        unknown: ``float32 (n,)``, the higher, the stranger; none where the model has no such score.
    """

    probabilities: Probabilities
    unknown: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Prediction:
    """What the model says of one photo.

    Attributes:
        label: the likeliest class.
        confidence: its probability.
        reason: why a person should look; none where none needs to.
        top_k: the likeliest classes with their probabilities, best first.
        unknown: the higher, the stranger; none where the model has no such score.
    """

    label: str
    confidence: float
    reason: ReviewReason | None
    top_k: tuple[tuple[str, float], ...]
    unknown: float | None = None

    @property
    def review(self) -> bool:
        """Whether a person should look."""
        return self.reason is not None


@dataclass(frozen=True)
class Rules:
    """What decides.

    Attributes:
        labels: class names; the position is the column of the probabilities.
        thresholds: of each class.
        unknown_limit: a photo whose unknown score is above goes to review; none where there is no such score.
    """

    labels: tuple[str, ...]
    thresholds: Thresholds
    unknown_limit: float | None

    @property
    def all_to_review(self) -> bool:
        """Whether no class has a threshold, so that every photo goes to review."""
        return all(threshold is None for threshold in self.thresholds)

    def decide(self, scores: Scores, top_k: int) -> list[Prediction]:
        """A prediction for each photo; of equal probabilities the earlier class's wins."""
        order = np.argsort(-scores.probabilities, axis=1, kind="stable")[:, :top_k]
        unknown = [None] * len(order) if scores.unknown is None else scores.unknown.tolist()
        return [self._prediction(*row) for row in zip(scores.probabilities, order, unknown, strict=True)]

    def _prediction(self, row: Probabilities, best: npt.NDArray[np.intp], unknown: float | None) -> Prediction:
        first = int(best[0])
        return Prediction(
            label=self.labels[first],
            confidence=float(row[first]),
            reason=self._reason(row[first], self.thresholds[first], unknown),
            top_k=tuple((self.labels[i], float(row[i])) for i in best),
            unknown=unknown,
        )

    def _reason(self, confidence: np.float32, threshold: float | None, unknown: float | None) -> ReviewReason | None:
        """What is no number is within no limit."""
        if self.unknown_limit is not None and unknown is not None and not unknown <= self.unknown_limit:
            return ReviewReason.UNKNOWN
        sure = threshold is not None and confidence >= np.float32(threshold)
        return None if sure else ReviewReason.THRESHOLD
