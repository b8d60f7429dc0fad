"""The review page's routes: questions, answers that are stored at once, pictures."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
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
from worker.job.job import open_job
from worker.job.parts import Status
from worker.job.spec import ModelPin
from worker.results.finish import finish_job

from .conftest import ADDRESS


class Shop:
    """A server's answers about one job.

    Args:
        folder: of the job and the corrections.
        rows: of the job; of one that is there if there are none.
        jobs: the folder of queued jobs that has it, where it is one.
    """

    def __init__(
        self, folder: Path, rows: list[Row] | None = None, jobs: Path | None = None, pin: ModelPin = PIN
    ) -> None:
        result = labelled_job(folder / "shop", rows, pin=pin) if rows else folder / "shop" / "labels.parquet"
        self.photos = folder / "shop" / "photos"
        self.corrections = folder / "corrections.csv"
        results = [] if jobs else [result]
        settings = WebSettings(jobs=str(jobs or folder / "jobs"), results=results, corrections=self.corrections)
        self.id = f"{result.name}.job" if jobs else result_id(result)
        self.client = TestClient(create_app(settings), base_url=ADDRESS)

    def ask(self, n: int = 3, **choice: object) -> list[dict[str, Any]]:
        query = {"n": n, "reviewer": "anna", **choice}
        answer = self.client.get(f"/v1/jobs/{self.id}/questions", params=query)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["questions"]
        return found

    def answer(self, *answers: dict[str, object], reviewer: str = "anna", audit: int = 0) -> dict[str, Any]:
        given = self.client.post(
            f"/v1/jobs/{self.id}/answers?audit={audit}", json={"answers": answers, "reviewer": reviewer}
        )
        assert given.status_code == 200, given.text
        found: dict[str, Any] = given.json()
        return found

    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.corrections.read_text())))


@pytest.fixture
def make_shop(tmp_path: Path) -> Callable[[list[Row]], Shop]:
    return lambda rows: Shop(tmp_path, rows)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Six doubtful rows."""
    return Shop(tmp_path, doubtful(6))


def label(photo: int, name: str, id: str = "", **more: object) -> dict[str, object]:
    """An answer."""
    return {"id": id or f"{photo}-{name}", "sha256": sha256_of(photo), "kind": "label", "label": name, **more}


class TestQuestions:
    def test_a_question_has_all_that_a_person_needs(self, shop: Shop) -> None:
        (question,) = shop.ask(1)
        assert question["sha256"] == sha256_of(0)
        assert (question["row"], question["label"], question["reason"]) == (1, "boots", "not sure enough")
        assert ["sku", "S0"] in question["cells"]
        assert [guess["label"] for guess in question["guesses"]] == ["boots", "hats", "shoes"]

    def test_two_reviewers_are_asked_no_photo_twice(self, shop: Shop) -> None:
        mine = {question["sha256"] for question in shop.ask(4, tab="a")}
        theirs = {question["sha256"] for question in shop.ask(4, tab="b", reviewer="ben")}
        assert len(mine | theirs) == len(mine) + len(theirs) == 6

    def test_it_is_said_how_many_photos_other_pages_hold(self, shop: Shop) -> None:
        shop.ask(4, tab="a")
        given = shop.client.get(f"/v1/jobs/{shop.id}/questions", params={"n": 9, "tab": "b", "reviewer": "anna"})
        assert (len(given.json()["questions"]), given.json()["elsewhere"]) == (2, 4)
        shop.answer(label(0, "hats"))
        assert shop.client.get(f"/v1/jobs/{shop.id}/questions?n=0&tab=b&reviewer=anna").json()["elsewhere"] == 3

    def test_a_job_that_is_not_there(self, shop: Shop) -> None:
        answer = shop.client.get("/v1/jobs/nowhere/questions")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"

    def test_the_classes_come_with_examples(self, make_shop: Callable[[list[Row]], Shop]) -> None:
        shop = make_shop([*doubtful(2), Row(7, "hats", 0.99, Status.LABELED)])
        found = {one["label"]: one for one in shop.client.get(f"/v1/jobs/{shop.id}/classes").json()["classes"]}
        assert found["hats"]["examples"] == [f"/jobs/{shop.id}/rows/3/photo"]
        assert found["boots"]["doubtful"] == 1

    def test_a_class_without_labeled_rows_has_photos_of_the_bundle(self, tmp_path: Path, bundle: Path) -> None:
        opened = open_bundle(bundle)
        pin = PIN.model_copy(update={"path": str(bundle), "digest": opened.digest})
        sure = golden_labels(opened, pin.variant)
        name, *_ = sorted(set(sure.values()))
        shop = Shop(
            tmp_path, [Row(0, name), *(Row(n, other, 0.99, Status.LABELED) for n, other in enumerate(CLASSES))], pin=pin
        )
        found = {one["label"]: one for one in shop.client.get(f"/v1/jobs/{shop.id}/classes").json()["classes"]}
        assert len(found[name]["examples"]) == min(3, sum(label == name for label in sure.values()))
        answer = shop.client.get(found[name]["examples"][0], params={"side": 96})
        assert max(Image.open(io.BytesIO(answer.content)).size) <= 96
        assert shop.client.get(f"/jobs/{shop.id}/golden/expected.json").status_code == 404

    def test_a_class_that_only_the_catalogue_names_has_no_share(self, tmp_path: Path, bundle: Path) -> None:
        opened = open_bundle(bundle)
        first, *_, last = opened.manifest.labels
        pin = PIN.model_copy(update={"path": str(bundle), "digest": opened.digest})
        shop = Shop(tmp_path, [Row(0, first, category=last)], pin=pin)
        assert last not in CLASSES
        (question,) = shop.ask(1)
        assert question["guesses"][-1] == {"label": last, "confidence": None}

    def test_a_job_that_is_not_finished_says_so(self, shop: Shop) -> None:
        assert shop.client.get(f"/v1/jobs/{shop.id}/questions?reviewer=anna").json()["finished"] is False


class TestAnswers:
    def test_an_answer_is_in_the_file_when_the_post_returns(self, shop: Shop) -> None:
        found = shop.answer(label(0, "hats"))
        assert found["stored"] == ["0-hats"]
        (row,) = shop.rows()
        assert (row["label"], row["was"], row["reviewer"]) == ("hats", "boots", "anna")
        assert row["sha256"] == sha256_of(0)
        assert row["image"] == str(shop.photos / "0.png")
        assert row["model"] == "shop/1/float32@aaaaaaaaaaaa"

    def test_an_answer_that_is_sent_twice_is_stored_once(self, shop: Shop) -> None:
        shop.answer(label(0, "hats"))
        assert shop.answer(label(0, "hats"), label(1, "boots"))["stored"] == ["0-hats", "1-boots"]
        assert len(shop.rows()) == 2

    def test_an_answer_that_is_sent_again_to_another_server_is_stored_once(self, shop: Shop, tmp_path: Path) -> None:
        shop.answer(label(0, "hats"))
        again = Shop(tmp_path)
        assert again.answer(label(0, "hats"))["stored"] == ["0-hats"]
        assert len(again.rows()) == 1

    def test_a_server_that_is_started_again_asks_nothing_twice(self, shop: Shop, tmp_path: Path) -> None:
        shop.answer(label(0, "hats"), {"id": "1", "sha256": sha256_of(1), "kind": "not_a_product"})
        left = Shop(tmp_path).ask(9)
        assert {question["sha256"] for question in left} == {sha256_of(n) for n in (2, 3, 4, 5)}

    def test_what_others_write_into_the_file_counts_too(self, shop: Shop, tmp_path: Path) -> None:
        shop.ask(0)
        Shop(tmp_path).answer(label(0, "hats"), reviewer="ben")
        assert sha256_of(0) not in {question["sha256"] for question in shop.ask(9)}

    def test_an_answer_can_be_taken_back(self, shop: Shop) -> None:
        undo = {"id": "undo", "sha256": sha256_of(0), "kind": "undo"}
        shop.answer(label(0, "hats"), label(1, "boots"), undo)
        assert [row["sha256"] for row in shop.rows()] == [sha256_of(1)]
        shop.answer(undo, label(0, "shoes"))
        assert [row["label"] for row in shop.rows()] == ["boots", "shoes"]

    def test_a_skip_that_is_taken_back_takes_no_answer_with_it(self, shop: Shop) -> None:
        shop.answer(label(0, "hats"), reviewer="ben")
        shop.answer(label(0, "boots"))
        skip = {"id": "skip", "sha256": sha256_of(0), "kind": "skip"}
        undo = {"id": "undo", "sha256": sha256_of(0), "kind": "undo"}
        shop.answer(skip, undo)
        assert [row["label"] for row in shop.rows()] == ["hats", "boots"]

    def test_progress_is_of_what_was_wished_for(self, shop: Shop) -> None:
        given = shop.client.post(
            f"/v1/jobs/{shop.id}/answers?label=hats", json={"answers": [label(0, "boots")], "reviewer": "anna"}
        ).json()
        assert (given["progress"]["done"], given["progress"]["left"]) == (1, 3)

    def test_a_later_answer_takes_the_place_of_an_earlier_one(self, shop: Shop) -> None:
        shop.answer(label(0, "hats"))
        assert shop.answer(label(0, "shoes"))["progress"]["mine"] == 1
        assert [row["label"] for row in shop.rows()] == ["hats", "shoes"]

    def test_remarks_and_notes_stand_beside_the_corrections(self, shop: Shop) -> None:
        more = {"id": "1", "sha256": sha256_of(0), "kind": "more_than_one"}
        note = {"id": "2", "sha256": sha256_of(1), "kind": "note", "note": "a sock?"}
        shop.answer(more, note, note)
        rows = list(csv.DictReader(io.StringIO(shop.corrections.with_name("corrections.remarks.csv").read_text())))
        assert [(row["remark"], row["note"]) for row in rows] == [("more_than_one", ""), ("", "a sock?")]
        assert {question["note"] for question in shop.ask(9)} == {"", "a sock?"}

    def test_a_new_class_is_made_on_purpose_only(self, shop: Shop) -> None:
        refused = shop.answer(label(0, "bots"))
        assert refused["stored"] == []
        assert "bots" in refused["refused"]["0-bots"]
        assert shop.answer(label(0, "sandals", new=True))["stored"] == ["0-sandals"]
        assert shop.answer(label(1, "sandals"))["stored"] == ["1-sandals"]

    def test_an_answer_that_no_file_can_hold_is_refused_alone(self, shop: Shop) -> None:
        found = shop.answer(label(0, "a\nb", new=True, id="bad"), label(1, "boots"))
        assert found["stored"] == ["1-boots"]
        assert "bad" in found["refused"]

    def test_a_photo_of_another_job_is_refused(self, shop: Shop) -> None:
        assert list(shop.answer(label(77, "boots", id="x"))["refused"]) == ["x"]
        assert not shop.corrections.exists()

    def test_a_file_that_cannot_be_written_is_named_with_the_reason(self, shop: Shop) -> None:
        shop.corrections.with_name(".corrections.csv.lock").mkdir()  # root may write into a folder of any mode
        given = {"answers": [label(0, "hats")], "reviewer": "anna"}
        answer = shop.client.post(f"/v1/jobs/{shop.id}/answers", json=given)
        assert (answer.status_code, answer.headers["content-type"]) == (507, "application/problem+json")
        assert str(shop.corrections) in answer.json()["detail"]
        assert not shop.corrections.exists()
        shop.corrections.with_name(".corrections.csv.lock").rmdir()
        assert shop.answer(label(0, "hats"))["stored"] == ["0-hats"]
        assert [row["label"] for row in shop.rows()] == ["hats"]

    def test_the_file_can_be_downloaded(self, shop: Shop) -> None:
        assert shop.client.get(f"/review/{shop.id}/corrections.csv").status_code == 404
        shop.answer(label(0, "hats"))
        assert shop.client.get(f"/review/{shop.id}/corrections.csv").content == shop.corrections.read_bytes()


class TestComingBack:
    @pytest.fixture
    def finished(self, tmp_path: Path) -> Shop:
        """A queued job that is finished: four doubtful rows, and twenty labeled ones."""
        labeled = [Row(50 + n, "hats", 0.97, Status.LABELED) for n in range(20)]
        result = labelled_job(tmp_path / "shop", [*doubtful(4), *labeled])
        job = open_job(FolderStorage(Path(f"{result}.job")))
        assert job
        finish_job(job)
        return Shop(tmp_path, jobs=tmp_path / "shop")

    def test_answers_come_into_a_copy_of_the_result(self, finished: Shop) -> None:
        finished.answer(
            label(0, "shoes"), label(1, "hats"), {"id": "1", "sha256": sha256_of(2), "kind": "not_a_product"}
        )
        done = finished.client.post(f"/v1/jobs/{finished.id}/corrected").json()
        assert (done["changed"], done["confirmed"], done["remarked"], done["left"]) == (1, 1, 1, 1)
        rows = pq.read_table(done["output"]).to_pylist()
        assert [row["label"] for row in rows[:2]] == ["shoes", "hats"]
        assert [row["status"] for row in rows[:2]] == ["labeled", "labeled"]

    def test_an_audit_asks_about_labeled_rows_and_measures_the_promise(self, finished: Shop) -> None:
        asked = finished.ask(64, audit=10, order="random")
        assert len(asked) == 10
        assert {question["reason"] for question in asked} == {"labeled without a person"}
        given = [
            {"id": one["sha256"][:9], "sha256": one["sha256"], "kind": "label", "label": name}
            for one, name in zip(asked, ["boots", *["hats"] * 9], strict=True)
        ]
        finished.answer(*given, audit=10)
        audit = finished.client.post(f"/v1/jobs/{finished.id}/corrected").json()["audit"]
        assert (audit["right"], audit["answered"], audit["promised"]) == (9, 10, 0.95)
        assert len(finished.ask(64)) == 4

    def test_rows_that_have_an_answer_are_not_counted_any_more(self, finished: Shop) -> None:
        visitor = TestClient(finished.client.app, base_url=ADDRESS)  # whose cookies are not those of who answers

        def button() -> str:
            page = visitor.get(f"/jobs/{finished.id}").text
            return page.partition(f'href="/review/{finished.id}"')[2].partition(">")[2].partition("<")[0]

        assert button() == "Review 4 doubtful rows"
        finished.answer(label(0, "hats"), {"id": "n", "sha256": sha256_of(1), "kind": "not_a_product"})
        finished.answer({"id": "c", "sha256": sha256_of(2), "kind": "note", "note": "a sock?"})
        assert button() == "Review 2 doubtful rows"
        assert "<b>2</b>to review<span>4 doubtful (16.7%), 2 answered" in visitor.get(f"/jobs/{finished.id}").text
        assert "2 rows to review" in visitor.get("/jobs").text
        assert '<td class="n">2</td>' in visitor.get("/review").text
        finished.answer(label(2, "hats", "2"), label(3, "hats"))
        assert button() == "All doubtful rows are answered"

    def test_a_finished_job_says_so(self, finished: Shop) -> None:
        assert finished.client.get(f"/v1/jobs/{finished.id}/questions?reviewer=anna").json()["finished"] is True

    def test_a_job_that_is_not_finished_is_not_audited(self, shop: Shop) -> None:
        assert shop.client.get(f"/v1/jobs/{shop.id}/questions", params={"audit": 5}).status_code == 400


class TestPictures:
    def test_a_photo_comes_small_and_may_be_kept(self, shop: Shop) -> None:
        answer = shop.client.get(f"/jobs/{shop.id}/rows/2/photo", params={"side": 96, "sha256": sha256_of(1)})
        assert Image.open(io.BytesIO(answer.content)).size == (48, 32)
        assert "immutable" in answer.headers["cache-control"]
        again = shop.client.get(
            f"/jobs/{shop.id}/rows/2/photo", params={"side": 96}, headers={"if-none-match": answer.headers["etag"]}
        )
        assert again.status_code == 304

    def test_a_photo_that_is_gone_is_drawn_with_its_reason(self, shop: Shop) -> None:
        (shop.photos / "1.png").unlink()
        answer = shop.client.get(f"/jobs/{shop.id}/rows/2/photo")
        assert answer.headers["x-hangtag-fault"] == "missing"
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["cache-control"] == "no-store"
        assert "No photo: missing" in answer.text

    def test_a_photo_that_was_replaced_is_not_shown_for_the_one_that_was_labelled(self, shop: Shop) -> None:
        (asked,) = shop.ask(1)
        assert shop.client.get(asked["photo"]).headers["content-type"] == "image/jpeg"
        shop.photos.joinpath("0.png").write_bytes(photo_bytes(99))
        answer = Shop(shop.photos.parents[1]).client.get(asked["photo"])
        assert answer.headers["x-hangtag-fault"] == "missing"

    @pytest.mark.parametrize("row", [0, 7, -1])
    def test_a_row_that_is_not_there(self, shop: Shop, row: int) -> None:
        assert shop.client.get(f"/jobs/{shop.id}/rows/{row}/photo").status_code == 404


class TestPages:
    def test_the_list_leads_to_the_job(self, shop: Shop) -> None:
        assert f"/review/{shop.id}" in shop.client.get("/review").text

    def test_a_reviewer_is_named_once(self, shop: Shop) -> None:
        assert shop.client.put("/v1/reviewer", json={"name": "Zoë Ü."}).status_code == 204
        assert 'value="Zoë Ü."' in shop.client.get(f"/review/{shop.id}").text

    def test_a_name_of_two_lines_is_refused(self, shop: Shop) -> None:
        assert shop.client.put("/v1/reviewer", json={"name": "a\nb"}).status_code == 422
