import csv
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.decision import ReviewReason
from models.errors import InputError
from tests.unit.worker.answers import failed, sure, unsure
from worker.job import Job, JobOptions
from worker.merging.merge import read_chunks
from worker.merging.review_list import ReviewList, check_review_columns
from worker.scratch import scratch_database

UNKNOWN = ReviewReason.UNKNOWN
NAN = float("nan")
GOLDEN = f"""\
row,image,sku,label,confidence,reason,top_k,sha256,model
6,5.jpg,C,shoe,nan,threshold,shoe nan,{"5" * 64},shop/1/float32@aaaaaaaaaaaa
4,3.jpg,,shoe,0.1,unknown,shoe 0.10; hat 0.05,{"5" * 64},shop/1/float32@aaaaaaaaaaaa
1,0.jpg,'=A,hat,0.4,threshold,hat 0.40,{"5" * 64},shop/1/float32@aaaaaaaaaaaa
5,4.jpg,B,"'=hat, or shoe",0.4,threshold,"'=hat, or shoe 0.40",{"5" * 64},shop/1/float32@aaaaaaaaaaaa
"""


def written(job: Job, folder: Path) -> str:
    with scratch_database(folder) as database:
        review = ReviewList(database, job)
        for part, rows in read_chunks(job):
            review.add(part, rows)
        review.write(folder / "review.csv")
    return (folder / "review.csv").read_text(encoding="utf-8")


def test_the_format_on_disk_is_this_one(answered_job, tmp_path: Path) -> None:
    answers = [
        unsure("hat", 0.4),
        sure("hat", 0.9),
        failed(),
        unsure("shoe", 0.1, ("hat", 0.05), reason=UNKNOWN),
        unsure("=hat, or shoe", 0.4),
        unsure("shoe", NAN),
    ]
    job = answered_job(answers, pa.array(["=A", "A", "B", None, "B", "C"]).dictionary_encode())
    assert written(job, tmp_path) == GOLDEN


def test_without_doubtful_rows_there_is_a_header(answered_job, tmp_path: Path) -> None:
    job = answered_job([sure("hat"), failed()], [1, 2], JobOptions(prefix="our_"))
    header = "our_row,image,our_label,our_confidence,our_reason,our_top_k,our_sha256,our_model\n"
    assert written(job, tmp_path) == header


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(failed),
            st.builds(sure),
            st.builds(unsure, st.just("hat"), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 5),
)
def test_every_doubtful_row_is_there_once_least_sure_first(answered_job, tmp_path: Path, answers, chunk_rows) -> None:
    job = answered_job(answers, [None] * len(answers), chunk_rows=chunk_rows)
    rows = list(csv.DictReader(written(job, tmp_path).splitlines()))
    doubtful = [(answer.confidence, row) for row, answer in enumerate(answers, start=1) if answer.reason]
    assert [(float(row["confidence"]), int(row["row"])) for row in rows] == sorted(doubtful)


def test_sorting_needs_no_room_but_the_database(answered_job, tmp_path: Path) -> None:
    job = answered_job([unsure("hat")], ["A"])
    with scratch_database(tmp_path) as database:
        review, asked = ReviewList(database, job), []
        database.set_trace_callback(asked.append)
        review.write(tmp_path / "review.csv")
        database.set_trace_callback(None)
        plans = [step for query in asked for *_, step in database.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len(asked) == 1
    assert not [step for step in plans if "TEMP B-TREE" in step]


@pytest.mark.parametrize(("image", "group"), [("row", None), ("reason", None), ("image", "row"), ("image", "sha256")])
def test_a_name_that_would_be_there_twice_is_refused(image, group) -> None:
    with pytest.raises(InputError, match="--prefix"):
        check_review_columns(image, JobOptions(group_column=group))
    check_review_columns(image, JobOptions(group_column=group, prefix="our_"))
