"""Rows that go to review at a job's end: one picture under many rows, and labels of another mix of classes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.decision import ReviewReason
from models.drift import ProofRows, VariantReference
from tests.unit.worker.answers import failed, photo, sure, unsure
from worker.job.job import Job
from worker.job.model import ModelNote
from worker.job.receipt import REVIEW_FILE, Receipt, finished_receipt
from worker.request import JobOptions
from worker.results.audit import audit_sample
from worker.results.end_review import _repeat_limit, read_end_reviews
from worker.results.finish import RESULT_FILE, finish_job

PICTURE = "7" * 64
LABELS = ("hard", "easy")
PLAIN = JobOptions()


def finished(job: Job) -> Receipt:
    receipt = finish_job(job)
    assert isinstance(receipt, Receipt)
    return receipt


def statuses(job: Job) -> list[tuple[str, str | None]]:
    table = pq.read_table(job.storage.root / RESULT_FILE)
    return list(zip(table.column("status").to_pylist(), table.column("reason").to_pylist(), strict=True))


def note(job: Job, *, repeated: dict[str, float] | None = None, proof: ProofRows | None = None) -> None:
    counts = {"hard": 1}
    reference = VariantReference(
        confidence_histogram=(0,) * 19 + (1,), by_label=counts, proof=proof, repeated=repeated or {}
    )
    noted = ModelNote(reference=reference, thresholds=(0.5, 0.5))
    job.storage.replace(f"model/{job.model.digest}.json", noted.model_dump_json().encode())


def placeholder_job(answered_job, options: JobOptions = PLAIN, products: list[str] | None = None) -> Job:
    """Eight rows with one picture, among twelve others and a failed one."""
    picture = replace(sure("hat", 0.99), sha256=PICTURE)
    answers = [*[sure("shoe")] * 6, *[picture] * 8, *[sure("shoe")] * 6, failed()]
    return answered_job(answers, products or [str(row) for row in range(len(answers))], options)


def test_one_picture_under_many_rows_goes_to_review_as_one_question(answered_job) -> None:
    job = placeholder_job(answered_job)
    receipt = finished(job)
    labeled, review = ("labeled", None), ("review", "repeated")
    assert statuses(job) == [*[labeled] * 6, *[review] * 8, *[labeled] * 6, ("failed", None)]
    assert receipt.review_reasons == {ReviewReason.REPEATED: 8}
    assert receipt.repeated[0].words == (
        "8 rows show one picture (first: row 7, 6.jpg). The review asks for the picture's label only once."
    )
    assert job.storage.read(REVIEW_FILE).decode().count("repeated") == 8
    assert PICTURE not in {row.sha256 for row in audit_sample(job, 20)}
    ended = read_end_reviews(job)
    assert ended.rows.tolist() == list(range(6, 14))
    assert ended.reasons_of(4, 4).to_pylist() == [None, None, ReviewReason.REPEATED, ReviewReason.REPEATED]


@pytest.mark.parametrize(("share", "known"), [(0.5, True), (0.1, False)])
def test_a_picture_that_the_training_photos_hold_as_often_is_labeled(answered_job, share: float, known: bool) -> None:
    job = placeholder_job(answered_job)
    note(job, repeated={PICTURE: share})
    assert (finished(job).review_reasons == {}) is known


def test_photos_that_cannot_be_read_stay_failed_however_often_they_come(answered_job) -> None:
    body = replace(failed(), sha256=PICTURE)
    receipt = finished(answered_job([*[sure("shoe")] * 6, *[body] * 8], ["A"] * 14, PLAIN))
    assert (receipt.by_status["failed"], receipt.review_reasons, receipt.repeated) == (8, {}, ())


def test_a_products_own_picture_may_be_under_many_rows(answered_job) -> None:
    own = [*map(str, range(6)), *["shirt"] * 8, *map(str, range(7))]
    assert finished(placeholder_job(answered_job, JobOptions(group_column="sku"), own)).repeated == ()
    for few in ("0", "two"):  # no product, and a picture of two products
        shared = [*map(str, range(1, 7)), *[few] * 4, *(["0"] * 4 if few == "0" else ["one"] * 4), *map(str, range(7))]
        assert finished(placeholder_job(answered_job, JobOptions(group_column="sku"), shared)).repeated[0].rows == 8
    apart = placeholder_job(answered_job, JobOptions(group_column="sku"))
    receipt = finished(apart)
    assert [picture.rows for picture in receipt.repeated] == [8]
    groups = pq.read_table(apart.storage.root / "by_group.parquet").to_pylist()
    assert {(row["status"], row["reason"]) for row in groups[6:14]} == {("review", "repeated")}


def test_pictures_that_are_all_under_several_rows_are_sizes_of_products(answered_job) -> None:
    answers = [replace(sure("shoe"), sha256=photo(row // 8)) for row in range(80)]
    assert finished(answered_job(answers, ["A"] * 80, PLAIN)).repeated == ()


@pytest.mark.parametrize(
    ("counts", "rows", "many"),
    [
        ([1] * 198 + [800], 998, 9),
        ([1] * 198 + [200] * 4, 998, 9),
        ([1] * 198 + [200] * 20, 4198, 50),
        ([1] * 20 + [800] * 3, 2420, 10),
        ([400, 400], 800, 201),
        ([1, 5], 6, 5),
        ([9], 9, 5),
        ([12] * 99 + [40], 1228, 24),
        ([1] * 70 + [12] * 30, 430, 24),
        ([40] * 22 + [119], 999, 80),
        ([32] * 371, 11872, 64),
        ([2000] * 5, 10000, 2501),
    ],
)
def test_many_is_far_more_than_usual(counts: list[int], rows: int, many: int) -> None:
    assert _repeat_limit(np.array(counts, np.uint32), rows) == many


def proof() -> ProofRows:
    """Two equally common classes. One is right in 9 of 10 sure rows, and in all above 0.875."""
    rows = ((0, 0, 1, 360), (0, 1, 1, 40), (0, 0, 2, 100), (1, 1, 1, 100), (1, 1, 2, 400))
    return ProofRows(labels=LABELS, edges=(0.5, 0.875), rows=rows, effective_rows=1000.0)


def mixed_job(answered_job, hard: int, options: JobOptions = PLAIN) -> Job:
    """A hundred rows, ``hard`` of them of the hard class, labeled like the proof's rows."""
    spread = ["hard"] * 72 + ["easy"] * 8 + ["surely"] * 20
    answers = [sure("hard", 0.9) if kind == "surely" else sure(kind, 0.6) for kind in (spread * 5)[: hard * 5 : 5]]
    answers += [sure("easy", 0.9 if row % 5 else 0.6) for row in range(100 - hard)]
    answers += [unsure("hard", 0.6, reason=ReviewReason.UNKNOWN), unsure("hard", float("nan")), unsure("new", 0.2)]
    job = answered_job([*answers, failed()], ["A"] * 104, options)
    note(job, proof=proof())
    return job


def test_a_mix_of_classes_that_breaks_the_promise_raises_the_threshold(answered_job) -> None:
    job = mixed_job(answered_job, 90)
    mix = finished(job).mix
    assert mix is not None
    assert not mix.holds
    assert mix.raised == 0.875
    assert mix.shares[0] == "hard"
    assert mix.shares[2] == 0.5
    table = pq.read_table(job.storage.root / RESULT_FILE).to_pylist()
    labeled = [row for row in table if row["status"] == "labeled"]
    assert labeled
    assert min(row["confidence"] for row in labeled) > 0.875
    assert {row["reason"] for row in table[:-4] if row["status"] == "review"} == {"mix"}
    assert table[-1]["status"] == "failed"
    assert f"{mix.low:.1%} to {mix.high:.1%} of the labels are probably right; 95% is promised" in mix.words
    assert "Labels with a confidence under 0.875 went to review" in mix.words


def test_thresholds_may_be_kept_with_a_warning(answered_job) -> None:
    receipt = finished(mixed_job(answered_job, 90, JobOptions(fixed_thresholds=True)))
    assert receipt.mix is not None
    assert receipt.mix.raised is None
    assert receipt.review_reasons == {ReviewReason.THRESHOLD: 2, ReviewReason.UNKNOWN: 1}
    assert "Check some labels before you use them" in receipt.mix.words


def test_the_usual_mix_changes_nothing(answered_job) -> None:
    receipt = finished(mixed_job(answered_job, 20))
    assert receipt.mix is not None
    assert receipt.mix.holds
    assert "only in the mix of classes" in receipt.mix.words, "a drift warning may stand next to it"
    assert receipt.review_reasons == {ReviewReason.THRESHOLD: 2, ReviewReason.UNKNOWN: 1}


def test_a_few_rows_tell_nothing_of_a_mix(answered_job) -> None:
    job = answered_job([sure("hard", 0.6)] * 29, ["A"] * 29, PLAIN)
    note(job, proof=proof())
    assert finished(job).mix is None


def test_without_a_receipt_no_row_went_to_review_at_the_end(answered_job, tmp_path: Path) -> None:
    job = placeholder_job(answered_job)
    assert finished_receipt(job) is None
    assert read_end_reviews(job).reasons_of(0, 2).to_pylist() == [None, None]
