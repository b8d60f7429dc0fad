"""Turns a network's scores for a photo into a label, or sends the photo to review by a person."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from models.photo import NONE
from models.statistics.confidence import PrecisionTarget, Thresholds
from models.taxonomy import Taxonomy

if TYPE_CHECKING:
    from models.manifest import ModelMetadata

Probabilities = npt.NDArray[np.float32]

_NO_PROMISE: Final = (
    "This model promises no precision: every photo goes to review. Train longer or with more photos, or get "
    "labels without a promise with --threshold."
)
UNMEASURED: Final = (
    f"The detection of photos without a product was not measured: train again with such photos in a folder {NONE}."
)


class ReviewReason(StrEnum):
    """Why a photo goes to review by a person.

    ``unknown``: the out-of-distribution score is above the limit. ``threshold``: not ``unknown``, but the confidence is
    too low. ``disagreement``, ``repeated`` and ``mix`` come from comparing the rows of a job.
    """

    THRESHOLD = "threshold"
    UNKNOWN = "unknown"
    DISAGREEMENT = "disagreement"
    REPEATED = "repeated"
    MIX = "mix"

    @property
    def words(self) -> str:
        """The reason in words."""
        return {
            "threshold": "not sure enough",
            "unknown": "unlike the model's products",
            "disagreement": "photos of one product disagree",
            "repeated": "many rows show one picture",
            "mix": "not sure enough for this mix of classes",
        }[self]


REASONS: Final = (None, ReviewReason.THRESHOLD, ReviewReason.UNKNOWN)
"""The reasons for review that a model gives. None means no review."""
_SURE, _UNSURE, _UNKNOWN = range(3)


@dataclass(frozen=True)
class Scores:
    """A network's scores for a batch of photos.

    Attributes:
        probabilities: ``float32 (n, classes)``; rows sum to 1.
        unknown: the out-of-distribution score, ``float32 (n,)``, or None.
    """

    probabilities: Probabilities
    unknown: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Prediction:
    """What the model predicts for one photo.

    Attributes:
        label: the likeliest class. In a tree of labels, a class below its threshold is replaced by the nearest ancestor
            that reaches its own threshold.
        confidence: the probability of the label; for a node, the sum over the node's classes.
        reason: why a person should check the label; None if the photo needs no review.
        top_k: the likeliest classes with their probabilities, best first.
        unknown: the out-of-distribution score, or None.
        label_level: level of the label, 0 for a class (:mod:`models.taxonomy`). None if there is no tree.
        leaf_guess: the likeliest class. None if there is no tree.
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
        """Whether the photo goes to review by a person."""
        return self.reason is not None


@dataclass(frozen=True)
class Decisions:
    """What the model predicts for ``n`` photos, as columns. A row is a :class:`Prediction`.

    Attributes:
        names: all possible labels: the classes, then the nodes above them.
        label: ``(n,)``, index of the label in ``names``.
        confidence: ``float32 (n,)``.
        reason: ``(n,)``, index of the reason in ``REASONS``.
        best: ``(n, top_k)``, indices of the likeliest classes, best first.
        best_probabilities: ``float32 (n, top_k)``.
        unknown: the out-of-distribution scores, ``float32 (n,)``, or None.
        level: ``int8 (n,)``, the level of the label; None if there is no tree.
    """

    names: tuple[str, ...]
    label: npt.NDArray[np.intp]
    confidence: Probabilities
    reason: npt.NDArray[np.intp]
    best: npt.NDArray[np.intp]
    best_probabilities: Probabilities
    unknown: npt.NDArray[np.float32] | None
    level: npt.NDArray[np.int8] | None

    def rows(self) -> list[Prediction]:
        """A prediction for each photo."""
        nothing = [None] * len(self.label)
        columns = (self.label, self.confidence, self.reason, self.best, self.best_probabilities)
        unknown = nothing if self.unknown is None else self.unknown.tolist()
        level = nothing if self.level is None else self.level.tolist()
        rows = zip(*(column.tolist() for column in columns), unknown, level, strict=True)
        return [
            Prediction(
                label=self.names[label],
                confidence=confidence,
                reason=REASONS[reason],
                top_k=tuple((self.names[place], value) for place, value in zip(best, values, strict=True)),
                unknown=score,
                label_level=height,
                leaf_guess=None if height is None else self.names[best[0]],
            )
            for label, confidence, reason, best, values, score, height in rows
        ]


@dataclass(frozen=True)
class Rules:
    """The rules that choose a photo's label from its scores, or send the photo to review.

    Attributes:
        labels: class names, in the order of the columns of the probabilities.
        unknown_limit: a photo with a higher out-of-distribution score goes to review. None means no limit.
        nodes: the threshold of each node above the labels in the tree.
    """

    labels: tuple[str, ...]
    thresholds: Thresholds
    unknown_limit: float | None
    tree: Taxonomy | None = None
    nodes: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def all_to_review(self) -> bool:
        """Whether every photo goes to review because no class and no node has a threshold."""
        return all(threshold is None for threshold in (*self.thresholds, *self.nodes.values()))

    @cached_property
    def _limits(self) -> Probabilities:
        """The thresholds of the classes, then of the nodes. NaN if there is no threshold."""
        above = map(self.nodes.get, self.tree.nodes) if self.tree else ()
        return np.array([*self.thresholds, *above], np.float32)

    def decide(self, scores: Scores, top_k: int) -> Decisions:
        """Label all photos at once, or send them to review.

        The first of equally likely classes wins. A photo with a NaN score or confidence goes to review.
        """
        best = np.argsort(-scores.probabilities, axis=1, kind="stable")[:, :top_k]
        values = np.take_along_axis(scores.probabilities, best, axis=1)
        label, confidence = best[:, 0], values[:, 0]
        reason = np.where(confidence >= self._limits[label], _SURE, _UNSURE)
        if self.unknown_limit is not None and scores.unknown is not None:
            known = scores.unknown.astype(np.float64) <= self.unknown_limit
            reason = np.where(known, reason, _UNKNOWN)
        decisions = Decisions(self.labels, label, confidence, reason, best, values, scores.unknown, None)
        return decisions if self.tree is None else self._in_tree(self.tree, decisions, scores.probabilities)

    def _in_tree(self, tree: Taxonomy, flat: Decisions, probabilities: Probabilities) -> Decisions:
        label, confidence, reason = flat.label.copy(), flat.confidence.copy(), flat.reason.copy()
        level, sums = np.zeros(len(label), np.int8), tree.probabilities(probabilities)
        for height, node in enumerate(tree.above[flat.label].T, start=1):
            limits = self._limits[len(self.labels) + node]
            sum_of = sums[np.arange(len(node)), node]
            rows = (reason == _UNSURE) & (node >= 0) & (sum_of >= limits)
            label[rows], confidence[rows] = len(self.labels) + node[rows], sum_of[rows]
            reason[rows], level[rows] = _SURE, height
        names = (*self.labels, *tree.nodes)
        return replace(flat, names=names, label=label, confidence=confidence, reason=reason, level=level)


def rules_of(metadata: "ModelMetadata", precision: float | None = None, threshold: float | None = None) -> Rules:
    """The rules for a promised precision, or for a threshold.

    Without ``precision`` and ``threshold``, the model's default precision applies. Without a default precision,
    every photo goes to review. Raises InputError.
    """
    tree, limit = metadata.tree, metadata.unknown.limit if metadata.unknown else None
    if threshold is not None:
        _check_threshold(precision, threshold)
        nodes = dict.fromkeys(tree.nodes if tree else (), threshold)
        return Rules(metadata.labels, (threshold,) * len(metadata.labels), limit, tree, nodes)
    target = metadata.ruling if precision is None else _target(metadata, precision)
    if target is None:
        return Rules(metadata.labels, metadata.thresholds, limit, tree)
    return Rules(metadata.labels, target.thresholds, limit, tree, target.nodes)


def _check_threshold(precision: float | None, threshold: float) -> None:
    if precision is not None:
        msg = "Expected --precision or --threshold, got both; a threshold promises no precision, so pass only one."
        raise InputError(msg)
    if not 0 < threshold <= 1:
        msg = f"Expected --threshold to be above 0 and at most 1, got {threshold}."
        raise InputError(msg)


def _target(metadata: "ModelMetadata", precision: float) -> PrecisionTarget:
    table = {target.precision: target for target in metadata.targets}
    if not table:
        msg = (
            f"Expected a table of precisions in the model {metadata.name} for --precision {precision}, found "
            "none; leave out --precision, or train again with more photos."
        )
        raise InputError(msg)
    if precision not in table:
        choices = ", ".join(map(precision_text, sorted(table)))
        msg = f"Expected --precision to be one of {choices}, got {precision}."
        raise InputError(msg)
    return table[precision]


def precision_text(precision: float) -> str:
    """A precision with at least two decimals: ``0.90``, ``0.995``."""
    return max(f"{precision:.2f}", str(precision), key=len)


def promise_text(precision: float | None) -> str:
    """The model's default precision: ``0.95``, or ``none``."""
    return "none" if precision is None else precision_text(precision)


def can_promise_text(metadata: "ModelMetadata") -> str:
    """A sentence that lists the precisions the model can promise: ``This model can promise 0.90, 0.95.``."""
    reached = [
        target.precision
        for target in metadata.targets
        if any(limit is not None for limit in (*target.thresholds, *target.nodes.values()))
    ]
    return f"This model can promise {', '.join(map(precision_text, reached)) or 'no precision'}."


def rule_text(precision: float | None, threshold: float | None, *, all_to_review: bool) -> str:
    """A sentence that explains which photos are labelled without review, if any.

    ``all_to_review``: no class has a threshold.
    """
    if threshold is not None:
        return f"Threshold {threshold}, from --threshold: no precision is promised."
    if precision is None:
        return _NO_PROMISE
    if all_to_review:
        return f"This model cannot promise precision {precision_text(precision)}: every photo goes to review."
    return f"At least {100 * precision:g}% of the labels without review should be right."
