import csv
from codecs import BOM_UTF8
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.decision import ReviewReason
from tests.unit.worker.answers import failed, photo, sure, unsure
from worker.job.job import Job
from worker.results.merge import ReviewList, scratch_database

UNKNOWN = ReviewReason.UNKNOWN
NAN = float("nan")
GOLDEN = f"""\
row,correct_label,label,confidence,reason,top_k,thumbnail,image,sku,sha256,model
6,,shoe,,threshold,shoe nan,/photos/5.jpg,5.jpg,D,{photo(5)},shop/1/float32@aaaaaaaaaaaa
7,,shoe,nan,threshold,shoe nan,/photos/6.jpg,6.jpg,C,{photo(6)},shop/1/float32@aaaaaaaaaaaa
4,,shoe,0.1,unknown,shoe 0.10; hat 0.05,/photos/3.jpg,3.jpg,,{photo(3)},shop/1/float32@aaaaaaaaaaaa
1,,hat,0.4,threshold,hat 0.40,/photos/0.jpg,0.jpg,'=A,{photo(0)},shop/1/float32@aaaaaaaaaaaa
5,,"'=hat, or shoe",0.4,threshold,"'=hat, or shoe 0.40",/photos/4.jpg,4.jpg,B,{photo(4)},shop/1/float32@aaaaaaaaaaaa
"""


def written(job: Job, folder: Path) -> str:
    with scratch_database(folder) as database:
        review = ReviewList(database, job)
        for batch in job.batches():
            review.add(batch.answers[0], batch.rows)
        review.write(folder / "review.csv")
    return (folder / "review.csv").read_text(encoding="utf-8-sig")


def test_the_format_on_disk_is_this_one(answered_job, tmp_path: Path) -> None:
    answers = [
        unsure("hat", 0.4),
        sure("hat", 0.9),
        failed(),
        unsure("shoe", 0.1, ("hat", 0.05), reason=UNKNOWN),
        unsure("=hat, or shoe", 0.4),
        replace(unsure("shoe", NAN), confidence=None),
        unsure("shoe", NAN),
    ]
    job = answered_job(answers, pa.array(["=A", "A", "B", None, "B", "D", "C"]).dictionary_encode())
    assert written(job, tmp_path).replace(job.spec.image_root, "/photos") == GOLDEN
    assert (tmp_path / "review.csv").read_bytes().startswith(BOM_UTF8), "Excel needs it"


def read(job: Job, folder: Path) -> dict[str, str]:
    (row,) = csv.DictReader(written(job, folder).splitlines())
    return row


def test_the_catalogues_columns_stand_in_their_order_as_text(answered_job, tmp_path: Path) -> None:
    columns = {
        "price": [9.5],
        "sold": pa.array([datetime(2026, 5, 1, 12, tzinfo=UTC)]),
        "tags": [["new", "=red"]],
        "name": ["=cmd()"],
        "raw": [b"\xff\xd8"],
        "text": ["é" * 5000],
    }
    row = read(answered_job([unsure("hat")], ["A"], columns=columns), tmp_path)
    assert list(row)[7:-2] == ["image", "sku", "price", "sold", "tags", "name", "text"]
    assert [row[name] for name in ("price", "tags", "name")] == ["9.5", '["new", "=red"]', "'=cmd()"]
    assert row["sold"].startswith("2026-05-01 12:00:00")
    assert row["text"] == "é" * 2000 + "…"


def test_columns_that_have_our_names_or_would_be_taken_for_answers_are_told_apart(answered_job, tmp_path: Path) -> None:
    names = ["row", "correct_label", "Reviewer", "at", "reason", "catalogue_row", "url", "corrected", "thumbnail"]
    row = read(answered_job([unsure("hat")], ["A"], columns={name: [name] for name in names}), tmp_path)
    assert (row["row"], row["correct_label"], row["reason"]) == ("1", "", "threshold")
    assert row["catalogue_catalogue_row"] == "row"
    assert row["catalogue_row"] == "catalogue_row"
    for name in ("correct_label", "Reviewer", "at", "reason", "corrected", "thumbnail"):
        assert row[f"catalogue_{name}"] == name
    assert row["url"] == "url", "image comes before it"


def test_cells_that_no_text_can_hold_are_empty_and_stop_nothing(answered_job, tmp_path: Path) -> None:
    columns = {"sold": pa.array([0, 1], pa.timestamp("ms", "Mars/Olympus")), "price": [1, 2]}
    job = answered_job([unsure("hat", 0.1), unsure("hat", 0.2)], ["A", "B"], columns=columns)
    rows = list(csv.DictReader(written(job, tmp_path).splitlines()))
    assert [(row["sold"], row["price"]) for row in rows] == [("", "1"), ("", "2")]


@pytest.mark.parametrize(
    ("root", "cell", "place"),
    [
        ("/photos", "a/1.jpg", "/photos/a/1.jpg"),
        ("/photos", "/elsewhere/1.jpg", "/elsewhere/1.jpg"),
        ("/photos", "https://cdn.example/1.jpg", "https://cdn.example/1.jpg"),
        ("https://cdn.example/p", "ä 1.jpg", "https://cdn.example/p/%C3%A4%201.jpg"),
        ("s3://shop/p", "1.jpg", "s3://shop/p/1.jpg"),
        ("/photos", f"data:image/png;base64,{'A' * 400}", ""),
    ],
)
def test_where_the_photo_is_stands_in_full(answered_job, tmp_path: Path, root: str, cell: str, place: str) -> None:
    job = answered_job([unsure("hat")], [cell])
    job = replace(job, spec=job.spec.model_copy(update={"image_column": "sku", "image_root": root}))
    row = read(job, tmp_path)
    assert row["thumbnail"] == place
    assert row["sku"] == (cell if len(cell) < 100 else f"{cell[:64]}…")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
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
