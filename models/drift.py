"""Drift: whether a model's answers differ between a catalogue and the proof photos by more than chance.

Proof photos are the labelled photos from which the model's thresholds were computed. If only the shares of the classes
differ (label shift), the precision on a catalogue can be estimated. Expectation maximization finds the shares with the
maximum likelihood: Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori
probabilities", Neural Computation 14 (2002). The probability of each answer, given the true class, is estimated on the
proof photos, because the model's probabilities may be miscalibrated. The interval comes from a bootstrap of the proof
photos and the catalogue. ``benchmarks/label_shift.py`` measures how often promises are broken with and without this
estimate.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import lt
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, field_validator, model_validator

from models.bundle import Bundle
from models.errors import BundleError
from models.manifest import parse_file
from models.statistics.confidence import Probability, StrictModel, Thresholds

_LARGE: Final = 0.2
"""A population stability index above this value is large: Siddiqi, Credit Risk Scorecards (2006)."""
_LEAST_PHOTOS: Final = 30
_LEAST_EXPECTED: Final = 5.0
"""The smallest expected count of a bin: Cochran, "Some methods for strengthening the common χ² tests" (1954)."""
_Z: Final = 3.0902
"""The normal quantile of 0.999. Without drift, about one job in a thousand exceeds the limit."""
_SMOOTHING: Final = 0.5


def has_drifted(counts: Sequence[int], reference: Sequence[int]) -> bool:
    """Whether the population stability index is above 0.2 and :func:`chance_limit`.

    False if either histogram has under 30 rows.
    """
    return psi(counts, reference) > _LARGE and differs(counts, reference)


def differs(counts: Sequence[int], reference: Sequence[int]) -> bool:
    """Whether the population stability index is above :func:`chance_limit`.

    False if either histogram has under 30 rows.
    """
    n, m = sum(counts), sum(reference)
    return min(n, m) >= _LEAST_PHOTOS and psi(counts, reference) > chance_limit(len(counts), n, m)


def is_blind(counts: Sequence[int], reference: Sequence[int]) -> bool:
    """Whether chance alone may cause a large population stability index. True if either histogram has under 30 rows."""
    n, m = sum(counts), sum(reference)
    return min(n, m) < _LEAST_PHOTOS or _LARGE < chance_limit(len(counts), n, m) < math.inf


def psi(counts: Sequence[int], reference: Sequence[int]) -> float:
    """The population stability index of two histograms over the same bins; 0 for histograms of equal shape.

    Each count is increased by 0.5, to keep the index finite. Source: Yurdakul and Naranjo, "Statistical properties of
    the population stability index", Journal of Risk Model Validation 14 (2020).
    """
    index = 0.0
    for share, other in zip(_shares(counts), _shares(reference), strict=True):
        index += (share - other) * math.log(share / other)
    return index


def _shares(counts: Sequence[int]) -> list[float]:
    whole = sum(counts) + _SMOOTHING * len(counts)
    return [(count + _SMOOTHING) / whole for count in counts]


def chance_limit(bins: int, rows: int, reference_rows: int) -> float:
    """The population stability index that chance alone exceeds with a probability of 0.001.

    Without drift, the index is distributed like (1/n + 1/m) · χ², with ``bins - 1`` degrees of freedom (Yurdakul and
    Naranjo, 2020). The quantile of χ² is from Wilson and Hilferty, "The distribution of chi-square" (1931).

    n and m are ``rows`` and ``reference_rows``. Each bin should have at least about five photos.
    """
    degrees = bins - 1
    if not degrees:
        return math.inf
    spread = 2.0 / (9.0 * degrees)
    quantile = degrees * (1.0 - spread + _Z * math.sqrt(spread)) ** 3
    return (1.0 / rows + 1.0 / reference_rows) * quantile


def join_rare_bins(counts: Sequence[int], reference: Sequence[int]) -> tuple[list[int], list[int]]:
    """Merge the rarest bins of both histograms until at least five photos are expected in each bin."""
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


class ProofRows(StrictModel):
    """Counts of proof photos within the out-of-distribution limit, by true class, predicted class and confidence.

    Attributes:
        labels: class names. ``rows`` contains indices of this list.
        edges: ascending edges between the confidence bins. All thresholds are edges.
        rows: true class, likeliest class, bin, and number of rows.
        effective_rows: the effective sample size; copies of a photo are not independent rows.
    """

    labels: Annotated[tuple[str, ...], Field(strict=False)]
    edges: Annotated[tuple[float, ...], Field(strict=False)]
    rows: Annotated[tuple[tuple[NonNegativeInt, ...], ...], Field(min_length=1)]
    effective_rows: float = Field(ge=1.0)

    @model_validator(mode="after")
    def _inside(self) -> Self:
        classes, bins = len(self.labels), len(self.edges) + 1
        if not all(low < high for low, high in pairwise(self.edges)):
            msg = "edges: expected ascending confidences"
            raise ValueError(msg)
        limits = (classes, classes, bins, math.inf)
        if any(len(row) != len(limits) or not all(map(lt, row, limits)) for row in self.rows):
            msg = f"rows: expected class indices below {classes}, a bin below {bins}, and a count"
            raise ValueError(msg)
        return self


class ReferenceAnswers(StrictModel):
    """A model's answers on some photos. Each distinct photo counts once.

    Attributes:
        confidence_histogram: number of photos in 20 equal bins of confidence, from 0 to 1.
        by_label: number of photos by likeliest class.
        outliers: number of photos without a product in the test of the out-of-distribution score. None for a catalogue.
    """

    confidence_histogram: Annotated[tuple[NonNegativeInt, ...], Field(min_length=BINS, max_length=BINS, strict=False)]
    by_label: dict[str, NonNegativeInt]
    outliers: NonNegativeInt | None = None

    @property
    def photos(self) -> int:
        """Number of counted photos."""
        return sum(self.by_label.values())


class VariantReference(ReferenceAnswers):
    """A variant's answers on its proof photos.

    Attributes:
        proof: the photos used to compute the thresholds, or None.
        repeated: share of the labelled rows that show a photo, by its SHA-256. Only photos in five or more rows.
    """

    proof: ProofRows | None = None
    repeated: dict[str, Probability] = Field(default_factory=dict)


class Reference(StrictModel):
    """The contents of ``reference.json``: the answers of each variant on its proof photos."""

    schema_version: Literal[1] = 1
    variants: dict[str, VariantReference]

    @field_validator("variants")
    @classmethod
    def _check_photos(cls, variants: dict[str, VariantReference]) -> dict[str, VariantReference]:
        for name, answers in variants.items():
            if sum(answers.confidence_histogram) != answers.photos:
                msg = f"expected {name} to have as many confidences as labels"
                raise ValueError(msg)
        return variants


def confidence_histogram(confidences: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The histogram of confidences from 0 to 1, with 20 bins of equal width."""
    counts: npt.NDArray[np.int64] = np.histogram(confidences, bins=BINS, range=(0.0, 1.0))[0]
    return counts


def answers_of(labels: Iterable[str], confidences: npt.ArrayLike) -> ReferenceAnswers:
    """Count answers. Labels and confidences are in the same order."""
    names, counts = np.unique(np.array(list(labels), dtype=np.str_), return_counts=True)
    return ReferenceAnswers(
        confidence_histogram=tuple(confidence_histogram(confidences).tolist()),
        by_label=dict(zip(names.tolist(), counts.tolist(), strict=True)),
    )


def answers_of_probabilities(probabilities: npt.NDArray[np.float32], labels: Sequence[str]) -> ReferenceAnswers:
    """Count predictions ``float32 (n, classes)``. ``labels`` are the names of the classes."""
    return answers_of((labels[best] for best in probabilities.argmax(axis=1)), probabilities.max(axis=1))


def read_reference(bundle: Bundle, variant: str) -> VariantReference:
    """Read a variant's answers on its proof photos. Raises BundleError if the file is damaged or lacks the variant."""
    file = bundle.path / REFERENCE_FILE
    answers = parse_file(Reference, bundle.read(REFERENCE_FILE), str(file)).variants.get(variant)
    if answers is None:
        msg = f"Expected answers of {variant} in {file}, found none; export the bundle again."
        raise BundleError(msg)
    return answers


_LEVELS: Final = 3
"""Number of confidence bins for each class: one bin below the class's threshold, and two bins above."""
_BOOTSTRAPS: Final = 200
_STEPS: Final = 200
_CLOSE: Final = 1e-5
_NEVER: Final = 2.0
_LOW: Final = 0.05
_LOW_RAISED: Final = 0.025
"""The search for a higher threshold uses this value instead of ``_LOW``, because it tries many thresholds."""


@dataclass(frozen=True)
class ExpectedPrecision:
    """The expected precision of the labels of a catalogue, and its 90% interval.

    Attributes:
        shares: estimated share of each class in the catalogue's rows within the out-of-distribution limit.
        proof_shares: share of each class in the proof rows within the out-of-distribution limit.
        raised: if the thresholds may break the promise, the lowest threshold that keeps the promise. A
            value above 1 means that no threshold keeps the promise.
    """

    precision: float
    low: float
    high: float
    shares: Mapping[str, float]
    proof_shares: Mapping[str, float]
    raised: float | None


class LabelShift:
    """Counts a catalogue's answers, and estimates the precision of the labels.

    Args:
        proof: the proof rows of the model that labelled the catalogue.
        thresholds: one per class, in the order of ``proof.labels``.
    """

    def __init__(self, proof: ProofRows, thresholds: Thresholds) -> None:
        self.labels = proof.labels
        self._edges = np.array(proof.edges, np.float32)
        self._classes, self._bins = len(proof.labels), len(proof.edges) + 1
        self._true, self._guess, self._bin, self._rows = np.array(proof.rows, np.intp).T
        self._effective_rows = max(1, round(proof.effective_rows))
        limits = np.array([np.inf if limit is None else limit for limit in thresholds], np.float32)
        first = np.where(np.isinf(limits), self._bins, np.searchsorted(self._edges, limits, side="right"))
        self._sure = self._bin >= first[self._guess]
        self._first = int(first.min())
        self._cuts = self._level_cuts()
        self._cells = self._classes * (len(self._cuts) + 1)
        pairs = self._true * self._cells + self._cell(self._guess, self._bin)
        self._pairs, self._pair = np.unique(pairs, return_inverse=True)
        self._answers = np.zeros(self._cells, np.intp)

    def _level_cuts(self) -> npt.NDArray[np.intp]:
        sure = np.repeat(self._bin[self._sure], self._rows[self._sure])
        above = [np.sort(sure)[len(sure) * part // (_LEVELS - 1)] for part in range(1, _LEVELS - 1) if len(sure)]
        return np.unique(np.array([self._first, *above], np.intp))

    def _cell(self, guess: npt.NDArray[np.intp], bins: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        return guess * (len(self._cuts) + 1) + np.searchsorted(self._cuts, bins, side="right")

    @property
    def rows(self) -> int:
        """The number of counted rows."""
        return int(self._answers.sum())

    def add(self, guesses: npt.NDArray[np.intp], confidences: npt.NDArray[np.float32]) -> None:
        """Count rows within the out-of-distribution limit. ``guesses`` are indices of the likeliest classes."""
        bins = np.searchsorted(self._edges, confidences, side="right")
        self._answers += np.bincount(self._cell(guesses, bins), minlength=self._cells)

    def expected(self, promise: float) -> ExpectedPrecision | None:
        """The expected precision. None for fewer than 30 rows, or if no proof row was labelled without review."""
        if self.rows < _LEAST_PHOTOS or not self._sure.any():
            return None
        whole = self._rows[None]
        weights, (shares,) = self._weights(whole, self._answers[None])
        precision = self._precisions(whole, weights)[0, self._first]
        random = np.random.default_rng(0)
        sizes, chances = (self._effective_rows, self.rows), (whole[0] / whole.sum(), self._answers / self.rows)
        draws = [tuple(map(random.multinomial, sizes, chances)) for _ in range(_BOOTSTRAPS)]
        rows, answers = map(np.array, zip(*draws, strict=True))
        curves = self._precisions(rows, self._weights(rows, answers, shares)[0])
        low, high = np.quantile(curves[:, self._first], (_LOW, 1 - _LOW))
        holds = np.flatnonzero(np.quantile(curves[:, self._first :], _LOW_RAISED, axis=0) >= promise) + self._first
        raised = float(self._edges[holds[0] - 1]) if holds[0] < self._bins else _NEVER
        return ExpectedPrecision(
            precision=float(precision),
            low=float(low),
            high=float(high),
            shares=self._named(shares),
            proof_shares=self._named(self._class_shares(whole)[0]),
            raised=raised if low < promise else None,
        )

    def _named(self, shares: npt.NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.labels, shares.tolist(), strict=True))

    def _class_shares(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        return np.asarray(_sums(rows, self._true, self._classes) / rows.sum(axis=1, keepdims=True))

    def _weights(
        self, rows: npt.NDArray[np.intp], answers: npt.NDArray[np.intp], start: npt.NDArray[np.float64] | None = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The weight of each class's proof rows, and the class's share of the catalogue, both ``(draws, classes)``.

        ``rows``: ``(draws, proof rows)``; ``answers``: ``(draws, cells)``. Pseudo-counts with the shares of the proof
        photos stabilize the shares of a small catalogue.
        """
        before = self._class_shares(rows)
        true, cell = np.divmod(self._pairs, self._cells)
        counts = _sums(rows, self._pair, len(self._pairs))
        chance = counts / _sums(counts, true, self._classes)[:, true].clip(min=1)
        shares = before.copy() if start is None else np.where(before > 0, start.clip(min=1e-9), 0.0)
        moving = np.arange(len(rows))
        for _ in range(_STEPS if start is None else _STEPS // 5):
            joint = shares[moving][:, true] * chance[moving]
            of_cell = _sums(joint, cell, self._cells)
            ratio = np.divide(answers[moving], of_cell, out=np.zeros_like(of_cell), where=of_cell > 0)
            updated = _sums(joint * ratio[:, cell], true, self._classes) + self._classes * before[moving]
            updated /= updated.sum(axis=1, keepdims=True)
            moves = np.abs(updated - shares[moving]).max(axis=1) >= _CLOSE
            shares[moving] = updated
            moving = moving[moves]
            if not len(moving):
                break
        return np.divide(shares, before, out=np.zeros_like(shares), where=before > 0), shares

    def _precisions(self, rows: npt.NDArray[np.intp], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        weighted = np.where(self._sure, rows * weights[:, self._true], 0.0)
        of_all, right = (
            _sums(each, self._bin, self._bins + 1)[:, ::-1].cumsum(axis=1)[:, ::-1]
            for each in (weighted, weighted * (self._true == self._guess))
        )
        precisions: npt.NDArray[np.float64] = np.divide(right, of_all, out=np.ones_like(right), where=of_all > 0)
        return precisions


def _sums(values: npt.NDArray[Any], index: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.float64]:
    """Sum the columns of ``values (draws, n)`` that have the same ``index (n,)``. Returns ``(draws, size)``."""
    places = index + size * np.arange(len(values))[:, None]
    sums = np.bincount(places.ravel(), values.ravel(), minlength=size * len(values))
    return np.asarray(sums, np.float64).reshape(len(values), size)
