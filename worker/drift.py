"""Drift: are a job's photos unlike those that its model was proved on?

What the model says of both is compared, by label and by confidence, with the population stability index. Each distinct
photo counts once, and rows that failed do not count.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from models.reference_answers import BINS, ReferenceAnswers

__all__ = ["Drift", "chance_limit", "compared", "psi"]

LARGE: Final = 0.2
"""What banks call a large change: Siddiqi, Credit Risk Scorecards (2006)."""
LEAST_PHOTOS: Final = 30
_LEAST_EXPECTED: Final = 5.0
"""Of each cell of a chi-squared test: Cochran, "Some methods for strengthening the common χ² tests" (1954)."""
_Z: Final = 3.0902
"""The normal quantile of 0.999: of a thousand jobs without drift, one index of each kind goes beyond its limit."""
_SMOOTHING: Final = 0.5


class Drift(BaseModel):
    """How far a job's photos are from those that its model was proved on.

    Attributes:
        confidence_psi: population stability index of the confidences, in 20 bins.
        label_psi: the same of the likeliest classes.
        rows: distinct photos of the job that were compared.
        reference_rows: those that the model was proved on.
        warning: for a person; none where chance may explain the difference, or it is small.
        reference: what the model says of those that it was proved on.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    confidence_psi: float
    label_psi: float
    rows: int
    reference_rows: int
    warning: str | None
    reference: ReferenceAnswers


def compared(found: ReferenceAnswers, reference: ReferenceAnswers) -> Drift | None:
    """Compare a job's answers with those on the photos that its model was proved on; nothing where either has none."""
    if not found.photos or not reference.photos:
        return None
    confidences = _joined(found.confidence_histogram, reference.confidence_histogram)
    names = sorted(found.by_label.keys() | reference.by_label.keys())
    labels = _joined(*([answers.by_label.get(name, 0) for name in names] for answers in (found, reference)))
    reasons = [
        f"{words} (PSI {psi(*pair):.2f})"
        for pair, words in (
            (confidences, _confidence_words(found, reference)),
            (labels, _label_words(found, reference)),
        )
        if _is_drift(*pair)
    ]
    return Drift(
        confidence_psi=round(psi(*confidences), 4),
        label_psi=round(psi(*labels), 4),
        rows=found.photos,
        reference_rows=reference.photos,
        warning=_warning(reasons) if reasons else None,
        reference=reference,
    )


def psi(counts: Sequence[int], reference: Sequence[int]) -> float:
    """The population stability index of two histograms over the same bins: 0 where they have the same shape.

    Half a photo is added to each bin, so that an empty one is no infinity. The order of the bins does not matter.
    Source: Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
    Validation 14 (2020).
    """
    index = 0.0
    for share, other in zip(_shares(counts), _shares(reference), strict=True):
        index += (share - other) * math.log(share / other)
    return index


def _shares(counts: Sequence[int]) -> list[float]:
    whole = sum(counts) + _SMOOTHING * len(counts)
    return [(count + _SMOOTHING) / whole for count in counts]


def chance_limit(bins: int, rows: int, reference_rows: int) -> float:
    """What an index goes beyond once in a thousand times where nothing has changed.

    Without a change it is distributed like (1/n + 1/m) · χ² with a degree of freedom less than there are bins (Yurdakul
    and Naranjo, as above); the quantile of χ² is that of Wilson and Hilferty, "The distribution of chi-square" (1931).

    Args:
        bins: how many, each with some five photos or more.
        rows: n.
        reference_rows: m.
    """
    degrees = bins - 1
    if not degrees:
        return math.inf
    spread = 2.0 / (9.0 * degrees)
    quantile = degrees * (1.0 - spread + _Z * math.sqrt(spread)) ** 3
    return (1.0 / rows + 1.0 / reference_rows) * quantile


def _joined(counts: Sequence[int], reference: Sequence[int]) -> tuple[list[int], list[int]]:
    """Two histograms with their rarest bins as one, so that each has five photos or more to be expected in it."""
    both = sorted(zip(counts, reference, strict=True), key=lambda pair: (sum(pair), pair))
    smaller, whole = min(sum(counts), sum(reference)), sum(counts) + sum(reference)
    least = _LEAST_EXPECTED * whole / smaller
    rare = (0, 0)
    while both and (0 < sum(rare) < least or sum(both[0]) < least):
        count, other = both.pop(0)
        rare = (rare[0] + count, rare[1] + other)
    kept = [*([rare] if sum(rare) else []), *both]
    return [count for count, _ in kept], [other for _, other in kept]


def _is_drift(counts: Sequence[int], reference: Sequence[int]) -> bool:
    n, m = sum(counts), sum(reference)
    enough = min(n, m) >= LEAST_PHOTOS
    return enough and psi(counts, reference) > max(LARGE, chance_limit(len(counts), n, m))


def _warning(reasons: Sequence[str]) -> str:
    return (
        f"Drift: these photos are unlike those that the model was proved on: {', and '.join(reasons)}. Look at some of "
        "them; the model may need to learn from such photos."
    )


def _confidence_words(found: ReferenceAnswers, reference: ReferenceAnswers) -> str:
    here, there = (_mean(answers.confidence_histogram) for answers in (found, reference))
    return f"its confidence is {here:.2f} on average, and was {there:.2f}"


def _mean(histogram: Sequence[int]) -> float:
    """As far as the middles of the bins tell."""
    return sum((number + 0.5) / BINS * count for number, count in enumerate(histogram)) / sum(histogram)


def _label_words(found: ReferenceAnswers, reference: ReferenceAnswers) -> str:
    """The class whose share has moved most."""
    here, there = (_share_of(answers.by_label) for answers in (found, reference))
    name = max(sorted(here.keys() | there.keys()), key=lambda one: abs(here.get(one, 0.0) - there.get(one, 0.0)))
    return f"{here.get(name, 0.0):.0%} of them are {name}, and {there.get(name, 0.0):.0%} were"


def _share_of(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: count / sum(counts.values()) for name, count in counts.items()}
