import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drift import ReferenceAnswers, answers_of, chance_limit, psi
from models.errors import InputError
from worker.job.job import Job
from worker.job.receipt import RECEIPT_FILE, Drift, RunFigures
from worker.results.drift import drifted_jobs, measure_drift
from worker.results.tally import Tally

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
    """Answers on ``photos`` photos, drawn with the distribution of ``of``."""
    counts, histogram = np.array(list(of.by_label.values())), np.array(of.confidence_histogram)
    labels = random.multinomial(photos, counts / counts.sum()).tolist()
    bins = random.multinomial(photos, histogram / histogram.sum()).tolist()
    return ReferenceAnswers(confidence_histogram=tuple(bins), by_label=dict(zip(of.by_label, labels, strict=True)))


@given(histograms, st.randoms(use_true_random=False))
def test_an_index_is_never_below_nothing_and_no_order_of_bins_changes_it(
    pair: tuple[list[int], list[int]], random
) -> None:
    assert psi(*pair) >= 0.0 == psi(pair[0], pair[0])
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
    """Equal distributions: two false warnings in a thousand are promised; seven have a chance of 1 in 200."""
    random, warned = np.random.default_rng(1), 0
    everything = drawn(random, 100_000, (0.4, 0.3, 0.2, 0.08, 0.02))
    for _ in range(1_000):
        known, found = (resampled(random, everything, size) for size in (reference, photos))
        drift = measure_drift(found, known)
        assert drift is not None
        warned += drift.warning is not None
    assert warned <= 6


def test_photos_of_one_class_are_warned_of() -> None:
    random = np.random.default_rng(3)
    drift = measure_drift(drawn(random, 400, (0.9, 0.1, 0, 0, 0)), drawn(random, 300))
    assert drift.warning is not None
    assert "boots is " in drift.warning
    assert f"PSI {drift.label_psi:.3f}" in drift.warning
    assert "confidence" not in drift.warning
    assert (drift.rows, drift.reference.photos) == (400, 300)


def test_photos_that_the_model_is_unsure_of_are_warned_of() -> None:
    random = np.random.default_rng(4)
    drift = measure_drift(drawn(random, 400, sure=2.0), drawn(random, 300))
    assert drift.warning is not None
    assert "the mean confidence is 0.6" in drift.warning
    assert "boots" not in drift.warning


def test_rows_of_one_photo_are_warned_of() -> None:
    random = np.random.default_rng(8)
    photos, known = drawn(random, 200), drawn(random, 300)
    rows = photos.model_copy(
        update={
            "by_label": photos.by_label | {"boots": 800},
            "confidence_histogram": (*photos.confidence_histogram[:-1], 800 + photos.confidence_histogram[-1]),
        }
    )
    assert measure_drift(photos, known).warning is None
    drift = measure_drift(photos, known, rows)
    assert "among all rows, boots is 8" in drift.warning
    assert "boots" in drift.warning
    assert drift.rows == 200


def test_rows_are_compared_though_their_mean_is_that_of_the_photos() -> None:
    """All rows of a few photos lie in two bins, whose mean is the photos'."""
    bins = [0] * 20
    bins[10:20] = [20] * 10
    photos = ReferenceAnswers(confidence_histogram=tuple(bins), by_label={"boots": 200})
    known = ReferenceAnswers(confidence_histogram=tuple(2 * count for count in bins), by_label={"boots": 400})
    bins[10:20] = [0, 0, 0, 0, 1000, 1000, 0, 0, 0, 0]
    rows = ReferenceAnswers(confidence_histogram=tuple(bins), by_label={"boots": 2000})
    assert measure_drift(photos, known).warning is None
    assert "among all rows, the mean confidence" in measure_drift(photos, known, rows).warning


def test_confidences_of_one_mean_are_told_apart_by_the_bin_that_differs_most() -> None:
    alike, apart = [0] * 20, [0] * 20
    alike[10] = alike[12] = 100
    apart[4] = apart[18] = 100
    known, found = (
        ReferenceAnswers(confidence_histogram=tuple(bins), by_label={"boots": 200}) for bins in (alike, apart)
    )
    words = "the mean confidence is still 0.57, but 50% of confidences are between 0.20 and 0.25 (before: 0%)"
    assert f"{words} (PSI" in measure_drift(found, known).warning


@pytest.mark.parametrize("photos", [1, 5, 29])
def test_of_few_photos_nothing_is_said(photos: int) -> None:
    random = np.random.default_rng(6)
    drift = measure_drift(drawn(random, photos, (1, 0, 0, 0, 0), sure=1.0), drawn(random, 1_000))
    assert drift.warning is None
    assert "too few" in drift.finding


DIGEST = "a" * 64
DRIFT = Drift(
    confidence_psi=0.6,
    label_psi=0.1,
    rows=400,
    warning="Drift: the photos are dark.",
    finding="Drift: the photos are dark.",
    reference=answers_of(["shoe"], [0.9]),
)


@pytest.fixture
def finished(paper_job):
    """Write the receipt of a new job."""

    def finish(name: str, at: str, drift: Drift | None = DRIFT, digest: str = DIGEST) -> Job:
        job: Job = paper_job(1, name=name)
        receipt = Tally().receipt(job, "out", RunFigures(images=1, seconds=1.0, workers=1))
        model = receipt.model.model_copy(update={"digest": digest})
        changed = receipt.model_copy(update={"finished_at": at, "drift": drift, "model": model})
        job.storage.replace(RECEIPT_FILE, changed.model_dump_json().encode())
        return job

    return finish


def test_jobs_of_the_model_that_are_warned_of_are_found(finished, jobs) -> None:
    late, early = finished("late", "2026-11-22T05:00:00+00:00"), finished("early", "2026-11-21T05:00:00+01:00")
    finished("calm", "2026-11-21T05:00:00+00:00", DRIFT.model_copy(update={"warning": None}))
    finished("old", "2026-11-21T05:00:00+00:00", None)
    finished("other", "2026-11-21T05:00:00+00:00", digest="b" * 64)
    assert drifted_jobs([jobs.place], DIGEST) == [early.storage.place, late.storage.place]


def test_what_was_finished_before_does_not_count_and_a_jobs_own_folder_will_do(finished, jobs) -> None:
    one, _ = finished("one", "2026-11-21T05:00:00+01:00"), finished("two", "2026-11-22T05:00:00+00:00")
    for since, names in (
        (None, ["one", "two"]),
        ("2026-11-21T03:59:59+00:00", ["one", "two"]),
        ("2026-11-21T05:00:00+01:00", ["two"]),
        ("2026-11-21T04:00:00", ["two"]),
        ("2027-01-01", []),
    ):
        assert [Path(job).name for job in drifted_jobs([jobs.place], DIGEST, since)] == names
    assert drifted_jobs([one.storage.place], DIGEST) == [one.storage.place]
    assert len(drifted_jobs([one.storage.place, jobs.place, jobs.place], DIGEST)) == 2


def test_a_damaged_receipt_is_named_and_passed_over(finished, jobs) -> None:
    finished("good", "2026-11-21T05:00:00+00:00")
    half, timeless = finished("half", "2026-11-21T05:00:00+00:00"), finished("timeless", "some day")
    half.storage.replace(RECEIPT_FILE, half.storage.read(RECEIPT_FILE)[:100])
    notes: list[str] = []
    assert len(drifted_jobs([jobs.place], DIGEST, note=notes.append)) == 1
    assert [job.storage.place in note for job, note in zip((half, timeless), notes, strict=True)] == [True, True]


def test_a_folder_that_is_misspelt_is_no_folder_without_drift(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("jbos", "file"):
        with pytest.raises(InputError, match=f"{tmp_path / name}"):
            drifted_jobs([str(tmp_path), str(tmp_path / name)], DIGEST)
    with pytest.raises(InputError, match="ftp://shop"):
        drifted_jobs(["ftp://shop/jobs"], DIGEST)
