"""The jobs' pages with a real Redis and workers, and with jobs in S3."""

from pathlib import Path

from starlette.testclient import TestClient

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
