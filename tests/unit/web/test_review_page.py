"""The review page's routes: questions, answers that are stored at once, pictures."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from models.bundle import open_bundle
from models.golden import golden_labels
from models.storage.storage import FolderStorage
from tests.review_jobs import CLASSES, PIN, Row, doubtful, labelled_job, photo_bytes, sha256_of
from web.app import create_app
from web.jobs import result_id
from web.settings import WebSettings
from worker.job.job import ModelPin, open_job
from worker.job.parts import Status
from worker.label import job_folder
from worker.results.finish import finish_job

from .conftest import ADDRESS


class Shop:
    """A server with one job, made from rows or already finished."""

    def __init__(self, folder: Path, rows: list[Row] | None = None, pin: ModelPin = PIN) -> None:
        result = labelled_job(folder / "shop", rows, pin=pin) if rows else folder / "shop" / "labels.parquet"
        self.photos, self.corrections = folder / "shop" / "photos", folder / "corrections.csv"
        settings = WebSettings(jobs=str(folder / "jobs"), results=[result], corrections=self.corrections)
        self.id = result_id(result)
        self.client = TestClient(create_app(settings), base_url=ADDRESS)

    def get(self, name: str, **query: object) -> dict[str, Any]:
        answer = self.client.get(f"/v1/jobs/{self.id}/{name}", params={"reviewer": "anna", **query})
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def questions(self, n: int = 9, **query: object) -> list[dict[str, Any]]:
        answer = self.client.post(f"/v1/jobs/{self.id}/questions", params={"reviewer": "anna", "n": n, **query})
        assert answer.status_code == 200, answer.text
        questions: list[dict[str, Any]] = answer.json()["questions"]
        return questions

    def answer(self, *answers: dict[str, object], reviewer: str = "anna", audit: int = 0) -> dict[str, Any]:
        body = {"answers": answers, "reviewer": reviewer}
        answer = self.client.post(f"/v1/jobs/{self.id}/answers?audit={audit}", json=body)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def photo(self, row: int, **query: object) -> Any:
        return self.client.get(f"/jobs/{self.id}/rows/{row}/photo", params=query)

    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.corrections.read_text())))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Six doubtful rows."""
    return Shop(tmp_path, doubtful(6))


def label(photo: int, name: str, id: str = "", **more: object) -> dict[str, object]:
    return {"id": id or f"{photo}-{name}", "sha256": sha256_of(photo), "kind": "label", "label": name, **more}


def other(photo: int, kind: str, **more: object) -> dict[str, object]:
    """An answer other than a label."""
    return {"id": f"{photo}-{kind}", "sha256": sha256_of(photo), "kind": kind, **more}


# Questions


def test_a_question_has_all_that_a_person_needs(shop: Shop) -> None:
    (question,) = shop.questions(1)
    assert question["sha256"] == sha256_of(0)
    assert (question["row"], question["label"], question["reason"]) == (1, "boots", "not sure enough")
    assert ["sku", "S0"] in question["cells"]
    assert [guess["label"] for guess in question["guesses"]] == ["boots", "hats", "shoes"]


def test_classes_come_with_labeled_rows_or_photos_of_the_bundle(tmp_path: Path, bundle: Path) -> None:
    opened = open_bundle(bundle)
    pin = PIN.model_copy(update={"path": str(bundle), "digest": opened.digest})
    sure = golden_labels(opened, pin.variant)
    name, *_ = sorted(set(sure.values()))
    seen, *_, last = (one for one in opened.manifest.labels if one != name)
    labeled = [Row(9, seen, 0.9, Status.LABELED), *(Row(n, one, 0.9, Status.LABELED) for n, one in enumerate(CLASSES))]
    rows = [replace(row, category=last) for row in (Row(0, name), *labeled)]
    shop = Shop(tmp_path, rows, pin)
    classes = {one["label"]: one for one in shop.get("classes")["classes"]}
    assert classes[seen]["examples"] == [f"/jobs/{shop.id}/rows/2/photo"]
    assert classes[name]["doubtful"] == 1
    examples = classes[name]["examples"]
    assert len(examples) == min(3, sum(one == name for one in sure.values()))
    assert max(Image.open(io.BytesIO(shop.client.get(examples[0], params={"side": 96}).content)).size) <= 96
    assert shop.client.get(f"/jobs/{shop.id}/golden/expected.json").status_code == 404
    (question,) = shop.questions(1)
    assert question["guesses"][-1] == {"label": last, "confidence": None}, "a class that only the catalogue names"


# Answers


def test_an_answer_is_in_the_file_when_the_post_returns(shop: Shop) -> None:
    assert shop.client.get(f"/review/{shop.id}/corrections.csv").status_code == 404
    assert shop.answer(label(0, "hats"))["stored"] == ["0-hats"]
    (row,) = shop.rows()
    assert (row["label"], row["was"], row["reviewer"], row["sha256"]) == ("hats", "boots", "anna", sha256_of(0))
    assert (row["image"], row["model"]) == (str(shop.photos / "0.png"), PIN.reference)
    assert shop.client.get(f"/review/{shop.id}/corrections.csv").content == shop.corrections.read_bytes()


def test_an_answer_that_is_sent_again_to_another_server_is_stored_once(shop: Shop, tmp_path: Path) -> None:
    shop.questions(0)
    again = Shop(tmp_path)
    again.answer(label(0, "hats"))
    assert shop.answer(label(0, "hats"))["stored"] == ["0-hats"]
    assert len(again.rows()) == 1


def test_a_server_that_is_started_again_asks_nothing_twice(shop: Shop, tmp_path: Path) -> None:
    shop.answer(label(0, "hats"), other(1, "not_a_product"))
    assert {question["sha256"] for question in Shop(tmp_path).questions()} == set(map(sha256_of, range(2, 6)))


def test_an_answer_can_be_taken_back(shop: Shop) -> None:
    shop.answer(label(0, "hats"), label(1, "boots"), other(0, "undo"))
    assert [row["sha256"] for row in shop.rows()] == [sha256_of(1)]
    shop.answer(other(0, "undo"), label(0, "shoes"))
    assert [row["label"] for row in shop.rows()] == ["boots", "shoes"]


def test_a_skip_that_is_taken_back_takes_no_answer_with_it(shop: Shop) -> None:
    shop.answer(label(0, "hats"), reviewer="ben")
    shop.answer(label(0, "boots"))
    shop.answer(other(0, "skip"), other(0, "undo"))
    assert [row["label"] for row in shop.rows()] == ["hats", "boots"]


def test_remarks_and_notes_stand_among_the_corrections(shop: Shop) -> None:
    note = other(1, "note", note="a sock?")
    shop.answer(other(0, "more_than_one"), note, note)
    assert [(row["remark"], row["note"]) for row in shop.rows()] == [("more_than_one", ""), ("", "a sock?")]
    assert {question["note"] for question in shop.questions()} == {"", "a sock?"}


def test_a_new_class_is_made_on_purpose_only(shop: Shop) -> None:
    refused = shop.answer(label(0, "bots"))
    assert (refused["stored"], list(refused["refused"])) == ([], ["0-bots"])
    assert shop.answer(label(0, "sandals", new=True))["stored"] == ["0-sandals"]
    assert shop.answer(label(1, "sandals"))["stored"] == ["1-sandals"]


def test_a_file_that_cannot_be_written_is_named_with_the_reason(shop: Shop) -> None:
    lock = shop.corrections.with_name(".corrections.csv.lock")
    lock.mkdir()  # root may write into a folder of any mode
    body = {"answers": [label(0, "hats")], "reviewer": "anna"}
    answer = shop.client.post(f"/v1/jobs/{shop.id}/answers", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (507, "application/problem+json")
    assert str(shop.corrections) in answer.json()["detail"]
    assert not shop.corrections.exists()
    lock.rmdir()
    assert shop.answer(label(0, "hats"))["stored"] == ["0-hats"]
    assert [row["label"] for row in shop.rows()] == ["hats"]


def test_a_reviewer_is_named_once_on_one_line(shop: Shop) -> None:
    assert shop.client.put("/v1/reviewer", json={"name": "a\nb"}).status_code == 422
    assert shop.client.put("/v1/reviewer", json={"name": "Zoë Ü."}).status_code == 204
    assert 'value="Zoë Ü."' in shop.client.get(f"/review/{shop.id}").text


# A finished job


@pytest.fixture
def finished(tmp_path: Path) -> Shop:
    """Four doubtful rows, and twenty labeled ones."""
    labeled = [Row(50 + n, "hats", 0.97, Status.LABELED) for n in range(20)]
    result = labelled_job(tmp_path / "shop", [*doubtful(4), *labeled])
    finish_job(open_job(FolderStorage(job_folder(result))))
    (job_folder(result) / "labels.parquet").rename(result)
    return Shop(tmp_path)


def test_an_audit_asks_about_labeled_rows_and_measures_the_promise(finished: Shop) -> None:
    questions = finished.questions(64, audit=10, order="random")
    assert [question["reason"] for question in questions] == ["labeled without a person"] * 10
    names = ["boots", *["hats"] * 9]
    labels = [
        {"id": one["sha256"][:9], "sha256": one["sha256"], "kind": "label", "label": name}
        for one, name in zip(questions, names, strict=True)
    ]
    finished.answer(*labels, audit=10)
    audit = finished.client.post(f"/v1/jobs/{finished.id}/corrected").json()["audit"]
    assert (audit["right"], audit["answered"], audit["promised"]) == (9, 10, 0.95)
    assert len(finished.questions(64)) == 4


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_is_written_or_held_by_a_get(finished: Shop, method: str) -> None:
    folder = finished.corrections.parent
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    paths = [*finished.client.app.openapi()["paths"], "/review/{id}", "/jobs/{id}", "/models", "/try"]
    assert "/v1/jobs/{id}/questions" in paths
    for path in paths:
        place = path.format(id=finished.id, row=1, name="shop", which="1", file="result")
        finished.client.request(method, place, params={"audit": 7, "n": 9, "reviewer": "ben", "fresh": True})
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert len(finished.questions()) == 4, "all of them: nobody has a lease"


def test_rows_that_have_an_answer_are_not_counted_any_more(finished: Shop) -> None:
    def button() -> str:
        page = finished.client.get(f"/jobs/{finished.id}").text
        return page.partition(f'href="/review/{finished.id}"')[2].partition(">")[2].partition("<")[0]

    assert button() == "Review 4 rows"
    finished.answer(label(0, "hats"), other(1, "not_a_product"), other(2, "note", note="a sock?"))
    assert button() == "Review 2 rows"
    assert "<b>2</b>to review<span>4 for review (16.7%), 2 answered" in finished.client.get(f"/jobs/{finished.id}").text
    assert "2 rows to review" in finished.client.get("/jobs").text
    assert '<td class="n">2</td>' in finished.client.get("/review").text
    finished.answer(label(2, "hats"), label(3, "hats"))
    assert button() == "All rows for review are answered"
    page = finished.client.get(f"/jobs/{finished.id}").text
    assert '<rect class="review"' not in page, "the bars have no row for review"
    assert '<p class="faint">The model\'s labels.' in page


# Pictures


def test_a_photo_that_is_gone_is_drawn_with_its_reason(shop: Shop) -> None:
    (shop.photos / "1.png").unlink()
    headers = shop.photo(2).headers
    assert (headers["x-hangtag-fault"], headers["content-type"]) == ("missing", "image/svg+xml")
    assert headers["cache-control"] == "no-store"


def test_a_photo_that_was_replaced_is_not_shown_for_the_one_that_was_labelled(shop: Shop) -> None:
    (question,) = shop.questions(1)
    assert shop.client.get(question["photo"]).headers["content-type"] == "image/jpeg"
    shop.photos.joinpath("0.png").write_bytes(photo_bytes(99))
    answer = Shop(shop.photos.parents[1]).client.get(question["photo"])
    assert answer.headers["x-hangtag-fault"] == "missing"
