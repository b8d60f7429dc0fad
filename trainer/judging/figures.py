"""Figures of a model on labelled photos, and sentences about them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.stats import rankdata

from models.statistics.calibration import expected_calibration_error
from models.statistics.confidence import PrecisionTarget
from models.statistics.intervals import Interval, design_effect, proportion_interval
from models.statistics.thresholds import fewest_own_rows, fewest_rows, label_levels
from models.taxonomy import REVIEW, Taxonomy, level_name
from models.text import number_of
from trainer.request import Preset
from trainer.run import RunArgs, RunState

_TOP: Final = 5
_LEAST: Final = 1e-12
_FEWEST_SURE: Final = 10
_SHARES_RIGHT: Final = (0.95, 0.9, 0.8)
_WEAK: Final = 5

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer]
Counts = npt.NDArray[np.int64]


class EvaluationRecord(BaseModel):
    """A part of ``evaluation.json``."""

    model_config = ConfigDict(frozen=True)


class ClassFigures(EvaluationRecord):
    """Precision, recall and F1 of one class, with 95% intervals. ``support`` is the number of photos."""

    precision: float
    precision_95: Interval
    recall: float
    recall_95: Interval
    f1: float
    f1_95: Interval
    support: int

    @property
    def rates(self) -> tuple[tuple[float, Interval], ...]:
        """Precision, recall and F1, each with its interval."""
        return (self.precision, self.precision_95), (self.recall, self.recall_95), (self.f1, self.f1_95)


class Figures(EvaluationRecord):
    """Accuracy, loss and other figures of one split. Precision, recall and F1 are means over the split's classes.

    ``top5`` is None if there are at most five classes. ``ece`` is the expected calibration error.
    ``loss`` is the mean cross-entropy.
    """

    n: int
    accuracy: float
    accuracy_95: Interval
    loss: float
    top5: float | None
    precision: float
    recall: float
    f1: float
    ece: float
    classes: dict[str, ClassFigures]


class AchievedPrecision(EvaluationRecord):
    """Coverage and precision on one split at the thresholds of a target precision.

    Attributes:
        coverage: share of the photos that are labelled without review. automatic: number of these photos.
        precision: share of the photos labelled without review that have the right label. None without labelled photos.
        levels: one record per level of a tree, classes first. A label is right if it is the true class or a node above
            it.
    """

    coverage: float
    automatic: int
    wrong: int
    precision: float | None
    precision_95: Interval
    levels: "tuple[AchievedPrecision, ...]" = ()

    def misses(self, target: float) -> bool:
        """Whether the measured precision is significantly below a target precision."""
        return self.precision is not None and self.precision_95[1] < target


class OutlierFigures(EvaluationRecord):
    """How well the out-of-distribution score detects photos without a product.

    ``n``: number of held-out photos without a product. ``caught``: share of them with a score above the limit.
    ``auroc``: area under the ROC curve, with photos of products as negatives.
    """

    n: int
    caught: float
    caught_95: Interval
    auroc: float


class SurestPhotos(EvaluationRecord):
    """Photos with a confidence of at least ``threshold``. ``right`` counts correct labels. ``of`` counts all photos."""

    threshold: float
    photos: int
    right: int
    of: int


def score(probabilities: Probabilities, labels: Labels, classes: Sequence[str], effect: float = 1.0) -> Figures:
    """Compare predicted probabilities ``float32 (n, classes)`` with true class indices ``(n,)``; n is at least 1.

    ``effect``: the design effect for the intervals; see :func:`group_effect`.
    """
    guesses = probabilities.argmax(axis=1)
    per_class = _per_class(guesses, labels, classes, effect)
    present = [figures for figures in per_class.values() if figures.support]
    hits = int((guesses == labels).sum())
    return Figures(
        n=len(labels),
        accuracy=hits / len(labels),
        accuracy_95=proportion_interval(hits / effect, len(labels) / effect),
        loss=float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], _LEAST)).mean()),
        top5=_top5(probabilities, labels),
        precision=float(np.mean([f.precision for f in present])),
        recall=float(np.mean([f.recall for f in present])),
        f1=float(np.mean([f.f1 for f in present])),
        ece=expected_calibration_error(probabilities, labels),
        classes=per_class,
    )


def group_effect(probabilities: Probabilities, labels: Labels, groups: npt.NDArray[np.intp]) -> float:
    """Compute the design effect: the number of photos divided by the effective sample size.

    The design effect is 1 if no two photos share a picture or product. ``groups``: the index ``(n,)`` of each photo's
    group. One extra group with only wrong predictions prevents an estimate that is too low.
    """
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    usual = round(len(groups) / len(np.unique(groups)))
    return design_effect(np.append(right, np.zeros(usual)), np.append(groups, np.full(usual, groups.max() + 1)))


def confusion(probabilities: Probabilities, labels: Labels, classes: int) -> Counts:
    """Counts ``(classes, classes)``. Rows are true classes, columns predicted classes."""
    kinds = labels.astype(np.int64) * classes + probabilities.argmax(axis=1)
    return np.bincount(kinds, minlength=classes**2).reshape(classes, classes)


def _per_class(guesses: Labels, labels: Labels, classes: Sequence[str], effect: float) -> dict[str, ClassFigures]:
    hits, guessed, support = (
        np.bincount(classes_of, minlength=len(classes)).tolist()
        for classes_of in (labels[guesses == labels], guesses, labels)
    )
    counts = zip(classes, hits, guessed, support, strict=True)
    return {name: _class_figures(*of_class, effect=effect) for name, *of_class in counts}


def _class_figures(hits: int, guessed: int, support: int, *, effect: float) -> ClassFigures:
    # F1 = 2J / (1 + J), with the Jaccard index J
    either = guessed + support - hits
    low, high = (2 * j / (1 + j) for j in proportion_interval(hits / effect, either / effect))
    return ClassFigures(
        precision=hits / max(1, guessed),
        precision_95=proportion_interval(hits / effect, guessed / effect),
        recall=hits / max(1, support),
        recall_95=proportion_interval(hits / effect, support / effect),
        f1=2 * hits / max(1, guessed + support),
        f1_95=(low, high),
        support=support,
    )


def _top5(probabilities: Probabilities, labels: Labels) -> float | None:
    if probabilities.shape[1] <= _TOP:
        return None
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :_TOP]  # stable: ties keep the class order
    return float((likeliest == labels[:, None]).any(axis=1).mean())


def outlier_figures(
    scores: npt.NDArray[np.floating], known: npt.NDArray[np.floating], limit: float
) -> OutlierFigures | None:
    """Measure how well out-of-distribution scores separate photos with and without a product.

    ``scores`` belong to photos without a product, ``known`` to photos with a product. Returns None without ``scores``.
    """
    if not len(scores):
        return None
    count, caught = len(scores), len(scores) - int((scores <= limit).sum())
    ranks = rankdata(np.nan_to_num(np.concatenate([scores, known]), nan=np.inf))[:count]
    return OutlierFigures(
        n=count,
        caught=caught / count,
        caught_95=proportion_interval(caught, count),
        auroc=float((ranks.sum() - count * (count + 1) / 2) / (count * len(known))),
    )


def realised(
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.intp],
    known: npt.NDArray[np.bool_],
    target: PrecisionTarget,
    tree: Taxonomy | None,
    effect: float = 1.0,
) -> AchievedPrecision:
    """Compute coverage and precision with the thresholds of ``target``.

    ``probabilities``: calibrated. ``labels``: class indices ``(n,)``, n > 0. ``effect``: the design effect, which
    widens the intervals.
    """
    levels = label_levels(probabilities, known, target.thresholds, target.nodes, tree)
    guesses = probabilities.argmax(axis=1)
    right = guesses == labels
    if tree:
        for level in range(1, tree.top + 1):
            right = np.where(levels == level, tree.is_right(guesses, labels, level), right)
    of_levels = [_achieved(right, levels == level, effect) for level in range(tree.top + 1)] if tree else []
    return _achieved(right, levels != REVIEW, effect).model_copy(update={"levels": tuple(of_levels)})


def _achieved(right: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_], effect: float) -> AchievedPrecision:
    count, hits = int(chosen.sum()), int((right & chosen).sum())
    return AchievedPrecision(
        coverage=count / len(chosen),
        automatic=count,
        wrong=count - hits,
        precision=hits / count if count else None,
        precision_95=proportion_interval(hits / effect, count / effect),
    )


def distances(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.intp], tree: Taxonomy) -> dict[int, int]:
    """Count photos by edges from the true class up to its lowest common ancestor with the predicted class."""
    return dict(sorted(Counter(tree.distances(probabilities.argmax(axis=1), labels).tolist()).items()))


def surest_photos(probabilities: Probabilities, labels: Labels, known: npt.NDArray[np.bool_]) -> SurestPhotos | None:
    """Find the lowest threshold at which 95% of the predictions are right. If there is none, try 90%, then 80%.

    ``known``: whether a photo is within the out-of-distribution limit. Other photos are ignored. At least 10 photos
    must reach the threshold. Returns None if no threshold is found.
    """
    confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    choices = []
    for threshold in (hundredth / 100 for hundredth in range(1, 100)):
        chosen = known & (confidence >= threshold)
        choices.append(
            SurestPhotos(threshold=threshold, photos=int(chosen.sum()), right=int(right[chosen].sum()), of=len(labels))
        )
    sure = [one for one in choices if one.photos >= _FEWEST_SURE]
    kept = (one for share in _SHARES_RIGHT for one in sure if one.right >= share * one.photos)
    return next(kept, None)


def levels_text(achieved: AchievedPrecision) -> str:
    """Coverage and precision of each level, such as ``leaf 69.9%, 251 of 260 right; level 1 11.6%, 43 of 43 right``."""
    rows = []
    for level, one in enumerate(achieved.levels):
        low, high = one.precision_95
        right = f", {one.automatic - one.wrong:,} of {one.automatic:,} right ({low:.3f} to {high:.3f})"
        rows.append(f"{level_name(level)} {one.coverage:.1%}{right if one.automatic else ''}")
    return f"{'; '.join(rows)}; {achieved.coverage:.1%} at some level"


def distances_text(away: Mapping[int, int]) -> str:
    """The distances of wrong predictions as text, such as ``44 by 1 edge, 5 by 2 edges``."""
    wrong = {edges: count for edges, count in away.items() if edges}
    if not wrong:
        return "All predicted classes are right"
    counts = (f"{count:,} by {number_of(edges, 'edge')}" for edges, count in sorted(wrong.items()))
    return f"Wrong predictions, by distance from the true class to the lowest common ancestor: {', '.join(counts)}"


def achieved_text(precision: float, achieved: AchievedPrecision) -> str:
    """Coverage and precision at a target, such as ``At 0.95: 61% of the photos labelled, 98 of 100 right (…)``."""
    if achieved.precision is None:
        return f"At {precision:.2f}: no photo is labelled without review"
    low, high = achieved.precision_95
    return (
        f"At {precision:.2f}: {achieved.coverage:.1%} of the photos labelled without review, "
        f"{achieved.automatic - achieved.wrong:,} of these {achieved.automatic:,} right: "
        f"{achieved.precision:.3f} (95%: {low:.3f}–{high:.3f})"
    )


def why_unproved(target: PrecisionTarget, own: Figures | None) -> str:
    """The reason why a precision cannot be promised. ``own``: validation figures or pooled out-of-fold figures."""
    fewest, rows = fewest_rows(target.precision, tree=bool(target.nodes)), target.rows[0]
    counts = [(fewest, rows), (fewest_own_rows(target.precision), own.n)] if own else [(fewest, rows)]
    for needed, there in counts:
        if there < needed:
            return f"requires at least {needed:,} independent photos, and there are {there:,}"
    if own and own.accuracy < 1.0:
        why = f"{own.n - round(own.n * own.accuracy):,} of {own.n:,} are wrong"
    else:
        why = "photos of one product are not independent"
    return (
        f"requires correct predictions for the {fewest:,} most confident independent photos, or for nearly all of a "
        f"larger number; {why}"
    )


def unpromised_sentences(
    lowest: PrecisionTarget, own: Figures | None, surest: SurestPhotos | None, word: str, own_word: str
) -> list[str]:
    """Explain why the ``lowest`` precision cannot be promised, and list weak classes.

    ``word`` names the photos in ``surest``, such as "validation". ``own_word`` names the photos in ``own``.
    """
    sentences = [f"No precision can be promised. The lowest, {lowest.precision:.2f}, {why_unproved(lowest, own)}."]
    if surest:
        sentences.append(
            f"Without a promise, --threshold {surest.threshold:.2f} labels {surest.photos:,} of "
            f"{number_of(surest.of, f'{word} photo')} (confidence {surest.threshold:.2f} or more), and "
            f"{surest.right:,} of these labels are right ({surest.right / surest.photos:.0%})."
        )
    if own and (weak := weakest(own)):
        recalls = ", ".join(f"{one} ({own.classes[one].recall:.0%})" for one in weak)
        sentences.append(f"Lowest recall on the {own_word} photos: {recalls}.")
    return sentences


def advice_for_promise(args: RunArgs, *, folds_may_prove: bool) -> str:
    """Advise how to get a model that can promise a precision."""
    ways = ["label more photos"]
    if args.state is RunState.INTERRUPTED:
        ways.insert(0, "continue the training")
    elif args.is_frozen and args.preset is Preset.QUICK:
        ways.insert(0, "train without --preset quick, to fine-tune the network")
    elif args.is_frozen and args.time_limit_s is not None:
        ways.insert(0, "allow more time, to fine-tune the network")
    elif args.ended_by_time:
        ways.insert(0, "allow more time (--time-limit shortened the training)")
    if args.state is not RunState.INTERRUPTED and not args.folds and folds_may_prove:
        ways.append("train with --folds 2, to prove a precision on more photos")
    *others, last = ways
    return f"For a promise, {', '.join(others)}{', or ' if others else ''}{last}."


def weakest(figures: Figures, most: int = _WEAK) -> list[str]:
    """The classes with the lowest recall below 1, worst first."""
    missed = [(one.recall, name) for name, one in figures.classes.items() if one.support and one.recall < 1.0]
    return [name for _, name in sorted(missed)[:most]]
