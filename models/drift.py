"""Drift: a model's answers on the photos of its proof, and whether others differ from them by more than chance."""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, field_validator

from models.bundle import Bundle
from models.errors import BundleError
from models.manifest import parse_file
from models.statistics.confidence import Record

_LARGE: Final = 0.2
"""A large change, by the convention of credit scoring: Siddiqi, Credit Risk Scorecards (2006)."""
_LEAST_PHOTOS: Final = 30
_LEAST_EXPECTED: Final = 5.0
"""The least expected photos in a bin: Cochran, "Some methods for strengthening the common χ² tests" (1954)."""
_Z: Final = 3.0902
"""The normal quantile of 0.999: of a thousand jobs without drift, one index of each kind goes beyond its limit."""
_SMOOTHING: Final = 0.5


def has_drifted(counts: Sequence[int], reference: Sequence[int]) -> bool:
    """Whether an index is large, and larger than chance explains; never with fewer than 30 rows."""
    return psi(counts, reference) > _LARGE and differs(counts, reference)


def differs(counts: Sequence[int], reference: Sequence[int]) -> bool:
    """Whether an index, however small, is larger than chance explains; never with fewer than 30 rows."""
    n, m = sum(counts), sum(reference)
    return min(n, m) >= _LEAST_PHOTOS and psi(counts, reference) > chance_limit(len(counts), n, m)


def is_blind(counts: Sequence[int], reference: Sequence[int]) -> bool:
    """Whether the rows are so few that chance alone may give a large index; always with fewer than 30 rows."""
    n, m = sum(counts), sum(reference)
    return min(n, m) < _LEAST_PHOTOS or _LARGE < chance_limit(len(counts), n, m) < math.inf


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
    """The index that chance exceeds once in a thousand times if nothing has changed.

    Without a change it is distributed like (1/n + 1/m) · χ² with a degree of freedom less than there are bins (Yurdakul
    and Naranjo, as above); the quantile of χ² is that of Wilson and Hilferty, "The distribution of chi-square" (1931).

    Each bin has some five photos or more; n and m are ``rows`` and ``reference_rows``.
    """
    degrees = bins - 1
    if not degrees:
        return math.inf
    spread = 2.0 / (9.0 * degrees)
    quantile = degrees * (1.0 - spread + _Z * math.sqrt(spread)) ** 3
    return (1.0 / rows + 1.0 / reference_rows) * quantile


def join_rare_bins(counts: Sequence[int], reference: Sequence[int]) -> tuple[list[int], list[int]]:
    """Two histograms whose rarest bins are joined, so that five photos or more are expected in each bin."""
    both = sorted(zip(counts, reference, strict=True), key=lambda pair: (sum(pair), pair))
    smaller, whole = min(sum(counts), sum(reference)), sum(counts) + sum(reference)
    least = _LEAST_EXPECTED * whole / smaller
    rare = (0, 0)
    while both and (0 < sum(rare) < least or sum(both[0]) < least):
        count, other = both.pop(0)
        rare = (rare[0] + count, rare[1] + other)
    kept = [*([rare] if sum(rare) else []), *both]
    return [count for count, _ in kept], [other for _, other in kept]


REFERENCE_FILE: Final = "reference.json"
BINS: Final = 20


class ReferenceAnswers(Record):
    """A model's answers on some photos, each distinct one counted once.

    Attributes:
        confidence_histogram: photos in each of 20 bins of equal width from 0 to 1, by their confidence.
        by_label: likeliest class → photos.
        outliers: photos of no product that the unknown score was measured on; None of photos of a catalogue.
    """

    confidence_histogram: Annotated[tuple[NonNegativeInt, ...], Field(min_length=BINS, max_length=BINS, strict=False)]
    by_label: dict[str, NonNegativeInt]
    outliers: NonNegativeInt | None = None

    @property
    def photos(self) -> int:
        """How many photos were counted."""
        return sum(self.by_label.values())


class Reference(Record):
    """The contents of ``reference.json``: variant → its answers."""

    schema_version: Literal[1] = 1
    variants: dict[str, ReferenceAnswers]

    @field_validator("variants")
    @classmethod
    def _check_photos(cls, variants: dict[str, ReferenceAnswers]) -> dict[str, ReferenceAnswers]:
        """Refuse unusable figures now, and not after the job's last photo."""
        for name, answers in variants.items():
            if sum(answers.confidence_histogram) != answers.photos:
                msg = f"expected {name} to have as many confidences as labels"
                raise ValueError(msg)
        return variants


def confidence_histogram(confidences: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """How many confidences, each from 0 to 1, are in each of 20 bins of equal width."""
    counts: npt.NDArray[np.int64] = np.histogram(confidences, bins=BINS, range=(0.0, 1.0))[0]
    return counts


def answers_of(labels: Iterable[str], confidences: npt.ArrayLike) -> ReferenceAnswers:
    """Count answers: a label and a confidence for each photo, in the same order."""
    names, counts = np.unique(np.array(list(labels), dtype=np.str_), return_counts=True)
    return ReferenceAnswers(
        confidence_histogram=tuple(confidence_histogram(confidences).tolist()),
        by_label=dict(zip(names.tolist(), counts.tolist(), strict=True)),
    )


def answers_of_probabilities(probabilities: npt.NDArray[np.float32], labels: Sequence[str]) -> ReferenceAnswers:
    """Count predictions: ``float32 (n, classes)``, with class names in the order of the columns."""
    return answers_of((labels[best] for best in probabilities.argmax(axis=1)), probabilities.max(axis=1))


def read_reference(bundle: Bundle, variant: str) -> ReferenceAnswers:
    """A variant's answers on the photos that it was proved on; BundleError if the file is damaged or lacks them."""
    file = bundle.path / REFERENCE_FILE
    answers = parse_file(Reference, bundle.read(REFERENCE_FILE), str(file)).variants.get(variant)
    if answers is None:
        msg = f"Expected answers of {variant} in {file}, found none; export the bundle again."
        raise BundleError(msg)
    return answers
