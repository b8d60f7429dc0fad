from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.decision import ReviewReason
from tests.unit.worker.answers import failed, sure, unsure
from worker.job.job import Job
from worker.job.parts import Status
from worker.results.merge import merge_job


def test_every_sure_row_of_a_disagreeing_product_goes_to_review(answered_job, tmp_path: Path) -> None:
    answers = [sure("shoe"), sure("hat"), unsure("hat"), failed(), sure("shoe"), sure("hat")]
    job = answered_job(answers, ["A", "B", "A", "A", "A", "A"])
    merged = merge_job(job, tmp_path / "labels.parquet", tmp_path)
    assert statuses(tmp_path) == ["review", "labeled", "review", "failed", "review", "review"]
    assert merged.tally.by_status == {"review": 4, "labeled": 1, "failed": 1}
    assert merged.tally.reasons == {"disagreement": 3, "threshold": 1}
    reasons = [line.split(",")[4] for line in (tmp_path / "review.csv").read_text().splitlines()[1:]]
    assert reasons == ["threshold", "disagreement", "disagreement", "disagreement"]


def test_the_first_products_are_shown_with_photos_that_disagree(answered_job, tmp_path: Path) -> None:
    labels = ["shoe"] * 9 + ["hat"]
    answers = [answer for _ in range(8) for answer in (unsure("hat"), *map(sure, labels))]
    job = answered_job(answers, [f"A-{row // 11}" for row in range(88)], chunk_rows=5)
    merged = merge_job(job, tmp_path / "labels.parquet", tmp_path)
    assert [shown.product.name for shown in merged.disagreeing] == [f"A-{n}" for n in range(6)]
    for number, shown in enumerate(merged.disagreeing):
        assert [row.label for row in shown.rows] == ["shoe", "shoe", "hat"]
        assert [row.image for row in shown.rows] == [f"{11 * number + row}.jpg" for row in (1, 2, 10)]
        assert (shown.verdict.label, shown.product.photos) == ("shoe", 11)
        assert {row.status for row in shown.rows} == {Status.REVIEW}


def test_four_photos_are_shown_at_most(answered_job, tmp_path: Path) -> None:
    job = answered_job([sure(label) for label in "aabbccdd"], ["A"] * 8)
    (shown,) = merge_job(job, tmp_path / "labels.parquet", tmp_path).disagreeing
    assert [row.label for row in shown.rows] == ["a", "a", "b", "b"]


ANSWERS = st.one_of(
    st.builds(failed),
    st.builds(sure, st.sampled_from(["shoe", "hat"])),
    st.builds(unsure, st.sampled_from(["shoe", "hat"]), reason=st.sampled_from(list(ReviewReason)[:2])),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["A", "B", "", None]), ANSWERS), min_size=1, max_size=16), st.integers(1, 5))
def test_every_row_is_there_once_and_only_disagreement_changes_one(
    answered_job, tmp_path: Path, rows, chunk_rows
) -> None:
    products, answers = [product for product, _ in rows], [answer for _, answer in rows]
    job: Job = answered_job(answers, pa.array(products, pa.string()), chunk_rows=chunk_rows)
    merged = merge_job(job, tmp_path / "labels.parquet", tmp_path)
    sure_labels = {
        product: {a.label for p, a in rows if p == product and a.status is Status.LABELED} for product in products
    }
    expected = [
        Status.REVIEW if a.status is Status.LABELED and p and len(sure_labels[p]) > 1 else a.status for p, a in rows
    ]
    table = pq.read_table(tmp_path / "labels.parquet")
    assert table.column("image").to_pylist() == [f"{row}.jpg" for row in range(len(rows))]
    assert table.column("label").to_pylist() == [answer.label for answer in answers]
    assert statuses(tmp_path) == expected
    assert merged.groups.disagreeing == sum(len(labels) > 1 for product, labels in sure_labels.items() if product)
    assert merged.groups.products == len({product for product in products if product})
    assert not list(tmp_path.glob("*.sqlite*"))


def statuses(folder: Path) -> list[str]:
    return pq.read_table(folder / "labels.parquet").column("status").to_pylist()
