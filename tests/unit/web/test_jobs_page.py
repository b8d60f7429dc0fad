"""The pages of jobs, over HTTP: tables, live regions, the form, refusals, downloads."""

import asyncio
import csv
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from models.registry.registry import open_registry
from models.storage.storage import FolderStorage
from tests.review_jobs import Row, labelled_job
from trainer.corrections.votes import Vote
from web.app import create_app
from web.jobs import result_id
from web.routes.jobs_page import _rows, job_events
from web.settings import WebSettings
from worker.job.job import open_job
from worker.job.parts import Status
from worker.job.receipt import finished_receipt
from worker.label import job_folder, label
from worker.request import JobOptions, LabelRequest
from worker.results.finish import finish_job

from .conftest import ADDRESS, Serve

EVIL = "<img src=x onerror=alert(1)>.jpg"
BROWSER = {"accept": "text/html"}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, bundle: Path, drawn: Path) -> Path:
    """A finished job of ``hangtag label``: some rows, one that failed and has a nasty name."""
    folder = tmp_path_factory.mktemp("result")
    names = sorted(str(photo.relative_to(drawn)) for photo in drawn.rglob("*.jpg"))[:40]
    catalogue, output = folder / "products.csv", folder / "labels.parquet"
    with catalogue.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "sku"], *([name, n] for n, name in enumerate([*names, EVIL]))])
    request = LabelRequest(
        catalogue, bundle, JobOptions(group_column="sku", image_root=str(drawn)), output=output, workers=1
    )
    label(request, lambda *_: None)
    return output


@pytest.fixture(scope="module")
def id(result: Path) -> str:
    return result_id(result)


@pytest.fixture(scope="module")
def shown(result: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Of a server with that job, which tests only look at."""
    folder = tmp_path_factory.mktemp("shown")
    settings = WebSettings(jobs=str(folder / "jobs"), results=[result], model=str(bundle), registry=str(folder))
    with TestClient(create_app(settings), ADDRESS) as client:
        yield client


@pytest.fixture
def client(serve: Serve, result: Path, bundle: Path) -> TestClient:
    return serve(results=[result], model=str(bundle))


def page_text(client: TestClient, path: str) -> str:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200, answer.text
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert not re.search(r"\sstyle=|\son[a-z]+=\"|<script>|<style>", answer.text)
    return answer.text


# What is shown


def test_without_a_job_the_page_asks_for_a_catalogue(serve: Serve) -> None:
    assert re.search(r'<section id="new-job"[^>]*title">', page_text(serve(), "/jobs")), "the form is open"


def test_the_table_names_each_job_with_its_counts(shown: TestClient, id: str) -> None:
    receipt = finished_receipt(shown.app.state.hangtag.jobs.find(id).job)
    text = page_text(shown, "/jobs")
    row = text[text.index(f'<tr data-id="{id}">') :]
    cells = re.sub(r"<[^>]+>|\s+", " ", row[: row.index("</tr>")]).split()
    assert cells[:3] == ["labels.parquet", "products.csv", "finished"]
    assert {str(count) for count in receipt.by_status.values()} <= set(cells)
    assert f"1 finished · {receipt.by_status['review']}" in text


def test_a_table_of_jobs_is_sent_again_only_where_it_has_changed(shown: TestClient, id: str) -> None:
    read = _rows(shown.app.state.hangtag)
    (first, summary), (second, _) = read(), read()
    assert list(first) == [id]
    assert first[id] is second[id]
    assert summary.startswith("1 finished")


def test_a_job_that_cannot_be_read_is_named_and_hides_no_other(client: TestClient, id: str, tmp_path: Path) -> None:
    broken = tmp_path / "jobs" / "broken"
    broken.mkdir(parents=True)
    (broken / "job.json").write_text("{")
    text = page_text(client, "/jobs")
    assert f'data-id="{id}"' in text
    assert re.search(r"<b>broken</b> cannot be read: .*job\.json", text)
    assert client.get("/jobs/broken").status_code == 409


def test_a_finished_jobs_page_shows_its_receipt_and_what_failed(shown: TestClient, id: str) -> None:
    text = page_text(shown, f"/jobs/{id}")
    assert "There is no photo there." in text
    assert '<td class="photo"><span>missing</span></td>' in text, "and is not asked for"
    assert EVIL not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in text
    assert "Retry 1 failed row" in text
    assert re.search(r"Review \d+ doubtful row", text)
    assert "data-events" not in text


def test_the_stored_receipt_can_run_nothing(shown: TestClient, id: str) -> None:
    answer = shown.get(f"/jobs/{id}/receipt")
    assert "<h1>" in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize("what", ["result", "receipt", "page", "review", "by_group"])
def test_what_a_job_leaves_can_be_downloaded(shown: TestClient, id: str, result: Path, what: str) -> None:
    names = {"receipt": "receipt.json", "page": "receipt.html", "review": "review.csv", "by_group": "by_group.parquet"}
    place = result if what == "result" else result.with_name("labels.parquet.job") / names[what]
    answer = shown.get(f"/jobs/{id}/files/{what}")
    assert answer.content == place.read_bytes()
    assert answer.headers["content-disposition"].startswith("attachment; filename=")


@pytest.mark.parametrize("what", ["../job.json", "job.json", "%2e%2e%2fjob.json", "rows", "x" * 300])
def test_other_files_of_a_job_cannot_be_downloaded(shown: TestClient, id: str, what: str) -> None:
    assert shown.get(f"/jobs/{id}/files/{what}").status_code in {404, 405}


@pytest.mark.parametrize("path", ["/jobs/gone", "/jobs/gone/receipt", "/jobs/gone/files/result", "/jobs/gone/events"])
def test_a_job_that_is_not_there_is_said_to_be_missing(shown: TestClient, path: str) -> None:
    answer = shown.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


# The form for a new job


def sent_file(names: list[str], name: str = "spring.csv") -> dict[str, tuple[str, bytes, str]]:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["photo", "title"], *([one, "<script>alert(1)</script>"] for one in names)])
    return {"file": (name, text.getvalue().encode(), "text/csv")}


def upload_in(answer: httpx.Response) -> str:
    """The token of the upload in a preview."""
    assert answer.status_code == 200, answer.text
    found = re.search(r'name="upload" value="([0-9a-f]+)"', answer.text)
    assert found
    return found[1]


def test_an_uploaded_catalogue_is_shown_and_then_labelled_while_a_browser_watches(
    client: TestClient, drawn: Path, bundle: Path
) -> None:
    names = sorted(str(photo.relative_to(drawn)) for photo in drawn.rglob("*.jpg"))[:30]
    seen = client.post("/jobs/_preview", files=sent_file(names), data={"image_root": str(drawn)})
    assert seen.text.count("data:image/jpeg;base64,") == 6
    assert "<script>" not in seen.text
    form = {"upload": upload_in(seen), "model": str(bundle), "image_root": str(drawn), "name": "spring"}
    started = client.post("/jobs/_start", data={**form, "from": "upload", "precision": ""})
    assert (started.status_code, started.json()) == (201, {"id": "spring"})
    events = client.get("/jobs/spring/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    heard = re.findall(r"^event: (\w+)\ndata: (.*)$", events.text, re.MULTILINE)
    assert heard[-1][0] == "end"
    assert "<b>30</b> of 30 rows" in json.loads(dict(heard)["progress"])
    job = client.app.state.hangtag.jobs.find("spring").job
    assert (job.spec.rows, job.spec.source) == (30, "spring.csv")


def test_a_page_whose_job_is_deleted_is_loaded_again_and_says_so(
    client: TestClient, drawn: Path, bundle: Path, tmp_path: Path
) -> None:
    """The stream ends as a job's does; the page that is loaded then says what is wrong."""
    state = client.app.state.hangtag
    state.runner.local.close()
    form = {"source": str(drawn), "model": str(bundle), "name": "gone"}
    assert client.post("/jobs/_start", data=form).status_code == 201
    watched = state.jobs.find("gone")
    shutil.rmtree(tmp_path / "jobs" / "gone")

    async def hear() -> list[str | None]:
        return [event.event async for event in job_events(watched, state)]

    assert asyncio.run(asyncio.wait_for(hear(), 10)) == ["end"]
    assert client.get("/jobs/gone", headers=BROWSER).status_code == 404


def test_a_column_that_is_not_obvious_is_chosen_in_the_form(shown: TestClient, drawn: Path) -> None:
    photo = next(drawn.rglob("*.jpg"))
    sent = {"file": ("bild.csv", f"sku;bildpfad\n1;{photo.name}\n".encode(), "text/csv")}
    asked = shown.post("/jobs/_preview", files=sent, data={"image_root": str(photo.parent)})
    assert '<option value="bildpfad">' in asked.text
    assert "first-rows" not in asked.text
    form = {"upload": upload_in(asked), "image_root": str(photo.parent), "image_column": "bildpfad"}
    assert shown.post("/jobs/_preview", data=form).text.count("data:image/jpeg;base64,") == 1


def test_a_catalogue_of_excel_is_read_once_its_encoding_is_chosen(
    client: TestClient, drawn: Path, bundle: Path
) -> None:
    photo = next(drawn.rglob("*.jpg"))
    sent = {"file": ("preise.csv", f"image,titel\n{photo.name},Größe für Füße\n".encode("cp1252"), "text/csv")}
    asked = client.post("/jobs/_preview", files=sent, data={"image_root": str(photo.parent)})
    assert "choose “Encoding” cp1252" in asked.text
    assert "hangtag-uploads" not in asked.text
    form = {"upload": upload_in(asked), "image_root": str(photo.parent), "encoding": "cp1252"}
    seen = client.post("/jobs/_preview", data=form)
    assert "Größe für Füße" in seen.text
    assert '<option value="cp1252" selected>' in seen.text
    client.app.state.hangtag.runner.local.close()
    assert client.post("/jobs/_start", data={**form, "model": str(bundle), "name": "preise"}).status_code == 201


def test_refusals_name_the_forms_fields_and_the_file_that_was_sent(
    client: TestClient, drawn: Path, bundle: Path
) -> None:
    client.app.state.hangtag.runner.local.close()
    outside = client.post("/jobs/_preview", files=sent_file([str(next(drawn.rglob("*.jpg")))])).json()["detail"]
    assert outside.endswith("in spring.csv; choose the folder that they are in as “Image root”.")
    form = {"image_root": str(drawn), "model": str(bundle), "name": "taken"}
    for photo, status in (("a.jpg", 201), ("b.jpg", 409)):
        form["upload"] = upload_in(client.post("/jobs/_preview", files=sent_file([photo]), data=form))
        answer = client.post("/jobs/_start", data=form)
        assert answer.status_code == status
    assert answer.json()["detail"].endswith("Choose another “Name”.")
    assert "hangtag-uploads" not in answer.text


def test_a_file_that_was_sent_is_kept_only_while_it_may_become_a_job(
    client: TestClient, drawn: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    client.app.state.hangtag.runner.local.close()
    root = {"image_root": str(drawn)}

    def kept() -> list[str]:
        return [file.name for file in (tmp_path / "tmp").glob("hangtag-uploads-*/*/*")]

    assert client.post("/jobs/_preview", files=sent_file(["a.jpg"], "photo.jpg")).status_code == 400
    assert client.post("/jobs/_preview", files={"file": ("a.csv", b"image\n", "text/csv")}).status_code == 400
    assert kept() == []
    first = upload_in(client.post("/jobs/_preview", files=sent_file(["a.jpg"]), data=root))
    seen = client.post("/jobs/_preview", files=sent_file(["b.jpg"], "b.csv"), data={**root, "instead": first})
    assert kept() == ["b.csv"]
    form = {"upload": upload_in(seen), "model": str(bundle), "name": "b", **root}
    assert client.post("/jobs/_start", data=form).status_code == 201
    assert client.post("/v1/jobs", files={"catalogue": ("c.csv", b"image\nc.jpg\n")}, data=root).status_code == 201
    assert kept() == []


def test_pasted_urls_become_a_catalogue(shown: TestClient) -> None:
    seen = shown.post("/jobs/_preview", data={"urls": "http://127.0.0.1:9/a.jpg\r\nhttp://127.0.0.1:9/b.jpg"})
    assert seen.status_code == 200, seen.text
    assert len(re.findall(r'<span class="faint" title="[^"]+127\.0\.0\.1[^"]*">refused</span>', seen.text)) == 2
    assert "elative paths" not in seen.text


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {"source": ""}},
        {"data": {"source": "/no/such/place"}},
        {"data": {"upload": "0" * 24}},
        {"files": {"file": ("a.exe", b"MZ", "application/octet-stream")}},
        {"files": {"file": ("preise.xlsx", b"PK\x03\x04", "application/zip")}},
        {"files": {"file": ("preise.csv", b"PK\x03\x04\x14\x00", "text/csv")}},
    ],
)
def test_what_is_no_catalogue_is_refused(shown: TestClient, sent: dict[str, dict[str, object]]) -> None:
    answer = shown.post("/jobs/_preview", **sent)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Expected")


def test_a_place_outside_data_is_refused(serve: Serve, tmp_path: Path, drawn: Path, bundle: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "out").symlink_to(drawn)
    client = serve(data=[tmp_path / "data"])
    for source in (str(drawn), str(tmp_path / "data" / ".." / ".."), str(tmp_path / "data" / "out"), "/etc/passwd"):
        answer = client.post("/jobs/_preview", data={"source": source})
        assert (answer.status_code, "--data" in answer.json()["detail"]) == (400, True), source
    assert client.post("/jobs/_start", data={"source": str(drawn), "model": str(bundle)}).status_code == 400


def test_a_model_is_offered_once_and_the_servers_own_is_chosen(
    serve: Serve, result: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_registry(str(tmp_path / "registry")).publish("shop", bundle, "first", alias="champion")
    monkeypatch.chdir(bundle.parent)
    text = page_text(serve(model=bundle.name, results=[result]), "/jobs")
    select = text[text.index('name="model"') :].partition("</select>")[0]
    options = re.findall(r'<option value="([^"]*)"( selected)?>', select)
    assert [place for place, _ in options if Path(place).name == bundle.name] == [bundle.name]
    assert [place for place, chosen in options if chosen] == [bundle.name]


# Buttons


def test_corrections_are_applied_by_a_button_and_the_copy_is_downloaded(
    client: TestClient, id: str, result: Path
) -> None:
    assert "Apply corrections" not in page_text(client, f"/jobs/{id}")
    assert client.get(f"/jobs/{id}/files/corrected").status_code == 404
    before = result.read_bytes()
    row = next(row for row in pq.read_table(result).to_pylist() if row["status"] == "labeled")
    vote = Vote(datetime(2026, 5, 1, 12, tzinfo=UTC), "anna", row["sha256"], row["image"], "boots")
    client.app.state.hangtag.reviews.store.append([vote])
    assert "Apply corrections" in page_text(client, f"/jobs/{id}")
    assert "1 changed" in client.post(f"/jobs/{id}/apply").json()["message"]
    copy = client.get(f"/jobs/{id}/files/corrected")
    assert copy.headers["content-disposition"] == 'attachment; filename="labels.corrected.parquet"'
    rows = {one["image"]: one for one in pq.read_table(io.BytesIO(copy.content)).to_pylist()}
    assert (rows[row["image"]]["label"], rows[row["image"]]["reviewed_by"]) == ("boots", "anna")
    assert result.read_bytes() == before
    assert "Corrected result" in page_text(client, f"/jobs/{id}")


def test_the_state_of_a_job_whose_rows_all_failed_is_not_green(serve: Serve, tmp_path: Path) -> None:
    failed = labelled_job(tmp_path / "shop", [Row(0, status=Status.FAILED)])
    finish_job(open_job(FolderStorage(job_folder(failed))))
    client = serve(results=[failed])
    for path in ("/jobs", f"/jobs/{result_id(failed)}"):
        assert '<span class="state finished futile">finished</span>' in page_text(client, path)
