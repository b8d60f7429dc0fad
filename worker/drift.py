"""Drift: are a job's photos unlike those that its model was proved on?

What the model says of both is compared, by label and by confidence, with the population stability index. Each distinct
photo counts once, and rows that failed do not count.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from models.reference_answers import BINS, ReferenceAnswers
from models.statistics.drift import has_drifted, join_rare_bins, psi

__all__ = ["Drift", "compared"]


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
    confidences = join_rare_bins(found.confidence_histogram, reference.confidence_histogram)
    names = sorted(found.by_label.keys() | reference.by_label.keys())
    labels = join_rare_bins(*([answers.by_label.get(name, 0) for name in names] for answers in (found, reference)))
    reasons = [
        f"{words} (PSI {psi(*pair):.2f})"
        for pair, words in (
            (confidences, _confidence_words(found, reference)),
            (labels, _label_words(found, reference)),
        )
        if has_drifted(*pair)
    ]
    return Drift(
        confidence_psi=round(psi(*confidences), 4),
        label_psi=round(psi(*labels), 4),
        rows=found.photos,
        reference_rows=reference.photos,
        warning=_warning(reasons) if reasons else None,
        reference=reference,
    )


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
