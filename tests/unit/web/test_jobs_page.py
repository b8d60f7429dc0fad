"""The pages of jobs, over HTTP: tables, live regions, the form, refusals, downloads."""

import csv
import io
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from models.registry.registry import open_registry
from models.text import without_file_links
from tests.until import until
from trainer.corrections.votes import Vote
from web.app import create_app
from web.jobs import result_id
from web.settings import WebSettings
from worker.job.receipt import finished_receipt
from worker.label import label
from worker.request import JobOptions, LabelRequest

from .conftest import ADDRESS, Serve

EVIL = "<img src=x onerror=alert(1)>.jpg"
BROWSER = {"accept": "text/html"}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, bundle: Path, drawn: Path) -> Path:
    """A finished job of ``hangtag label``: some rows, and a failed row with a hostile name."""
    folder = tmp_path_factory.mktemp("result")
    names = sorted(str(photo.relative_to(drawn)) for photo in drawn.rglob("*.jpg"))[:40]
    catalogue, output = folder / "products.csv", folder / "labels.parquet"
    with catalogue.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "sku"], *([name, n] for n, name in enumerate([*names, EVIL]))])
    options = JobOptions(group_column="sku", image_root=str(drawn))
    request = LabelRequest(catalogue, bundle, options, output=output, workers=1)
    label(request, lambda *_: None)
    return output


@pytest.fixture(scope="module")
def id(result: Path) -> str:
    return result_id(result)


@pytest.fixture(scope="module")
def shown(result: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a server with this job; read-only."""
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


def test_the_table_names_each_job_with_its_counts(shown: TestClient, id: str) -> None:
    receipt = finished_receipt(shown.app.state.hangtag.jobs.find(id).job)
    text = page_text(shown, "/jobs")
    row = text[text.index(f'<tr data-id="{id}">') :]
    cells = re.sub(r"<[^>]+>|\s+", " ", row[: row.index("</tr>")]).split()
    assert cells[:3] == ["labels.parquet", "products.csv", "finished"]
    assert {str(count) for count in receipt.by_status.values()} <= set(cells)
    assert f"1 finished · {receipt.by_status['review']}" in text


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
    assert "The photo does not exist." in text
    assert "/rows/" not in text, "the page requests no photo of a failed row"
    assert EVIL not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in text
    assert "Retry 1 failed row" in text
    assert re.search(r"Review \d+ row", text)
    assert "data-live" not in text


def test_the_stored_receipt_can_run_nothing(shown: TestClient, id: str) -> None:
    answer = shown.get(f"/jobs/{id}/receipt")
    assert "<h1>" in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize("what", ["result", "receipt", "page", "review", "by_group"])
def test_what_a_job_leaves_can_be_downloaded(shown: TestClient, id: str, result: Path, what: str) -> None:
    names = {"receipt": "receipt.json", "page": "receipt.html", "review": "review.csv", "by_group": "by_group.parquet"}
    place = result if what == "result" else result.with_name("labels.parquet.job") / names[what]
    answer = shown.get(f"/jobs/{id}/files/{what}")
    sent = without_file_links(place.read_bytes()) if what == "page" else place.read_bytes()
    assert answer.content == sent
    assert b'class="file" href' not in sent, "a receipt that is sent on has no link that leads nowhere"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")


def test_products_are_downloaded_as_a_csv_like_the_result_also_corrected(
    serve: Serve, bundle: Path, drawn: Path, tmp_path: Path
) -> None:
    output = tmp_path / "labels.csv"
    request = LabelRequest(drawn, bundle, JobOptions(group_column="image"), output=output, workers=1)
    label(request, lambda *_: None)
    client, address = serve(results=[output], model=str(bundle)), f"/jobs/{result_id(output)}"
    assert "Corrected products" not in page_text(client, address)
    message = client.post(f"{address}/apply").json()["message"]
    assert re.search(r" Products: \d+, \d+ labeled, \d+ to review, \d+ failed \(no usable photo\)\.$", message)
    assert "Corrected products" in page_text(client, address)
    for file, name in (("by_group", "by_group.csv"), ("corrected_products", "by_group.corrected.csv")):
        answer = client.get(f"{address}/files/{file}")
        assert answer.content == (tmp_path / "labels.csv.job" / name).read_bytes()
        assert answer.headers["content-disposition"].endswith(f'-{name}"')


@pytest.mark.parametrize("what", ["../job.json", "job.json", "%2e%2e%2fjob.json", "rows", "x" * 300])
def test_other_files_of_a_job_cannot_be_downloaded(shown: TestClient, id: str, what: str) -> None:
    assert shown.get(f"/jobs/{id}/files/{what}").status_code in {404, 405}


@pytest.mark.parametrize("path", ["/jobs/gone", "/jobs/gone/receipt", "/jobs/gone/files/result"])
def test_an_unknown_job_is_reported_as_missing(shown: TestClient, path: str) -> None:
    answer = shown.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


# The form for a new job


def preview_of(client: TestClient, text: str, root: Path, name: str = "spring.csv", **form: str) -> httpx.Response:
    sent = {"catalogue": (name, text.encode(form.get("encoding", "utf-8")), "text/csv")}
    return client.post("/jobs/_preview", files=sent, data={"image_root": str(root)} | form)


@pytest.mark.rest
def test_an_uploaded_catalogue_is_shown_and_then_labelled(client: TestClient, drawn: Path, bundle: Path) -> None:
    names = sorted(str(photo.relative_to(drawn)) for photo in drawn.rglob("*.jpg"))[:30]
    text = "photo,title\n" + "".join(f"{name},<script>alert(1)</script>\n" for name in names)
    seen = preview_of(client, text, drawn)
    assert seen.text.count("data:image/jpeg;base64,") == 6
    assert "<script>" not in seen.text
    form = {"model": str(bundle), "image_root": str(drawn), "name": "spring", "precision": ""}
    started = client.post("/v1/jobs", data=form, files={"catalogue": ("spring.csv", text.encode())})
    assert (started.status_code, started.json()["links"]["page"]) == (201, "/jobs/spring")
    assert "data-live" in page_text(client, "/jobs/spring")
    until(lambda: "data-live" not in page_text(client, "/jobs/spring"), "the job is over", 90)
    assert "<b>30</b> of 30 rows" in page_text(client, "/jobs/spring")
    job = client.app.state.hangtag.jobs.find("spring").job
    assert (job.spec.rows, job.spec.source) == (30, "spring.csv")


def test_the_form_asks_for_a_column_and_an_encoding_that_it_cannot_tell(shown: TestClient, drawn: Path) -> None:
    photo = next(drawn.rglob("*.jpg"))
    text = f"sku;bildpfad\n1;{photo.name}\n"
    asked = preview_of(shown, text, photo.parent, "bild.csv")
    assert '<option value="bildpfad">' in asked.text
    assert "first-rows" not in asked.text
    assert preview_of(shown, text, photo.parent, image_column="bildpfad").text.count("data:image/jpeg;base64,") == 1
    ids = f"image\n{photo.stem}\n"
    assert preview_of(shown, ids, photo.parent, image_suffix=" .jpg").text.count("data:image/jpeg;base64,") == 1
    sent = {"catalogue": ("preise.csv", f"image,titel\n{photo.name},Größe für Füße\n".encode("cp1252"))}
    asked = shown.post("/jobs/_preview", files=sent)
    assert "--encoding cp1252" in asked.text
    assert "hangtag-upload" not in asked.text
    seen = shown.post("/jobs/_preview", files=sent, data={"encoding": "cp1252"})
    assert "Größe für Füße" in seen.text
    assert "<option selected>cp1252</option>" in seen.text


def test_a_file_that_was_sent_leaves_nothing_and_refusals_name_it(
    client: TestClient, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    outside = preview_of(client, f"image\n{next(drawn.rglob('*.jpg'))}\n", Path()).json()["detail"]
    assert "in spring.csv;" in outside
    assert "hangtag-upload" not in outside
    assert preview_of(client, "image\na.jpg\n", drawn).status_code == 200
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_place_outside_data_is_refused(serve: Serve, tmp_path: Path, drawn: Path, bundle: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "out").symlink_to(drawn)
    client = serve(data=[tmp_path / "data"])
    for source in (str(drawn), str(tmp_path / "data" / ".." / ".."), str(tmp_path / "data" / "out"), "/etc/passwd"):
        answer = client.post("/jobs/_preview", data={"source": source})
        assert (answer.status_code, "--data" in answer.json()["detail"]) == (400, True), source
    assert client.post("/v1/jobs", json={"source": str(drawn), "model": str(bundle)}).status_code == 400


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
