import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reference_answers import ReferenceAnswers, answers_of
from models.statistics.drift import chance_limit, psi
from worker.drift import compared

LABELS = ("boots", "hats", "shoes", "bags", "coats")
histograms = st.integers(2, 30).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 5_000), min_size=bins, max_size=bins)] * 2)
)


def drawn(
    random: np.random.Generator, photos: int, shares: Sequence[float] = (0.2,) * 5, sure: float = 8.0
) -> ReferenceAnswers:
    """Answers of a model that is usually sure; the lower ``sure``, the less."""
    return answers_of(random.choice(LABELS, photos, p=shares), random.beta(sure, 1.0, photos))


def resampled(random: np.random.Generator, of: ReferenceAnswers, photos: int) -> ReferenceAnswers:
    """As many answers, drawn as those of ``of`` are distributed."""
    counts, histogram = np.array(list(of.by_label.values())), np.array(of.confidence_histogram)
    labels = random.multinomial(photos, counts / counts.sum()).tolist()
    bins = random.multinomial(photos, histogram / histogram.sum()).tolist()
    return ReferenceAnswers(confidence_histogram=tuple(bins), by_label=dict(zip(of.by_label, labels, strict=True)))


@given(histograms)
def test_an_index_is_never_below_nothing(pair: tuple[list[int], list[int]]) -> None:
    assert psi(*pair) >= 0.0


@given(histograms)
def test_an_index_of_the_same_is_nothing(pair: tuple[list[int], list[int]]) -> None:
    assert psi(pair[0], pair[0]) == 0.0


@given(histograms, st.randoms(use_true_random=False))
def test_the_order_of_bins_does_not_matter(pair: tuple[list[int], list[int]], random) -> None:
    mixed = list(zip(*pair, strict=True))
    random.shuffle(mixed)
    assert psi(*zip(*mixed, strict=True)) == pytest.approx(psi(*pair), rel=1e-9, abs=1e-12)


def test_an_index_is_what_the_book_says() -> None:
    many = 10**9
    assert psi([many, many], [many, 3 * many]) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5))


@pytest.mark.parametrize(("bins", "quantile"), [(2, 10.828), (5, 18.467), (20, 43.820), (101, 149.449)])
def test_the_limit_of_chance_is_that_of_chi_squared(bins: int, quantile: float) -> None:
    assert chance_limit(bins, 100, 50) == pytest.approx((1 / 100 + 1 / 50) * quantile, rel=0.035)


@pytest.mark.parametrize(("photos", "reference"), [(30, 30), (100, 100), (50, 1_000), (20_000, 40), (2_000, 500)])
def test_of_a_thousand_jobs_without_drift_next_to_none_is_warned_of(photos: int, reference: int) -> None:
    """Both were drawn from the same; two in a thousand are promised, and seven would be chance once in 200 times."""
    random, warned = np.random.default_rng(1), 0
    everything = drawn(random, 100_000, (0.4, 0.3, 0.2, 0.08, 0.02))
    for _ in range(1_000):
        known, found = (resampled(random, everything, size) for size in (reference, photos))
        drift = compared(found, known)
        assert drift is not None
        warned += drift.warning is not None
    assert warned <= 6


def test_resamples_of_a_large_reference_are_never_warned_of() -> None:
    random = np.random.default_rng(2)
    known = drawn(random, 1_000)
    drifts = [compared(resampled(random, known, 1_000), known) for _ in range(1_000)]
    assert [drift.warning for drift in drifts if drift and drift.warning] == []


def test_photos_of_one_class_are_warned_of() -> None:
    random = np.random.default_rng(3)
    drift = compared(drawn(random, 400, (0.9, 0.1, 0, 0, 0)), drawn(random, 300))
    assert drift is not None
    assert drift.warning is not None
    assert "% of them are boots, and " in drift.warning
    assert f"PSI {drift.label_psi:.2f}" in drift.warning
    assert "confidence" not in drift.warning
    assert (drift.rows, drift.reference_rows) == (400, 300)


def test_photos_that_the_model_is_unsure_of_are_warned_of() -> None:
    random = np.random.default_rng(4)
    drift = compared(drawn(random, 400, sure=2.0), drawn(random, 300))
    assert drift is not None
    assert drift.warning is not None
    assert drift.warning.startswith("Drift: ")
    assert "its confidence is 0.6" in drift.warning
    assert "are boots" not in drift.warning


def test_a_small_change_of_many_photos_is_no_drift() -> None:
    random = np.random.default_rng(5)
    drift = compared(drawn(random, 20_000, (0.25, 0.15, 0.2, 0.2, 0.2)), drawn(random, 20_000))
    assert drift is not None
    assert 0.0 < drift.label_psi < 0.2, "chance does not explain it, and it is small"
    assert drift.label_psi > chance_limit(5, 20_000, 20_000)
    assert drift.warning is None


@pytest.mark.parametrize("photos", [1, 5, 29])
def test_of_few_photos_nothing_is_said(photos: int) -> None:
    random = np.random.default_rng(6)
    drift = compared(drawn(random, photos, (1, 0, 0, 0, 0), sure=1.0), drawn(random, 1_000))
    assert drift is not None
    assert drift.warning is None


def test_without_photos_nothing_is_compared() -> None:
    some, none = drawn(np.random.default_rng(7), 50), answers_of([], [])
    assert compared(none, some) is None
    assert compared(some, none) is None


def test_a_class_that_was_never_seen_counts() -> None:
    known, found = answers_of(["boots"] * 100, [0.9] * 100), answers_of(["hats"] * 100, [0.9] * 100)
    drift = compared(found, known)
    assert drift is not None
    assert drift.warning is not None
    assert drift.confidence_psi == 0.0
