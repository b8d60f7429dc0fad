"""From a network's scores of a photo to a label, or to review by a person: thresholds, limits and reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from models.photo import NONE
from models.statistics.confidence import Thresholds
from models.taxonomy import Taxonomy

if TYPE_CHECKING:
    from models.manifest import ModelMetadata

Probabilities = npt.NDArray[np.float32]

_NO_PROMISE: Final = (
    "This model promises no precision: every photo goes to review. Train longer or with more photos, or ask for labels "
    "without a promise with --threshold."
)


UNMEASURED: Final = (
    "Nobody has measured how often this model notices photos of things that you do not sell: put some into a folder "
    f"{NONE} beside the training photos, and train again."
)


class ReviewReason(StrEnum):
    """Why a person should look.

    The model gives two reasons: ``threshold``, a confidence under the class's threshold, and ``unknown``, an
    out-of-distribution score above the limit. If both hold, the reason is ``unknown``. The third, ``disagreement``, is
    given when a job's parts are merged: sure photos of one product have different labels.
    """

    THRESHOLD = "threshold"
    UNKNOWN = "unknown"
    DISAGREEMENT = "disagreement"

    @property
    def words(self) -> str:
        """The reason as people read it."""
        return {
            "threshold": "not sure enough",
            "unknown": "unlike what the model knows",
            "disagreement": "photos of one product disagree",
        }[self]


@dataclass(frozen=True)
class Scores:
    """A network's scores of some photos.

    Attributes:
        probabilities: ``float32 (n, classes)``; rows sum to 1.
        unknown: the out-of-distribution score, ``float32 (n,)``; None if the model has none.
    """

    probabilities: Probabilities
    unknown: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Prediction:
    """What the model says of one photo.

    Attributes:
        label: the likeliest class; with a tree, where that is not sure enough, the lowest node above it that is.
        confidence: its probability: of a node, the sum over its classes.
        reason: why a person should look; None if nobody needs to.
        top_k: the likeliest classes with their probabilities, best first.
        unknown: the out-of-distribution score; None if the model has none.
        label_level: of the label, 0 for a class (:mod:`models.taxonomy`); None without a tree, like what follows.
        leaf_guess: the likeliest class.
    """

    label: str
    confidence: float
    reason: ReviewReason | None
    top_k: tuple[tuple[str, float], ...]
    unknown: float | None = None
    label_level: int | None = None
    leaf_guess: str | None = None

    @property
    def review(self) -> bool:
        """Whether a person should look."""
        return self.reason is not None


@dataclass(frozen=True)
class Rules:
    """The rules that turn scores into labels and reviews.

    Attributes:
        labels: class names; the position is the column of the probabilities.
        thresholds: of each class.
        unknown_limit: a photo whose out-of-distribution score is higher goes to review; None if there is no limit.
        tree: that the labels are the leaves of; None without one.
        nodes: node above the labels → its threshold.
    """

    labels: tuple[str, ...]
    thresholds: Thresholds
    unknown_limit: float | None
    tree: Taxonomy | None = None
    nodes: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def all_to_review(self) -> bool:
        """Whether neither a class nor a node above has a threshold, so that every photo goes to review."""
        return all(threshold is None for threshold in (*self.thresholds, *self.nodes.values()))

    def decide(self, scores: Scores, top_k: int) -> list[Prediction]:
        """A prediction for each photo; of equal probabilities the earlier class's wins."""
        found = self._of_classes(scores, top_k)
        if self.tree is None:
            return found
        sums = self.tree.probabilities(scores.probabilities)
        return [self._in_tree(self.tree, said, row) for said, row in zip(found, sums, strict=True)]

    def _of_classes(self, scores: Scores, top_k: int) -> list[Prediction]:
        order = np.argsort(-scores.probabilities, axis=1, kind="stable")[:, :top_k]
        best = np.take_along_axis(scores.probabilities, order, axis=1).tolist()
        unknown = [None] * len(order) if scores.unknown is None else scores.unknown.tolist()
        return [self._prediction(*row) for row in zip(order.tolist(), best, unknown, strict=True)]

    def _prediction(self, classes: list[int], best: list[float], unknown: float | None) -> Prediction:
        """A prediction of the likeliest classes, best first, and their probabilities."""
        return Prediction(
            label=self.labels[classes[0]],
            confidence=best[0],
            reason=self._reason(best[0], self.thresholds[classes[0]], unknown),
            top_k=tuple((self.labels[number], value) for number, value in zip(classes, best, strict=True)),
            unknown=unknown,
        )

    def _in_tree(self, tree: Taxonomy, said: Prediction, sums: Probabilities) -> Prediction:
        """The prediction, with the lowest node above its class that is sure enough; ``sums`` are those of the nodes."""
        guess = said.label
        said = replace(said, label_level=0, leaf_guess=guess)
        if said.reason is not ReviewReason.THRESHOLD:
            return said
        for node in tree.ancestors(guess):
            confidence = float(sums[tree.nodes.index(node)])
            if self._reason(confidence, self.nodes.get(node), None) is None:
                return replace(said, label=node, confidence=confidence, reason=None, label_level=tree.level[node])
        return said

    def _reason(self, confidence: float, threshold: float | None, unknown: float | None) -> ReviewReason | None:
        """Why a person should look, if at all. A score or confidence that is NaN always goes to review."""
        if self.unknown_limit is not None and unknown is not None and not unknown <= self.unknown_limit:
            return ReviewReason.UNKNOWN
        sure = threshold is not None and confidence >= float(np.float32(threshold))
        return None if sure else ReviewReason.THRESHOLD


def thresholds_for(metadata: "ModelMetadata", precision: float | None, threshold: float | None = None) -> Thresholds:
    """The thresholds to label by: those of a promised precision, or the one that was asked for instead.

    Args:
        metadata: of the model.
        precision: a target of the model's table; the model's own choice where it is not given.
        threshold: of every class, in the place of a promise.

    Returns:
        One for each class. Each is None if nothing is promised and no threshold was asked for, even if the model has
        thresholds: earlier versions exported 0.5 in that case, which promises nothing.

    Raises:
        InputError: the model's table does not name this precision, or there is none; the threshold is not above 0 and
            at most 1; or both are given.
    """
    none: Thresholds = (None,) * len(metadata.labels)
    if threshold is not None:
        if precision is not None:
            msg = "Expected --precision or --threshold, got both; a threshold promises no precision, so leave one out."
            raise InputError(msg)
        if not 0 < threshold <= 1:
            msg = f"Expected --threshold to be above 0 and at most 1, got {threshold}."
            raise InputError(msg)
        return (threshold,) * len(none)
    if precision is None:
        return metadata.thresholds if metadata.precision is not None else none
    table = {target.precision: target.thresholds for target in metadata.targets}
    if not table:
        msg = (
            f"Expected a table of precisions in the model {metadata.name} for --precision {precision}, it has none; "
            "export it again, of a run that has one, or leave out --precision."
        )
        raise InputError(msg)
    if precision not in table:
        choices = ", ".join(map(precision_text, sorted(table)))
        msg = f"Expected --precision to be one of {choices}, got {precision}."
        raise InputError(msg)
    return table[precision]


def node_thresholds_for(
    metadata: "ModelMetadata", precision: float | None, threshold: float | None = None
) -> Mapping[str, float | None]:
    """Node of the model's tree → its threshold, as :func:`thresholds_for` has those of classes; empty without a tree.

    A threshold that was asked for holds for all nodes; nothing is promised of them then, either.
    """
    if metadata.tree is None:
        return {}
    if threshold is not None:
        return dict.fromkeys(metadata.tree.nodes, threshold)
    wanted = metadata.precision if precision is None else precision
    return next((target.nodes for target in metadata.targets if target.precision == wanted), {})


def precision_text(precision: float) -> str:
    """With two digits, or with as many as it takes: ``0.90``, ``0.995``."""
    return max(f"{precision:.2f}", str(precision), key=len)


def promise_text(precision: float | None) -> str:
    """The precision that a model promises by default: ``0.95``, or ``none``."""
    return "none" if precision is None else precision_text(precision)


def can_promise_text(metadata: "ModelMetadata") -> str:
    """A sentence on the precisions that a model promises of any class: ``This model can promise 0.90, 0.95.``."""
    reached = [
        found.precision
        for found in metadata.targets
        if any(limit is not None for limit in (*found.thresholds, *found.nodes.values()))
    ]
    return f"This model can promise {', '.join(map(precision_text, reached)) or 'no precision'}."


def rule_text(precision: float | None, threshold: float | None, *, all_to_review: bool) -> str:
    """A sentence on what decides which photos are labeled: a promised precision, a threshold instead, or neither.

    ``all_to_review``: no class has a threshold.
    """
    if threshold is not None:
        return f"Threshold {threshold}, asked for by --threshold: no precision is promised."
    if precision is not None and all_to_review:
        return f"Precision {precision_text(precision)} can be promised for no class: every photo goes to review."
    if precision is not None:
        return f"At least {100 * precision:g}% of the labels that the model gives without a person should be right."
    if all_to_review:
        return _NO_PROMISE
    return "No precision was promised: an earlier Hangtag labeled photos by the model's own thresholds all the same."
