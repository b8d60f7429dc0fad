"""Jobs with several models, over HTTP: one job, of which each question is watched and reviewed by itself."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urljoin

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from catalogue.catalogue import open_catalogue
from models.storage.storage import FolderStorage
from models.text import is_name
from tests.review_jobs import Row, labelled_job, sha256_of
from tests.until import until
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote
from web.app import create_app
from web.jobs import JobIndex
from web.local_queue import label_command
from web.settings import WebSettings
from worker.job.job import open_job
from worker.job.parts import Status
from worker.job.receipt import OF_QUESTIONS, job_receipt
from worker.job.spec import ModelPin, Question
from worker.job.writer import create_job
from worker.label import job_folder, label
from worker.request import LabelRequest
from worker.results.finish import RESULT_FILE, finish_job

BROWSER = {"accept": "text/html"}


def client_of(settings: WebSettings) -> TestClient:
    client = TestClient(create_app(settings), base_url="http://127.0.0.1:8800")
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(WebSettings(jobs=str(tmp_path / "jobs"), corrections=tmp_path / "corrections.csv")) as client:
        yield client


def text(client: TestClient, path: str) -> str:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200, answer.text
    return answer.text


def check_links(client: TestClient, path: str, references: list[str]) -> None:
    """A receipt leads to the receipts of its questions, each of which names its model."""
    links = re.findall(r'href="([^"]*receipt[^"]*)"', text(client, path))
    for link, reference in zip(links, references, strict=True):
        assert reference in text(client, urljoin(path, link))


def test_each_question_of_a_job_is_watched_and_reviewed_by_itself(
    client: TestClient, tmp_path: Path, drawn: Path, sure_bundle: Path, int8_bundle: Path
) -> None:
    photos = sorted(str(photo.relative_to(drawn)) for photo in drawn.rglob("*.jpg"))[:12]
    source = tmp_path / "products.csv"
    source.write_text("image\n" + "".join(f"{name}\n" for name in [*photos, "gone.jpg"]))
    models = [f"category={sure_bundle}", f"colour={int8_bundle}"]
    wanted = {"source": str(source), "model": models, "name": "spring", "image_root": str(drawn), "precision": 0.9}
    made = client.post("/v1/jobs", json=wanted)
    assert made.status_code == 201, made.text
    assert made.json()["questions"] == ["spring~category", "spring~colour"]
    state = client.app.state.hangtag
    job = state.jobs.find("spring").job
    receipt = until(lambda: job_receipt(job), "the job is finished", 90)

    assert client.get("/v1/jobs").json()["damaged"] == {}
    assert [one["id"] for one in client.get("/v1/jobs").json()["jobs"]] == ["spring"]
    shown = text(client, "/jobs/spring")
    assert OF_QUESTIONS in shown
    assert all(f'href="/jobs/spring~{name}"' in shown for name in ("category", "colour"))
    view = state.board.view("spring")
    assert {status.value: count for status, count in receipt.by_status.items()} == dict(view.counts.by_status)
    check_links(client, "/jobs/spring/receipt", [own.model.reference for own in receipt.questions.values()])
    own = text(client, "/jobs/spring~category")
    assert receipt.questions["category"].model.reference in own
    assert "Retry 1 failed row" in own
    assert 'href="/review/spring~category"' in own
    assert "spring~colour" in text(client, "/review")
    assert client.get("/review/spring", headers=BROWSER).status_code == 404
    assert client.get("/v1/jobs/spring/questions").status_code in {400, 404}
    assert client.get("/jobs/spring~hue").status_code == 404
    for what in ("result", "receipt", "page"):
        assert client.get(f"/jobs/spring/files/{what}").status_code == 200
        assert client.get(f"/jobs/spring~colour/files/{what}").status_code == 200
    assert client.get("/jobs/spring~category/files/review").text.startswith("category_row,")

    question = client.get("/v1/jobs/spring~category/questions?n=5&reviewer=anna").json()["questions"][0]
    name = client.get("/v1/jobs/spring~category/classes").json()["classes"][-1]["label"]
    answers = {"answers": [{"id": "a", "sha256": question["sha256"], "kind": "label", "label": name}]}
    given = client.post("/v1/jobs/spring~category/answers", json={**answers, "reviewer": "anna"})
    assert given.status_code == 200, given.text
    assert (tmp_path / "corrections-category.csv").is_file()
    assert not (tmp_path / "corrections.csv").exists()
    assert state.board.view("spring~category").left == receipt.questions["category"].by_status["review"] - 1
    assert state.board.view("spring~colour").left == receipt.questions["colour"].by_status["review"]

    assert client.post("/jobs/spring~colour/apply").json()["said"].startswith("The corrected result is written: 1 ")
    copy = pq.read_table(io.BytesIO(client.get("/jobs/spring/files/corrected").content)).to_pylist()
    before = pq.read_table(tmp_path / "jobs" / "spring" / "labels.parquet").to_pylist()
    row = question["row"] - 1
    assert (copy[row]["category_label"], copy[row]["category_status"]) == (name, "labeled")
    assert (copy[row]["category_reviewed_by"], copy[row]["colour_reviewed_by"]) == ("anna", None)
    assert copy[row]["status"] == copy[row]["colour_status"], "the worst that is left"
    assert all(one["colour_label"] == was["colour_label"] for one, was in zip(copy, before, strict=True))

    assert client.post("/v1/jobs/spring~colour/retry-failed").status_code == 200
    until(lambda: (found := job_receipt(job)) and found.retry == 1, "the retry is merged", 90)
    assert state.board.view("spring~category").receipt.retry == 1


def test_a_row_that_two_questions_doubt_counts_once(tmp_path: Path) -> None:
    sure, failed = ({"confidence": 0.99, "status": status} for status in (Status.LABELED, Status.FAILED))
    category = [Row(0), Row(1), Row(2, **sure), Row(3, **sure), Row(4), Row(1), Row(5, **failed)]
    colour = [Row(0), Row(1, **sure), Row(2), Row(3, **sure), Row(4, **failed), Row(1, **sure), Row(5, **failed)]
    result = labelled_job(tmp_path / "shop", category, chunk_rows=3, category=category, colour=colour)
    finish_job(open_job(FolderStorage(job_folder(result))))
    (job_folder(result) / RESULT_FILE).rename(result)
    settings = WebSettings(jobs=str(tmp_path / "jobs"), corrections=tmp_path / "said.csv", results=(result,))
    with client_of(settings) as client:
        board, store = client.app.state.hangtag.board, CorrectionStore(tmp_path / "said.csv")
        id = board.look()[0][0].found.id

        def left() -> list[int]:
            return [board.view(place).left for place in (id, f"{id}~category", f"{id}~colour")]

        def say(question: str, photo: int) -> None:
            store.of_question(question).append([Vote(datetime.now(UTC), "anna", sha256_of(photo), "", "hats")])

        assert board.view(id).counts.by_status == {"labeled": 1, "review": 4, "failed": 2}
        assert left() == [4, 4, 2], "a row that one question failed on is failed, though the other doubts it"
        assert "4 rows to review" in text(client, "/jobs")
        for photo, rows in ((0, [4, 3, 2]), (1, [2, 1, 2])):
            say("category", photo)
            assert left() == rows, "a row waits until each question that doubts it has an answer"
        say("colour", 0)
        assert left() == [1, 1, 1]
        assert "; 1 row still to review." in client.post(f"/jobs/{id}/apply").json()["said"]
        say("colour", 2)
        assert left() == [0, 1, 0]
        assert "still to review" not in client.post(f"/jobs/{id}/apply").json()["said"]


def test_no_job_can_be_called_as_a_question_is(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("gone.jpg\n")
    pin = ModelPin(path="/models/shop", reference="shop/1/float32@abc", variant="float32", digest="a" * 64)
    for name, questions in (("spring", (Question(name="colour", model=pin),)), ("spring.colour", ())):
        storage = FolderStorage(tmp_path / "jobs" / name)
        create_job(storage, open_catalogue(tmp_path / "list.txt"), questions)
    index = JobIndex(str(tmp_path / "jobs"))
    (question,) = index.find("spring").questions
    assert not is_name(question.id)
    assert index.find(question.id).job.name == "colour"
    assert index.find("spring.colour").job.name == ""
    assert len(index.all()) == 2


def test_the_form_takes_several_models_each_with_a_name(client: TestClient, tmp_path: Path, bundle: Path) -> None:
    source = tmp_path / "list.txt"
    source.write_text("there.jpg\n")
    (tmp_path / "there.jpg").touch()
    form = {"source": str(source), "image_root": str(tmp_path), "name": "spring"}
    assert '<textarea id="models" name="models"' in text(client, "/jobs")
    assert "Expected a model, or several" in client.post("/jobs/_start", data={**form, "models": " "}).text
    refused = client.post("/jobs/_start", data={**form, "models": f"category={bundle}\n{bundle}"})
    assert "has no name" in refused.text
    blank = tmp_path / "two words"
    blank.symlink_to(bundle)
    made = client.post("/jobs/_start", data={**form, "models": f" category={blank} \r\n\r\ncolour={bundle}\r\n"})
    assert made.status_code == 201, made.text
    job = client.app.state.hangtag.jobs.find("spring").job
    assert [question.name for question in job.questions] == ["category", "colour"]


def test_a_result_of_hangtag_label_goes_on_by_the_same_command(tmp_path: Path, drawn: Path, bundle: Path) -> None:
    source, output = tmp_path / "list.txt", tmp_path / "labels.parquet"
    source.write_text(f"{next(drawn.rglob('*.jpg'))}\n")
    models = {"category": bundle, "colour": bundle}
    label(LabelRequest(source, models, output=output, workers=1), lambda *_: None)
    (found,) = JobIndex(str(tmp_path / "jobs"), (output,)).all()
    command = label_command(found.job, output, "--retry-failed")
    given = [command[place + 1] for place, word in enumerate(command) if word == "--model"]
    assert given == [f"category={bundle}", f"colour={bundle}"]
    assert "--variant" not in command
    assert [question.id for question in found.questions] == [f"{found.id}~category", f"{found.id}~colour"]
