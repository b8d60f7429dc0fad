"""The jobs' pages with a real Redis and workers, and with jobs in S3."""

import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from models.storage.object_storage import ObjectStorage
from web.app import create_app
from web.settings import WebSettings

from .cluster import Cluster


def client_of(settings: WebSettings) -> TestClient:
    return TestClient(create_app(settings), base_url="http://127.0.0.1:8800")


def test_without_redis_the_page_shows_the_problem_and_submits_no_job(cluster: Cluster, bundle: Path) -> None:
    settings = WebSettings(jobs=str(cluster.jobs), redis="redis://127.0.0.1:1/0")
    with client_of(settings) as client:
        answer = client.post("/v1/jobs", json={"source": str(bundle), "model": str(bundle)})
    assert (answer.status_code, "Redis" in answer.json()["detail"]) == (409, True)
    assert not cluster.jobs.exists() or not list(cluster.jobs.iterdir())


@pytest.fixture
def jobs_in_s3(cluster: Cluster, catalogue: Path, names: list[str], bundle: Path, bucket: str) -> str:
    cluster.submit(names[:600], bundle, "done", root=catalogue)
    worker = cluster.worker()
    job = cluster.job("done")
    job.wait_for_end()
    worker.kill_all()  # else the folder might change while it is read
    place = f"s3://{bucket}/jobs"
    storage = ObjectStorage(f"{place}/done")
    for file in job.folder.rglob("[!.]*"):
        if file.is_file():
            storage.replace(str(file.relative_to(job.folder)), file.read_bytes())
    return place


def test_jobs_in_s3_are_listed_shown_and_downloaded(cluster: Cluster, jobs_in_s3: str) -> None:
    with client_of(WebSettings(jobs=jobs_in_s3)) as client:
        begun = time.monotonic()
        assert 'data-id="done"' in client.get("/jobs").text
        assert "<b>600</b> of 600 rows" in client.get("/jobs/done").text
        assert time.monotonic() - begun < 10
        for what, name in {"result": "labels.parquet", "review": "review.csv", "receipt": "receipt.json"}.items():
            answer = client.get(f"/jobs/done/files/{what}")
            assert answer.content == (cluster.jobs / "done" / name).read_bytes()
            assert answer.headers["content-disposition"] == f'attachment; filename="done-{name}"'
        assert client.get("/jobs/done/files/by_group").status_code == 404
        assert "<h1>" in client.get("/jobs/done/receipt").text
        answer = client.post("/v1/jobs", json={"source": "x.csv", "model": "shop@champion"})
        assert "Expected --redis with jobs in" in answer.json()["detail"]
