"""``hangtag demo``, small: the whole path, here and on a queue, ends with a picture and a page."""

import csv
import re
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest

from hangtag.demo import run_demo
from tests.command import clean_environment, one_line, run_hangtag
from worker.job.receipt import QuestionsReceipt
from worker.queue.private_redis import PrivateRedis


def test_the_demo_ends_with_pages_and_how_to_review(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    run_demo(out, 60, queued=False, new_photos=40, epochs=1)
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert page.count("data:image/jpeg;base64,") >= 40
    assert "https://" not in page
    assert (out / "new-products.csv").is_file()
    last = one_line(capsys.readouterr().out)[-200:].replace(" ", "")
    assert last.endswith(f"hangtagreview{out / 'labels.parquet'}")
    assert f"review {out / 'labels.parquet'}" in page
    places = [
        "check/check.html",
        "runs/colour/report.html",
        "labels.parquet.job/receipt.html",
        "bundles/colour/README.md",
    ]
    assert [place for place in places if f'href="{place}"' not in page] == []
    assert 'href="../../bundles/category/README.md"' in (out / "runs/category/report.html").read_text()
    moved = out.rename(tmp_path / "moved")
    dead = [
        (page.relative_to(moved), link)
        for page in moved.rglob("*.html")
        for link in re.findall(r'<a (?:class="file" )?href="([^"#]+)"', page.read_text())
        if not (page.parent / unquote(link)).exists()
    ]
    assert dead == []
    out = moved
    rows = pq.read_table(out / "labels.parquet")
    with (out / "products.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    for name in ("category", "colour"):
        assert set(rows[f"{name}_label"].to_pylist()) - {None} <= {row[name] for row in truth}


@pytest.mark.proof
def test_the_demo_labels_on_a_queue_of_its_own(tmp_path: Path, server: PrivateRedis) -> None:
    out = tmp_path / "demo"
    env = clean_environment(HANGTAG_REDIS_URL=server.url, HANGTAG_JOBS=str(tmp_path / "no-jobs"), COLUMNS="200")
    done = run_hangtag("demo", "--queued", "--out", out, env=env)
    assert done.returncode == 0, done.stderr
    assert "two workers; their logs are in" in one_line(done.stdout)
    job = out / "jobs" / "new-photos"
    receipt = QuestionsReceipt.model_validate_json((job / "receipt.json").read_text())
    assert receipt.rows == pq.read_metadata(job / "labels.parquet").num_rows >= 300
    assert str(job / "labels.parquet") in done.stdout
    assert f"hangtag review new-photos --jobs {out / 'jobs'}" in one_line(done.stdout)
    assert (out / "index.html").is_file()
    assert not (tmp_path / "no-jobs").exists()
    for log in sorted((out / "queue").glob("worker-*.log")):
        assert '"event": "worker_ends", "status": 0' in log.read_text()
