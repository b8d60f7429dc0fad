"""``hangtag demo``, small: the whole path, here and on a queue, ends with a picture and a page."""

import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.command import HANGTAG, run_hangtag
from worker.queue.private_redis import PrivateRedis
from worker.receipt import Receipt

from .place import environment, one_line


def test_the_demo_ends_with_a_picture_and_a_page(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = subprocess.run(
        [*HANGTAG, "demo", "--out", str(out), "--photos", "300"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.size[0] > 1000
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert page.count("data:image/jpeg;base64,") >= 40
    assert "https://" not in page
    assert (out / "labels.parquet").is_file()
    assert (out / "bundles" / "demo" / "manifest.json").is_file()


@pytest.mark.proof
def test_the_demo_labels_on_a_queue_of_its_own(tmp_path: Path, server: PrivateRedis) -> None:
    out = tmp_path / "demo"
    done = subprocess.run(
        [*HANGTAG, "demo", "--queued", "--out", str(out), "--photos", "300"],
        env=environment(server.url, tmp_path / "no-jobs"),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "two workers; their logs are in" in one_line(done.stdout)
    job = out / "jobs" / "new-photos"
    receipt = Receipt.model_validate_json((job / "receipt.json").read_text())
    assert receipt.rows == pq.read_metadata(job / "labels.parquet").num_rows >= 300
    assert str(job / "labels.parquet") in done.stdout
    assert (out / "contact_sheet.png").is_file()
    assert (out / "index.html").is_file()
    assert not (tmp_path / "no-jobs").exists()
    for log in sorted((out / "queue").glob("worker-*.log")):
        assert '"event": "worker_ends", "status": 0' in log.read_text()


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    assert run_hangtag("demo", "--out", tmp_path).returncode == 2
    assert (tmp_path / "precious.txt").exists()
