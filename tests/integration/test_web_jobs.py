"""The jobs' pages with a real Redis and workers, and with jobs in S3."""

import csv
import io
import json
import re
from pathlib import Path

from starlette.testclient import TestClient

from web.app import create_app
from web.settings import WebSettings

from .cluster import Cluster


def client_of(settings: WebSettings) -> TestClient:
    return TestClient(create_app(settings), base_url="http://127.0.0.1:8800")


def test_a_catalogue_that_is_sent_is_labelled_by_workers_while_a_browser_watches(
    cluster: Cluster, catalogue: Path, names: list[str], bundle: Path
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["photo", "sku"], *([name, n // 3] for n, name in enumerate(names[:500]))])
    settings = WebSettings(jobs=str(cluster.jobs), redis=cluster.server.url)
    with client_of(settings) as client:
        sent = {"file": ("autumn.csv", text.getvalue().encode(), "text/csv")}
        seen = client.post("/jobs/_preview", files=sent, data={"image_root": str(catalogue)})
        upload = re.search(r'name="upload" value="([0-9a-f]+)"', seen.text)[1]
        form = {"upload": upload, "model": str(bundle), "image_root": str(catalogue), "name": "autumn"}
        assert client.post("/jobs/_start", data={**form, "priority": "high"}).json() == {"id": "autumn"}
        assert "No worker is" in client.get("/jobs/autumn").text
        assert client.post("/v1/jobs/autumn/cancel").status_code == 200
        assert "Resume" in client.get("/jobs/autumn").text
        cluster.worker()
        assert client.post("/v1/jobs/autumn/resume").status_code == 200
        said = re.findall(r"^event: (\w+)\ndata: (.*)$", client.get("/jobs/autumn/events").text, re.MULTILINE)
    last = {name: json.loads(data) for name, data in said}
    assert said[-1][0] == "end"
    assert "<b>500</b> of 500 rows" in last["progress"]
    job = cluster.job("autumn")
    assert (job.wait_for_end().rows, job.job.spec.priority, job.job.spec.source) == (500, "high", "autumn.csv")


def test_without_redis_the_page_says_what_is_wrong_and_nothing_is_submitted(cluster: Cluster, bundle: Path) -> None:
    settings = WebSettings(jobs=str(cluster.jobs), redis="redis://127.0.0.1:1/0")
    with client_of(settings) as client:
        answer = client.post("/jobs/_start", data={"source": str(bundle), "model": str(bundle)})
    assert (answer.status_code, "Redis" in answer.json()["detail"]) == (409, True)
    assert not cluster.jobs.exists() or not list(cluster.jobs.iterdir())
