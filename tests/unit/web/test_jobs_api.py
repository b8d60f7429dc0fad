"""The API of jobs."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from models.storage.storage import FolderStorage
from tests.review_jobs import Row, doubtful, labelled_job
from worker.job.job import open_job
from worker.job.parts import Status
from worker.label import job_folder
from worker.results.finish import finish_job

from .conftest import Serve

LARGE = 20_000
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(serve: Serve, bundle: Path, tmp_path: Path, catalogue: Path) -> TestClient:
    """A client of a server without Redis that may read two folders."""
    return serve(model=str(bundle), data=[tmp_path / "data", catalogue])


@pytest.fixture
def rows(tmp_path: Path, catalogue: Path) -> Path:
    """A catalogue of three photos and a missing one."""
    photos = [*sorted(catalogue.rglob("*.jpg"))[:3], Path("missing.jpg")]
    file = tmp_path / "data" / "spring.csv"
    file.parent.mkdir()
    file.write_text("".join(f"{line}\n" for line in ["image", *photos]))
    return file


@pytest.fixture
def full_disk(client: TestClient) -> Iterator[None]:
    """Limit files to 20 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_finished_job_is_shown_with_its_files_and_forbidden_actions(client: TestClient, tmp_path: Path) -> None:
    result = labelled_job(tmp_path / "shop", [*doubtful(3), Row(9, status=Status.FAILED)])
    finish_job(open_job(FolderStorage(job_folder(result))))
    (tmp_path / "jobs").mkdir()
    job_folder(result).rename(tmp_path / "jobs" / "spring")

    (job,) = client.get("/v1/jobs").json()["jobs"]

    assert client.get("/v1/jobs/spring").json() == job
    assert (job["id"], job["state"], job["rows"], job["done"], job["failed"]) == ("spring", "finished", 4, 4, 1)
    assert client.get(job["links"]["receipt"]).json()["rows"] == 4
    assert client.get(job["links"]["result"]).is_success
    for act in ("cancel", "resume", "retry-failed"):  # its failed row is too large
        refused = client.post(f"/v1/jobs/spring/{act}")
        assert (refused.status_code, refused.json()["status"]) == (409, 409)


def test_a_file_that_is_sent_becomes_a_job_that_is_cancelled_and_resumed(
    client: TestClient, rows: Path, catalogue: Path
) -> None:
    client.app.state.hangtag.runner.local.close()  # nothing is labelled
    form = {"name": "sent", "image_root": str(catalogue), "precision": "0.9"}

    sent = rows.read_bytes().replace(b"\n", b",1\n")  # two columns
    started = client.post("/v1/jobs", data=form, files={"catalogue": ("../../spring.csv", sent)})

    assert (started.status_code, started.json()["source"]) == (201, "spring.csv"), started.text
    assert client.post("/v1/jobs/sent/cancel").json()["state"] == "cancelled"
    assert client.post("/v1/jobs/sent/resume").json()["state"] == "waiting"
    said = started.json()["remarks"]
    assert said[0] == "Photos are in the column 'image'.", "as hangtag submit says it"
    for path in ("none", "..%2f..%2fetc"):
        assert client.get(f"/v1/jobs/{path}").status_code == 404
    assert client.post("/v1/jobs/none/retry-failed").status_code == 404


def test_a_file_that_is_sent_is_refused_if_none_of_its_photos_is_there(client: TestClient, catalogue: Path) -> None:
    sent = {"catalogue": ("spring.csv", b"sku,image\n1,gone/1.jpg\n2,gone/2.jpg\n")}
    for form in ({"image_root": str(catalogue)}, {}):
        refused = client.post("/v1/jobs", data={**form, "name": "sent"}, files=sent)
        assert refused.status_code == 400, refused.text
        detail = refused.json()["detail"]
        assert "missing" in detail
        assert "'gone/1.jpg' in the column 'image' of spring.csv" in detail
        assert "hangtag-upload" not in detail
    assert client.get("/v1/jobs/sent").status_code == 404


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {"source": "/etc"}}, 400),  # not under --data
        ({"json": {}}, 422),
        ({"json": {"source": "a.csv", "nme": "spring"}}, 422),
        ({"json": {"source": "a\0.csv"}}, 422),
        ({"json": {"source": "a.csv", "model": ["a=a\0", "b=b"]}}, 422),
        ({"json": {"source": "a.csv", "name": "n" * 300}}, 422),
        ({"data": {"model": "m" * 300}, "files": {"catalogue": ("a.csv", b"image\n")}}, 422),  # no file has such a name
        ({"content": rb'{"source": "\ud800"}', "headers": JSON}, 422),
        ({"content": rb'{"source": "a.csv", "\ud800": 1}', "headers": JSON}, 422),
        ({"json": {"source": "a.csv", "precision": 2}}, 422),
        ({"content": b"x", "headers": {"content-type": "text/csv"}}, 415),
        ({"data": {"name": "spring"}, "files": {"other": b"image\n"}}, 422),
        ({"files": {"catalogue": ("a.csv", b"")}}, 400),
    ],
)
def test_what_cannot_be_used_is_a_problem_document(client: TestClient, sent: dict[str, Any], status: int) -> None:
    refused = client.post("/v1/jobs", **sent)

    assert refused.status_code == status, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"]


def test_catalogues_of_slow_hosts_hold_up_nothing_else(
    serve: Serve, bundle: Path, rows: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.catalogues._AT_ONCE", 0)  # as if all were taken
    client = serve(model=str(bundle), data=[rows.parent, catalogue])
    url = "https://shop.example/spring.csv"
    for busy in (
        client.post("/jobs/_preview", data={"source": url}),
        client.post("/v1/jobs", json={"source": url}),
        client.post("/v1/jobs", files={"source": (None, url)}),
    ):
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "5")
    assert client.get("/jobs").is_success
    started = client.post("/v1/jobs", json={"source": str(rows), "image_root": str(catalogue), "name": "local"})
    assert started.status_code == 201, started.text


def test_a_full_disk_is_said_and_leaves_no_job(client: TestClient, rows: Path, full_disk: None) -> None:
    for refused in (
        client.post("/v1/jobs", json={"source": str(rows), "name": "full"}),
        client.post("/v1/jobs", files={"catalogue": ("spring.csv", b"image\n" * LARGE)}),
        client.post("/jobs/_preview", files={"catalogue": ("spring.csv", b"image\n" * LARGE)}),
    ):
        assert refused.status_code == 507
    assert client.get("/v1/jobs").json() == {"jobs": [], "damaged": {}}
