"""Jobs as programs ask for them."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.until import until
from web.app import create_app
from web.settings import WebSettings

LARGE = 20_000
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(bundle: Path, tmp_path: Path, catalogue: Path) -> Iterator[TestClient]:
    """A server without Redis, which may read two folders."""
    places = {"jobs": str(tmp_path / "jobs"), "registry": str(tmp_path / "none"), "model": str(bundle)}
    app = create_app(WebSettings(**places, data=(tmp_path / "data", catalogue)))
    with TestClient(app, "http://127.0.0.1:8800") as opened:
        yield opened


@pytest.fixture
def rows(tmp_path: Path, catalogue: Path) -> Path:
    """A catalogue of four photos, one of which is not there."""
    photos = [*sorted(catalogue.rglob("*.jpg"))[:3], Path("missing.jpg")]
    file = tmp_path / "data" / "spring.csv"
    file.parent.mkdir()
    file.write_text("".join(f"{line}\n" for line in ["image", *photos]))
    return file


@pytest.fixture
def full_disk(client: TestClient) -> Iterator[None]:
    """A file can have 20 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def finished(client: TestClient, id: str) -> dict[str, Any]:
    def asked() -> dict[str, Any] | None:
        job: dict[str, Any] = client.get(f"/v1/jobs/{id}").json()
        return job if job["state"] == "finished" else None

    return until(asked, "the job ends", 60)


def test_a_catalogue_on_the_server_is_labelled_and_watched(client: TestClient, rows: Path, catalogue: Path) -> None:
    started = client.post("/v1/jobs", json={"source": str(rows), "name": "spring", "image_root": str(catalogue)})

    assert started.status_code == 201, started.text
    assert started.headers["location"] == "/v1/jobs/spring"
    assert started.json()["rows"] == 4
    job = finished(client, "spring")
    assert (job["done"], job["failed"], job["seconds_left"]) == (4, 1, None)
    assert client.get(job["links"]["receipt"]).json()["rows"] == 4
    assert client.get(job["links"]["result"]).is_success
    assert [one["id"] for one in client.get("/v1/jobs").json()["jobs"]] == ["spring"]


def test_a_file_that_is_sent_is_labelled(client: TestClient, rows: Path, catalogue: Path) -> None:
    form = {"name": "sent", "image_root": str(catalogue), "precision": "0.9"}

    started = client.post("/v1/jobs", data=form, files={"catalogue": ("../../spring.csv", rows.read_bytes())})

    assert started.status_code == 201, started.text
    assert finished(client, "sent")["done"] == 4


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {"source": "/etc"}}, 400),  # not under --data
        ({"json": {"source": "s3://bucket/a.csv"}}, 400),
        ({"json": {}}, 422),
        ({"json": []}, 422),
        ({"json": {"source": "a.csv", "nme": "spring"}}, 422),
        ({"json": {"source": "a\0.csv"}}, 422),
        ({"content": rb'{"source": "\ud800"}', "headers": JSON}, 422),
        ({"content": rb'{"source": "a.csv", "\ud800": 1}', "headers": JSON}, 422),
        ({"json": {"source": "a.csv", "precision": 2}}, 422),
        ({"content": b"x", "headers": {"content-type": "text/csv"}}, 415),
        ({"data": {"name": "spring"}, "files": {"other": b"image\n"}}, 422),
        ({"files": {"catalogue": ("a.csv", b"")}}, 400),
        ({"content": b"x" * 2_000_000, "headers": JSON}, 413),
    ],
)
def test_what_cannot_be_used_is_a_problem_document(client: TestClient, sent: dict[str, Any], status: int) -> None:
    refused = client.post("/v1/jobs", **sent)

    assert refused.status_code == status, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"]


def test_a_job_is_cancelled_resumed_and_retried(client: TestClient, rows: Path, catalogue: Path) -> None:
    sent = {"source": str(rows), "name": "spring", "image_root": str(catalogue)}
    assert client.post("/v1/jobs", json=sent).status_code == 201
    assert client.post("/v1/jobs/spring/cancel").json()["state"] in {"cancelled", "finished"}
    if client.get("/v1/jobs/spring").json()["state"] == "cancelled":
        assert client.post("/v1/jobs/spring/resume").json()["state"] in {"waiting", "running"}
    assert finished(client, "spring")["failed"] == 1
    for act in ("cancel", "resume"):
        refused = client.post(f"/v1/jobs/spring/{act}")
        assert (refused.status_code, refused.json()["status"]) == (409, 409)
        assert refused.json()["detail"] == f"spring is finished, there is nothing to {act}."
    again = client.post("/v1/jobs/spring/retry-failed")
    assert (again.status_code, again.json()["state"] in {"waiting", "running"}) == (200, True)
    assert client.post("/v1/jobs/none/retry-failed").status_code == 404


def test_a_full_disk_is_said_and_leaves_no_job(client: TestClient, rows: Path, full_disk: None) -> None:
    for refused in (
        client.post("/v1/jobs", json={"source": str(rows), "name": "full"}),
        client.post("/v1/jobs", files={"catalogue": ("spring.csv", b"image\n" * LARGE)}),
        client.post("/jobs/_preview", files={"file": ("spring.csv", b"image\n" * LARGE)}),
    ):
        assert refused.status_code == 507
        assert refused.json()["detail"].startswith("The disk of the server is full (")
    assert client.get("/v1/jobs").json() == {"jobs": [], "damaged": {}}


def test_a_job_that_is_not_there_is_404_and_one_that_is_another_409(client: TestClient, rows: Path) -> None:
    assert client.get("/v1/jobs/none").status_code == 404
    assert client.get("/v1/jobs/..%2f..%2fetc").status_code == 404
    assert client.post("/v1/jobs", json={"source": str(rows), "name": "one"}).status_code == 201
    other = rows.with_name("other.csv")
    other.write_text("image\nx.jpg\n")

    assert client.post("/v1/jobs", json={"source": str(other), "name": "one"}).status_code == 409
