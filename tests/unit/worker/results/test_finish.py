import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.classifier import load
from models.errors import ImageFault, JobError
from models.process import python_environment
from models.storage.storage import FolderStorage
from tests.label_chunk import run_chunk
from tests.unit.worker.answers import failed, sure, unsure
from worker.job.job import Job, begin_retry, commit_retry
from worker.job.receipt import (
    PAGE_FILE,
    RECEIPT_FILE,
    REVIEW_FILE,
    GroupCounts,
    finished_receipt,
)
from worker.request import JobOptions
from worker.results.finish import RESULT_FILE, finish_job

PLUGINS = Path(__file__).parents[2] / "plugins"


def result(job: Job) -> list[dict]:
    return pq.read_table(job.storage.source(RESULT_FILE)).to_pylist()


@pytest.fixture
def done_job(paper_job, commit_part) -> Job:
    """Three chunks, five rows, one of them failed."""
    job = paper_job(3)
    commit_part(job, 0, 2, deaths=1)
    commit_part(job, 1, faults={1: ImageFault.MISSING})
    return job


def test_a_job_ends_with_a_result_a_receipt_and_a_page(make_job, catalogue: Path, bundle: Path) -> None:
    job = make_job(catalogue, chunk_rows=100)
    for chunk in range(job.spec.chunks):
        run_chunk(job, chunk, load(bundle))
    receipt = finish_job(job)
    assert [row["image"] for row in result(job)] == [
        name for chunk in range(job.spec.chunks) for name in job.chunk_images(chunk)
    ]
    assert receipt.rows == job.spec.rows == sum(receipt.by_status.values())
    assert receipt.by_status["failed"] == sum(row["status"] == "failed" for row in result(job)) == 2
    assert receipt.output == f"{job.storage.place}/{RESULT_FILE}"
    assert (receipt.run.images, receipt.run.workers, receipt.work.deaths) == (job.spec.rows, 1, 0)
    assert 0 < receipt.run.seconds < 60
    assert finished_receipt(job) == receipt
    assert "data:image/jpeg;base64," in job.storage.read(PAGE_FILE).decode()


def test_a_job_with_a_chunk_left_is_not_finished(paper_job, commit_part) -> None:
    job = paper_job(3)
    commit_part(job, 0, 2)
    with pytest.raises(JobError, match="1"):
        finish_job(job)
    assert finished_receipt(job) is None
    assert sorted(entry.name for entry in job.storage.root.iterdir()) == ["job.json", "parts", "rows"]


def test_a_job_that_is_finished_twice_at_once_is_whole(done_job: Job) -> None:
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda _: finish_job(done_job), range(4)))
    assert len({receipt.model_dump_json(exclude={"finished_at"}) for receipt in receipts}) == 1
    assert len(result(done_job)) == 5
    assert not [entry for entry in done_job.storage.root.iterdir() if entry.name.startswith(".")]


def test_a_job_of_products_leaves_its_votes_and_its_doubtful_rows(answered_job) -> None:
    answers = [sure("shoe"), sure("hat"), unsure("hat", 0.25), failed()]
    job = answered_job(answers, ["A", "A", "B", "B"])
    receipt = finish_job(job)
    assert receipt.groups == GroupCounts(
        column="sku", ungrouped=0, products=2, labeled=0, review=2, failed=0, disagreeing=1
    )
    assert receipt.review_reasons == {"threshold": 1, "disagreement": 2}
    assert receipt.groups_file == f"{job.storage.place}/by_group.parquet"
    assert receipt.review_file == f"{job.storage.place}/{REVIEW_FILE}"
    assert pq.read_table(job.storage.source("by_group.parquet")).column("sku").to_pylist() == ["A", "B"]
    rows = [line.split(",")[0] for line in job.storage.read(REVIEW_FILE).decode("utf-8-sig").splitlines()]
    assert rows == ["row", "3", "1", "2"]
    assert finished_receipt(job) == receipt
    assert not [entry for entry in job.storage.root.iterdir() if entry.name.startswith(".")]


def test_a_retry_ends_with_its_rows_in_the_same_place(done_job: Job, commit_part) -> None:
    finish_job(done_job)
    before = result(done_job)
    assert before[3]["error"] == "missing"
    done_job.storage.replace("review.corrected.csv", b"old")
    commit_retry(done_job.storage, 1, [1], 1)
    assert finished_receipt(done_job) is None
    commit_part(done_job, 1, retry=1)
    receipt = finish_job(done_job)
    assert (receipt.retry, receipt.run.images) == (1, 1)
    assert not done_job.storage.exists("review.corrected.csv"), "answers must be applied again"
    after = result(done_job)
    assert after[3]["label"] == "shoe"
    assert [row for number, row in enumerate(after) if number != 3] == before[:3] + before[4:]
    assert finished_receipt(done_job) == receipt


@dataclass(frozen=True)
class _RetriedMeanwhile(FolderStorage):
    """Somebody begins a retry while the result is being written."""

    def upload(self, key: str, file: Path) -> None:
        super().upload(key, file)
        commit_retry(self, 1, [1], 1)


def test_a_retry_that_begins_during_the_merge_is_not_taken_as_done(done_job: Job) -> None:
    finish_job(Job(done_job.spec, _RetriedMeanwhile(done_job.storage.root)))
    assert done_job.missing_chunks() == [1]
    assert json.loads(done_job.storage.read(RECEIPT_FILE))["retry"] == 0
    assert finished_receipt(done_job) is None


@pytest.fixture
def finished(paper_job, commit_part):
    """Five chunks: 0 and 3 hold a row each that is worth another try, 1 and 3 one that is not."""
    job = paper_job(5, options=JobOptions(prefix="ht_"))
    commit_part(job, 0, faults={1: ImageFault.MISSING})
    commit_part(job, 1, faults={0: ImageFault.UNREADABLE})
    commit_part(job, 3, faults={0: ImageFault.TIMEOUT, 1: ImageFault.TOO_LARGE})
    commit_part(job, 2, 4)
    finish_job(job)
    return job


def test_a_retry_that_somebody_else_has_begun_is_told_and_none_begins_where_no_row_is_worth_it(
    finished, commit_part
) -> None:
    begin_retry(finished, 1)
    with pytest.raises(JobError):
        begin_retry(finished, 1)
    assert finished.retry().number == 1
    for chunk in (0, 3):
        commit_part(finished, chunk, retry=1, faults={0: ImageFault.UNREADABLE})
    finish_job(finished)
    assert not begin_retry(finished, 2)
    assert finished.retry().number == 1
    assert finished_receipt(finished)


def test_photos_that_end_or_hang_their_decoder_are_left_out_of_the_page_and_end_nothing_else(
    answered_job, drawn, monkeypatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    job = answered_job([sure("shoe")] * 5, ["A"] * 5, JobOptions(timeout_s=0.5))
    good = next(drawn.rglob("*.jpg")).read_bytes()
    for row, data in enumerate((b"BOOM", b"HANG", good, b"QUIT", good[::-1])):
        (Path(job.spec.image_root) / f"{row}.jpg").write_bytes(data)
    code = (
        "import sys; from worker.job.jobs import open_jobs; from worker.results.finish import finishing\n"
        "with finishing() as finish: finish(open_jobs(sys.argv[1]).find(sys.argv[2]))"
    )
    words = [str(job.storage.root.parent), job.storage.root.name]
    subprocess.run([sys.executable, "-P", "-c", code, *words], env=python_environment(), check=True)
    page = job.storage.read(PAGE_FILE).decode()
    assert (page.count("data:image/jpeg;base64,"), page.count("no picture")) == (1, 4)
    assert not [entry for entry in job.storage.root.iterdir() if entry.name.startswith(".")]
