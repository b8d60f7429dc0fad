"""Jobs with several models, over HTTP: each question of a job is watched and reviewed separately."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pyarrow.parquet as pq
from starlette.testclient import TestClient

from models.storage.storage import FolderStorage
from tests.review_jobs import PIN, Row, labelled_job, sha256_of
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote
from worker.job.job import open_job
from worker.job.parts import Status
from worker.label import job_folder
from worker.results.finish import finish_job

from .conftest import Serve

BROWSER = {"accept": "text/html"}
SURE, FAILED = ({"confidence": 0.99, "status": status} for status in (Status.LABELED, Status.FAILED))
CATEGORY = [Row(0), Row(1), Row(2, **SURE), Row(3, **SURE), Row(4), Row(1), Row(5, **FAILED)]
COLOUR = [Row(0), Row(1, **SURE), Row(2), Row(3, **SURE), Row(4, **FAILED), Row(1, **SURE), Row(5, **FAILED)]


def finished_job(serve: Serve, folder: Path) -> TestClient:
    """A client of a server with the finished job ``spring`` of two questions."""
    result = labelled_job(folder / "shop", CATEGORY, chunk_rows=3, category=CATEGORY, colour=COLOUR)
    finish_job(open_job(FolderStorage(job_folder(result))))
    (folder / "jobs").mkdir()
    job_folder(result).rename(folder / "jobs" / "spring")
    return serve()


def text(client: TestClient, path: str) -> str:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_each_question_of_a_job_is_watched_and_reviewed_by_itself(serve: Serve, tmp_path: Path) -> None:
    client = finished_job(serve, tmp_path)
    (job,) = client.get("/v1/jobs").json()["jobs"]
    assert (job["id"], job["questions"]) == ("spring", ["spring~category", "spring~colour"])
    shown = text(client, "/jobs/spring")
    assert all(
        f'href="/{page}/spring~{name}"' in shown for page in ("jobs", "review") for name in ("category", "colour")
    )
    receipt = text(client, "/jobs/spring/receipt")
    assert '<td class="n" data-name="rows">2</td>' in receipt, "on a phone: 2 rows"
    links = re.findall(r'href="([^"]*receipt[^"]*)"', receipt)
    assert len(links) == 2
    assert all(PIN.reference in text(client, urljoin("/jobs/spring/receipt", link)) for link in links)
    assert 'href="/review/spring~category"' in text(client, "/jobs/spring~category")
    assert "spring~colour" in text(client, "/review")
    assert client.get("/review/spring", headers=BROWSER).status_code == 404
    assert client.post("/v1/jobs/spring/questions").status_code in {400, 404}
    assert client.get("/jobs/spring~hue").status_code == 404
    for what in ("result", "receipt", "page"):
        assert client.get(f"/jobs/spring/files/{what}").status_code == 200
        assert client.get(f"/jobs/spring~colour/files/{what}").status_code == 200
    assert client.get("/jobs/spring~category/files/review").text.startswith("\ufeffcategory_row,")

    assert 'class="of-question"' in text(client, "/review/spring~category")
    question = client.post("/v1/jobs/spring~category/questions?reviewer=anna").json()["questions"][0]
    answer = {"id": "a", "sha256": question["sha256"], "kind": "label", "label": "hats"}
    stored = client.post("/v1/jobs/spring~category/answers", json={"answers": [answer], "reviewer": "anna"})
    assert stored.json()["stored"] == ["a"]
    assert (tmp_path / "corrections-category.csv").is_file()
    assert not (tmp_path / "corrections.csv").exists()
    assert "1 changed" in client.post("/jobs/spring~colour/apply").json()["message"]
    copy = pq.read_table(io.BytesIO(client.get("/jobs/spring/files/corrected").content)).to_pylist()
    row = copy[question["row"] - 1]
    assert (row["category_label"], row["category_status"], row["category_reviewed_by"]) == ("hats", "labeled", "anna")
    assert (row["status"], row["colour_reviewed_by"]) == (row["colour_status"], None)


def test_a_row_that_two_questions_doubt_counts_once(serve: Serve, tmp_path: Path) -> None:
    client = finished_job(serve, tmp_path)
    board, store = client.app.state.hangtag.board, CorrectionStore(tmp_path / "corrections.csv")

    def left() -> list[int]:
        return [board.view(place).left for place in ("spring", "spring~category", "spring~colour")]

    def say(question: str, photo: int) -> None:
        store.of_question(question).append([Vote(datetime.now(UTC), "anna", sha256_of(photo), "", "hats")])

    assert board.view("spring").counts.by_status == {"labeled": 1, "review": 4, "failed": 2}
    assert left() == [4, 4, 2], "a row that one question failed on is failed, though the other doubts it"
    assert "4 rows to review" in text(client, "/jobs")
    for photo, rows in ((0, [4, 3, 2]), (1, [2, 1, 2])):
        say("category", photo)
        assert left() == rows, "a row waits until each question that doubts it has an answer"
    say("colour", 0)
    assert left() == [1, 1, 1]
    assert "; 2 labels still to review." in client.post("/jobs/spring/apply").json()["message"]
    say("colour", 2)
    assert left() == [0, 1, 0]
    assert "; 1 label still to review." in client.post("/jobs/spring/apply").json()["message"], "of a failed row"


def test_the_form_takes_several_models_each_with_a_name(serve: Serve, tmp_path: Path, bundle: Path) -> None:
    client, source = serve(), tmp_path / "list.txt"
    source.write_text("there.jpg\n")
    (tmp_path / "there.jpg").touch()
    client.app.state.hangtag.runner.local.close()  # nothing is labelled
    fields = [("source", source), ("image_root", tmp_path), ("name", "spring"), ("model", f"category={bundle}")]

    def start(second: str) -> httpx.Response:
        return client.post(
            "/v1/jobs", files=[(name, (None, str(value))) for name, value in (*fields, ("model", second))]
        )

    assert start(str(bundle)).status_code == 400
    started = start(f"colour={bundle}")
    assert started.status_code == 201, started.text
    job = client.app.state.hangtag.jobs.find("spring").job
    assert [question.name for question in job.questions] == ["category", "colour"]
