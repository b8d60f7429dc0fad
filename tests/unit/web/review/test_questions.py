"""The questions of a job."""

from pathlib import Path

import pytest

from models.storage.storage import FolderStorage
from tests.review_jobs import CLASSES, PIN, Row, doubtful, labelled_job
from web.review.questions import load_questions
from web.review.queue import Choice, ReviewQueue
from worker.job.job import open_job
from worker.job.parts import Status
from worker.request import JobOptions
from worker.results.finish import finish_job

from .conftest import Clock, job_of, vote

USUAL = Choice()


def test_a_photo_is_one_question_however_many_rows_have_it(tmp_path: Path) -> None:
    rows = [Row(0), Row(1), Row(0), Row(2, status=Status.LABELED), Row(0)] * 5
    questions = load_questions(job_of(tmp_path, rows))
    assert len(questions) == 2
    assert questions.rows.tolist() == [15, 5]
    first = questions.get(0)
    assert (first["row"], first["label"], first["reason"]) == (0, "boots", "threshold")
    assert [best["label"] for best in first["top_k"]] == ["boots", "hats", "shoes"]


def test_a_question_about_a_parent_label_is_about_its_likeliest_class(tmp_path: Path, clock: Clock) -> None:
    """An audit asks about labelled rows; a row is right if its label is a parent of the answer."""
    pin = PIN.model_copy(update={"taxonomy": {"boots": "worn", "hats": "worn"}})
    rows = [Row(n, "boots", 0.5, Status.LABELED, above="worn") for n in range(3)]
    result = labelled_job(tmp_path / "shop", rows, pin=pin)
    questions = load_questions(open_job(FolderStorage(result.with_name("labels.parquet.job"))), rows=[0, 1, 2])
    assert [questions.get(0)[name] for name in ("label", "confidence", "row_label")] == ["boots", 0.5, "worn"]
    queue = ReviewQueue(questions, clock)
    for photo, label in enumerate(("boots", "hats", "shoes")):
        queue.add(vote(clock, photo, label))
    assert queue.progress("anna", USUAL).right == pytest.approx(2 / 3)


def test_a_question_counts_the_products_that_have_its_photo(tmp_path: Path) -> None:
    rows = [Row(0, product="a"), Row(0, product="b"), Row(0, product="b"), Row(1, product="a")]
    questions = load_questions(job_of(tmp_path, rows, JobOptions(group_column="product")))
    assert questions.products.tolist() == [2, 1]


def test_rows_of_a_product_whose_photos_disagree_are_asked_about(tmp_path: Path) -> None:
    sure = {"status": Status.LABELED, "confidence": 0.99, "product": "A"}
    rows = [Row(0), Row(1, **sure), Row(2, "hats", **sure), Row(3, "hats", status=Status.LABELED)]
    job = job_of(tmp_path, rows, JobOptions(group_column="product"))
    finish_job(job)
    questions = load_questions(job)
    assert [questions.get(place)["reason"] for place in range(3)] == ["threshold", "disagreement", "disagreement"]
    assert questions.examples == {"hats": (3,)}


def test_one_picture_under_many_rows_is_the_first_question(tmp_path: Path, clock: Clock) -> None:
    rows = [*doubtful(4), *[Row(9, status=Status.LABELED, confidence=0.99)] * 5, Row(10, status=Status.LABELED)]
    job = job_of(tmp_path, rows)
    finish_job(job)
    questions = load_questions(job)
    assert questions.rows.tolist() == [1, 1, 1, 1, 5]
    queue = ReviewQueue(questions, clock)
    assert questions.get(queue.take("anna", "tab", USUAL, 1)[0])["reason"] == "repeated"


def test_named_rows_are_asked_about_in_any_state(tmp_path: Path) -> None:
    rows = [Row(0), *(Row(n, status=Status.LABELED) for n in range(1, 30))]
    questions = load_questions(job_of(tmp_path, rows), rows=[3, 20])
    assert [questions.get(place)["row"] for place in (0, 1)] == [3, 20]


def test_the_surest_rows_of_a_class_are_its_examples(tmp_path: Path) -> None:
    rows = [Row(n, confidence=0.5 + n / 100, status=Status.LABELED) for n in range(40)]
    questions = load_questions(job_of(tmp_path, [*rows, rows[39]]))
    assert questions.examples == {"boots": (39, 38, 37)}


def test_a_column_of_class_names_tells_suspected_label_errors(tmp_path: Path) -> None:
    rows = [Row(0, "boots", category="Boots"), Row(1, "boots", category="hats"), Row(2, "boots", category="?")]
    questions = load_questions(job_of(tmp_path, [*rows, Row(3, "shoes", category="shoes")]))
    assert questions.catalogue_column == "category"
    assert questions.contradicted.tolist() == [False, True, False, False]


def test_without_the_bundle_the_classes_come_from_results(tmp_path: Path) -> None:
    assert load_questions(job_of(tmp_path, doubtful(3))).classes == CLASSES
