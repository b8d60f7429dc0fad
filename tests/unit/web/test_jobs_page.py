"""The pages of jobs, over HTTP: tables, live regions, the form, what is refused, and what is downloaded."""

import asyncio
import csv
import io
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from catalogue.text_file import LIKELY_ENCODINGS
from models.errors import JobError
from models.registry.registry import open_registry
from tests.until import until
from trainer.corrections.votes import Vote
from web.app import create_app
from web.broadcast import Broadcast
from web.catalogues import ENCODINGS
from web.routes.jobs_page import _rows, job_events
from web.settings import WebSettings
from worker.job.job import CANCELLED, commit_retry
from worker.job.receipt import finished_receipt
from worker.label import label
from worker.request import JobOptions, LabelRequest

EVIL = "<img src=x onerror=alert(1)>.jpg"
BROWSER = {"accept": "text/html"}


@pytest.fixture(scope="module")
def result(tmp_path_factory, bundle, drawn) -> Path:
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


@pytest.fixture
def settings(tmp_path: Path, result: Path, bundle: Path) -> WebSettings:
    return WebSettings(
        jobs=str(tmp_path / "jobs"),
        results=(result,),
        model=str(bundle),
        registry=str(tmp_path / "registry"),
        corrections=tmp_path / "corrections.csv",
    )


@pytest.fixture
def browser(settings: WebSettings) -> Iterator[TestClient]:
    """Keeps cookies."""
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8800") as browser:
        yield browser


@pytest.fixture
def client(browser: TestClient) -> TestClient:
    """A program, which keeps no cookies and so needs no token of a page."""
    browser.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return browser


@pytest.fixture
def id(client: TestClient) -> str:
    return client.app.state.hangtag.jobs.all()[0].id


def page_text(client: TestClient, path: str) -> str:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200, answer.text
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert not re.search(r"\sstyle=|\son[a-z]+=\"|<script>|<style>", answer.text)
    return answer.text


def test_without_a_job_the_page_asks_for_a_catalogue(tmp_path):
    with TestClient(create_app(WebSettings(jobs=str(tmp_path / "none"))), base_url="http://127.0.0.1:8800") as client:
        text = page_text(client, "/jobs")
    assert "Drop a catalogue here" in text
    assert re.search(r'<section id="new-job"[^>]*title">', text), "the form is open"
    assert 'title="Letters, digits, . _ and - only, no space; a letter or digit first."' in text


def test_the_table_names_each_job_with_its_counts(client, id, result):
    receipt = finished_receipt(client.app.state.hangtag.jobs.find(id).job)
    text = page_text(client, "/jobs")
    row = text[text.index(f'<tr data-id="{id}">') :]
    cells = re.sub(r"<[^>]+>|\s+", " ", row[: row.index("</tr>")]).split()
    assert cells[:3] == ["labels.parquet", "products.csv", "finished"]
    assert {str(count) for count in receipt.by_status.values()} <= set(cells)
    assert f"1 finished · {receipt.by_status['review']}" in text


def test_a_job_that_cannot_be_read_is_named_and_hides_no_other(client, id, tmp_path):
    broken = tmp_path / "jobs" / "broken"
    broken.mkdir(parents=True)
    (broken / "job.json").write_text("{")
    text = page_text(client, "/jobs")
    assert f'data-id="{id}"' in text
    assert re.search(r"<b>broken</b> cannot be read: job.json in .* is damaged", text)
    assert client.get("/jobs/broken").status_code == 409


def test_a_finished_jobs_page_shows_its_receipt_and_what_failed(client, id):
    text = page_text(client, f"/jobs/{id}")
    assert "missing" in text
    assert "There is no photo there." in text
    assert '<td class="photo"><span>missing</span></td>' in text, "and is not asked for"
    assert EVIL not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in text
    assert "Retry 1 failed row" in text
    assert re.search(r"Review \d+ doubtful row", text)
    assert "data-events" not in text


def test_the_stored_receipt_can_run_nothing(client, id):
    answer = client.get(f"/jobs/{id}/receipt")
    assert "<h1>" in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize("what", ["result", "receipt", "page", "review", "by_group"])
def test_what_a_job_leaves_can_be_downloaded(client, id, result, what):
    names = {"receipt": "receipt.json", "page": "receipt.html", "review": "review.csv", "by_group": "by_group.parquet"}
    place = result if what == "result" else result.with_name("labels.parquet.job") / names[what]
    answer = client.get(f"/jobs/{id}/files/{what}")
    assert answer.content == place.read_bytes()
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/jobs/gone", "/jobs/gone/receipt", "/jobs/gone/files/result", "/jobs/gone/events"])
def test_a_job_that_is_not_there_is_said_to_be_missing(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("what", ["../job.json", "job.json", "%2e%2e%2fjob.json", "rows", "x" * 300])
def test_other_files_of_a_job_cannot_be_downloaded(client, id, what):
    assert client.get(f"/jobs/{id}/files/{what}").status_code in {404, 405}


def sent_file(names: list[str], name: str = "spring.csv"):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["photo", "title"], *([one, "<script>alert(1)</script>"] for one in names)])
    return {"file": (name, text.getvalue().encode(), "text/csv")}


def test_an_uploaded_catalogue_is_shown_and_then_labelled_while_a_browser_watches(client, drawn, bundle, tmp_path):
    names = sorted(str(photo.relative_to(drawn)) for photo in drawn.rglob("*.jpg"))[:30]
    seen = client.post("/jobs/_preview", files=sent_file(names), data={"image_root": str(drawn)})
    assert seen.status_code == 200, seen.text
    assert "First rows of <bdi>spring.csv</bdi>" in seen.text
    assert seen.text.count("data:image/jpeg;base64,") == 6
    assert "<script>" not in seen.text
    upload = re.search(r'name="upload" value="([0-9a-f]+)"', seen.text)[1]
    form = {"upload": upload, "model": str(bundle), "image_root": str(drawn), "name": "spring"}
    started = client.post("/jobs/_start", data=form)
    assert (started.status_code, started.json()) == (201, {"id": "spring"})
    events = client.get("/jobs/spring/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    said = re.findall(r"^event: (\w+)\ndata: (.*)$", events.text, re.MULTILINE)
    assert said[-1][0] == "end"
    last = {name: json.loads(data) for name, data in said}
    assert "finished" in last["progress"]
    assert "<b>30</b> of 30 rows" in last["progress"]
    job = client.app.state.hangtag.jobs.find("spring").job
    assert (job.spec.rows, job.spec.source) == (30, "spring.csv")
    assert page_text(client, "/jobs/spring").count("spring.csv") >= 2


def test_a_page_whose_job_is_deleted_is_loaded_again_and_says_so(client, drawn, bundle, tmp_path):
    """The stream ends as a job's does; the page that is loaded then says what is wrong."""
    state = client.app.state.hangtag
    form = {"source": str(drawn), "model": str(bundle), "name": "gone"}
    assert client.post("/jobs/_start", data=form).status_code == 201
    state.runner.local.close()
    watched = state.jobs.find("gone")
    shutil.rmtree(tmp_path / "jobs" / "gone")

    async def hear() -> list[str | None]:
        return [event.event async for event in job_events(watched, state)]

    assert asyncio.run(asyncio.wait_for(hear(), 10)) == ["end"]
    assert "it may have been deleted" in client.get("/jobs/gone", headers=BROWSER).text


def test_a_column_that_is_not_obvious_is_chosen_in_the_form(client, drawn):
    photo = next(drawn.rglob("*.jpg"))
    sent = {"file": ("bild.csv", f"sku;bildpfad\n1;{photo.name}\n".encode(), "text/csv")}
    asked = client.post("/jobs/_preview", files=sent, data={"image_root": str(photo.parent)})
    assert asked.status_code == 200, asked.text
    assert "Which column names the photo? Choose it." in asked.text
    assert '<option value="bildpfad">' in asked.text
    assert "first-rows" not in asked.text
    upload = re.search(r'name="upload" value="([0-9a-f]+)"', asked.text)[1]
    form = {"upload": upload, "image_root": str(photo.parent), "image_column": "bildpfad"}
    seen = client.post("/jobs/_preview", data=form)
    assert seen.text.count("data:image/jpeg;base64,") == 1


def test_a_catalogue_of_excel_is_read_once_its_encoding_is_chosen(client, drawn, bundle):
    photo = next(drawn.rglob("*.jpg"))
    sent = {"file": ("preise.csv", f"image,titel\n{photo.name},Größe für Füße\n".encode("cp1252"), "text/csv")}
    asked = client.post("/jobs/_preview", files=sent, data={"image_root": str(photo.parent)})
    assert "choose “Encoding” cp1252, or save it as UTF-8" in asked.text
    assert "Expected UTF-8 in preise.csv, got byte" in asked.text
    assert "hangtag-uploads" not in asked.text
    upload = re.search(r'name="upload" value="([0-9a-f]+)"', asked.text)[1]
    form = {"upload": upload, "image_root": str(photo.parent), "encoding": "cp1252"}
    seen = client.post("/jobs/_preview", data=form)
    assert "Größe für Füße" in seen.text
    assert '<option value="cp1252" selected>' in seen.text
    started = client.post("/jobs/_start", data={**form, "model": str(bundle), "name": "preise"})
    assert started.status_code == 201, started.text


def test_encodings_of_the_form_are_those_that_are_guessed():
    assert set(LIKELY_ENCODINGS) | {"utf-16-le", "utf-16-be"} == set(ENCODINGS)


def test_refusals_name_the_forms_fields_and_the_file_that_was_sent(client, drawn, bundle):
    outside = client.post("/jobs/_preview", files=sent_file([str(next(drawn.rglob("*.jpg")))])).json()["detail"]
    assert outside.startswith("Expected photos under the image root, ")
    assert outside.endswith("in spring.csv; choose the folder that they are in as “Image root”.")
    seen = client.post("/jobs/_preview", files=sent_file(["a.jpg"]), data={"image_root": str(drawn)})
    upload = re.search(r'name="upload" value="([0-9a-f]+)"', seen.text)[1]
    form = {"upload": upload, "image_root": str(drawn), "model": str(bundle), "name": "taken"}
    assert client.post("/jobs/_start", data=form).status_code == 201
    other = client.post("/jobs/_preview", files=sent_file(["b.jpg"]), data={"image_root": str(drawn)})
    form["upload"] = re.search(r'name="upload" value="([0-9a-f]+)"', other.text)[1]
    refused = client.post("/jobs/_start", data=form).json()["detail"]
    assert refused.endswith("Choose another “Name”.")
    assert "hangtag-uploads" not in refused


def uploaded() -> list[Path]:
    return [*Path(tempfile.gettempdir()).glob("hangtag-uploads-*/*/*")]


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """A folder of this test's own for temporary files."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def test_a_file_that_was_sent_is_kept_only_while_it_may_become_a_job(client, temporary, drawn, bundle):
    root = {"image_root": str(drawn)}
    assert client.post("/jobs/_preview", files=sent_file(["a.jpg"], "photo.jpg")).status_code == 400
    assert client.post("/jobs/_preview", files={"file": ("a.csv", b"image\n", "text/csv")}).status_code == 400
    assert uploaded() == []
    seen = client.post("/jobs/_preview", files=sent_file(["a.jpg"]), data=root)
    first = re.search(r'name="upload" value="([0-9a-f]+)"', seen.text)[1]
    seen = client.post("/jobs/_preview", files=sent_file(["b.jpg"], "b.csv"), data={**root, "instead": first})
    assert [place.name for place in uploaded()] == ["b.csv"]
    upload = re.search(r'name="upload" value="([0-9a-f]+)"', seen.text)[1]
    form = {"upload": upload, "model": str(bundle), "name": "b", **root}
    assert client.post("/jobs/_start", data=form).status_code == 201
    assert uploaded() == []
    assert client.post("/v1/jobs", files={"catalogue": ("c.csv", b"image\nc.jpg\n")}, data=root).status_code == 201
    assert uploaded() == []


def test_what_was_sent_to_a_server_that_was_killed_is_removed_by_the_next(client, temporary, drawn):
    left, mine = temporary / "hangtag-uploads-left", temporary / "mine"
    for folder in (left / "token", mine):
        folder.mkdir(parents=True)
        (folder / "big.csv").write_text("image\n")
    (temporary / "hangtag-uploads-link").symlink_to(temporary)
    for folder in (left / "token", left, mine):
        os.utime(folder, (0, 0))
    seen = client.post("/jobs/_preview", files=sent_file(["a.jpg"]), data={"image_root": str(drawn)})
    assert seen.status_code == 200
    assert not left.exists()
    assert mine.exists()


def test_a_workbook_is_to_be_saved_as_csv(client):
    sheet = {"file": ("preise.xlsx", b"PK\x03\x04", "application/zip")}
    assert "save the sheet as CSV" in client.post("/jobs/_preview", files=sheet).json()["detail"]
    renamed = {"file": ("preise.csv", b"PK\x03\x04\x14\x00", "text/csv")}
    assert "it is a ZIP or Excel file" in client.post("/jobs/_preview", files=renamed).json()["detail"]


def test_a_model_is_offered_once_and_the_servers_own_is_chosen(client, bundle, settings, tmp_path, monkeypatch):
    open_registry(settings.registry).publish("shop", bundle, "first", alias="champion")
    monkeypatch.chdir(bundle.parent)
    own = replace(settings, model=bundle.name)
    with TestClient(create_app(own), base_url="http://127.0.0.1:8800") as other:
        text = page_text(other, "/jobs")
    options = re.findall(
        r'<option value="([^"]*)"( selected)?>', text[text.index('name="model"') :].partition("</select>")[0]
    )
    assert [place for place, _ in options if Path(place).name == bundle.name] == [bundle.name]
    assert [place for place, chosen in options if chosen] == [bundle.name]


def test_pasted_urls_become_a_catalogue(client):
    seen = client.post("/jobs/_preview", data={"urls": "http://127.0.0.1:9/a.jpg\r\nhttp://127.0.0.1:9/b.jpg"})
    assert seen.status_code == 200, seen.text
    assert "None of these photos can be read" in seen.text, "private addresses are not asked"
    assert "None of these photos can be read: refused (it may not be read, or its host may not be asked)." in seen.text
    assert len(re.findall(r'<span class="faint" title="[^"]+127\.0\.0\.1[^"]*">refused</span>', seen.text)) == 2
    assert "elative paths" not in seen.text


def test_what_is_no_catalogue_is_refused_in_the_words_of_the_commands(client):
    for given in ({"source": ""}, {"source": "/no/such/place"}, {"upload": "0" * 24}):
        answer = client.post("/jobs/_preview", data=given)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("Expected")
    sent = {"file": ("a.exe", b"MZ", "application/octet-stream")}
    assert "got" in client.post("/jobs/_preview", files=sent).json()["detail"]
    answer = client.post("/jobs/_start", data={"source": "/no/such/place", "model": "shop@champion", "name": "../x"})
    assert (answer.status_code, "Expected a name for a job" in answer.json()["detail"]) == (400, True)


def test_a_place_outside_data_is_refused(settings, tmp_path, drawn):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "out").symlink_to(drawn)
    with TestClient(
        create_app(replace(settings, data=(tmp_path / "data",))), base_url="http://127.0.0.1:8800"
    ) as client:
        for source in (str(drawn), str(tmp_path / "data" / ".." / ".."), str(tmp_path / "data" / "out"), "/etc/passwd"):
            answer = client.post("/jobs/_preview", data={"source": source})
            assert (answer.status_code, "under a folder of --data" in answer.json()["detail"]) == (400, True), source
        answer = client.post("/jobs/_start", data={"source": str(drawn), "model": str(settings.model)})
        assert answer.status_code == 400


def test_a_browser_must_send_the_pages_token(browser):
    token = re.search(r'<meta name="csrf" content="([^"]+)">', browser.get("/jobs", headers=BROWSER).text)[1]
    assert browser.post("/v1/jobs/gone/retry-failed").status_code == 403
    assert browser.post("/v1/jobs/gone/retry-failed", headers={"x-csrf-token": token}).status_code == 404
    foreign = {"x-csrf-token": token, "sec-fetch-site": "cross-site"}
    assert browser.post("/v1/jobs/gone/retry-failed", headers=foreign).status_code == 403


def test_what_a_job_cannot_do_is_refused(client, id):
    assert client.post(f"/v1/jobs/{id}/cancel").status_code == 409
    assert client.post(f"/v1/jobs/{id}/resume").status_code == 409
    assert client.post(f"/v1/jobs/{id}/dance").status_code == 404


def test_a_table_of_jobs_is_sent_again_only_where_it_has_changed(client, id):
    read = _rows(client.app.state.hangtag)
    (first, summary), (second, _) = read(), read()
    assert list(first) == [id]
    assert first[id] is second[id]
    assert summary.startswith("1 finished")


def test_a_broadcast_reads_once_for_all_who_listen_and_ends_with_the_last():
    reads: list[int] = []
    threads: set[int] = set()

    def read() -> int:
        reads.append(len(reads))
        threads.add(threading.get_ident())
        return len(reads)

    async def hear(broadcast: Broadcast[int], count: int) -> list[int]:
        heard = []
        stream = broadcast.listen()
        async for value in stream:
            heard.append(value)
            if len(heard) == count:
                break
        await stream.aclose()
        return heard

    async def all_listen() -> None:
        broadcast = Broadcast(read, every_s=0.01)
        heard = await asyncio.gather(hear(broadcast, 5), hear(broadcast, 5), hear(broadcast, 3))
        assert [len(one) for one in heard] == [5, 5, 3]
        assert len(reads) <= 7, "once for all"
        while not broadcast.is_idle:
            await asyncio.sleep(0.01)
        before = len(reads)
        await asyncio.sleep(0.05)
        assert len(reads) == before, "nobody listens"
        assert await hear(broadcast, 1) == [before + 1]

    asyncio.run(all_listen())
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("error", [JobError("It is damaged."), KeyError("It is damaged.")])
def test_who_listens_is_told_that_reading_failed(error):
    def read() -> int:
        raise error

    async def hear() -> None:
        async for _ in Broadcast(read, every_s=0.01).listen():
            pass

    with pytest.raises(type(error), match="It is damaged"):
        asyncio.run(asyncio.wait_for(hear(), 10))


def test_corrections_are_applied_by_a_button_and_the_copy_is_downloaded(client, id, result):
    assert "Apply corrections" not in page_text(client, f"/jobs/{id}")
    assert client.get(f"/jobs/{id}/files/corrected").status_code == 404
    before = result.read_bytes()
    row = next(row for row in pq.read_table(result).to_pylist() if row["status"] == "labeled")
    vote = Vote(datetime(2026, 5, 1, 12, tzinfo=UTC), "anna", row["sha256"], row["image"], "boots")
    client.app.state.hangtag.reviews.store.append([vote])
    assert "Apply corrections" in page_text(client, f"/jobs/{id}")
    said = client.post(f"/jobs/{id}/apply").json()["said"]
    assert said.startswith("The corrected result is written: 1 changed")
    copy = client.get(f"/jobs/{id}/files/corrected")
    assert copy.headers["content-disposition"] == 'attachment; filename="labels.corrected.parquet"'
    rows = {one["image"]: one for one in pq.read_table(io.BytesIO(copy.content)).to_pylist()}
    assert (rows[row["image"]]["label"], rows[row["image"]]["reviewed_by"]) == ("boots", "anna")
    assert result.read_bytes() == before
    assert "Corrected result" in page_text(client, f"/jobs/{id}")


def test_counts_follow_a_retry(client, id, tmp_path, bundle, drawn):
    """A chunk's part of a retry counts in the place of the earlier one."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, photo in enumerate(sorted(drawn.rglob("*.jpg"))[:4]):
        (photos / f"{number}.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "list.txt").write_text("0.jpg\n1.jpg\nlate.jpg\n")
    state = client.app.state.hangtag
    form = {"source": str(tmp_path / "list.txt"), "model": str(bundle), "image_root": str(photos), "name": "late"}
    assert client.post("/jobs/_start", data=form).status_code == 201
    job = state.jobs.find("late").job
    until(lambda: finished_receipt(job), "the job is finished", 60)
    assert state.board.view("late").counts.errors == {"missing": 1}
    (photos / "late.jpg").write_bytes((photos / "3.jpg").read_bytes())
    assert client.post("/v1/jobs/late/retry-failed").status_code == 200
    until(lambda: (receipt := finished_receipt(job)) and receipt.retry == 1, "the retry is merged", 60)
    view = state.board.view("late")
    assert (view.counts.errors, view.counts.rows) == ({}, 3)
    (job.storage.root / "receipt.json").unlink()
    view = state.board.view("late")
    assert (view.counts.errors.total(), view.counts.rows, view.counts.by_status.total()) == (0, 3, 3)
    commit_retry(job.storage, 2, [0], 1)
    job.storage.commit(CANCELLED, b"")
    view = state.board.view("late")
    assert (view.progress.done, view.progress.failed) == (0, 0)
    assert (view.counts.rows, view.counts.by_status.total()) == (0, 0), "the earlier part is to be done again"


def test_the_state_of_a_job_whose_rows_all_failed_is_not_green(client, tmp_path, bundle):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    (tmp_path / "list.txt").write_text("broken.jpg\n")
    form = {"source": str(tmp_path / "list.txt"), "model": str(bundle), "name": "futile"}
    assert client.post("/jobs/_start", data=form).status_code == 201
    until(lambda: finished_receipt(client.app.state.hangtag.jobs.find("futile").job), "the job is finished", 60)
    for path in ("/jobs", "/jobs/futile"):
        assert '<span class="state finished futile">finished</span>' in page_text(client, path)
