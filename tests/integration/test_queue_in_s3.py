"""The whole queue with its folder of jobs in S3: a real worker, a real Redis, moto's server for S3."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.storage.object_storage import ObjectStorage
from tests.until import until
from worker.finish import RESULT_FILE
from worker.job import open_job
from worker.receipt import finished_receipt

from .farm import Farm
from .jobs import assert_same, photo_names, write_list


@pytest.mark.proof
def test_submitting_killing_cancelling_resuming_and_retrying(
    farm: Farm, bucket: str, catalogue: Path, bundle: Path, truth
) -> None:
    """The environment of the commands leads them to S3; nothing of the job is on this machine's disk but copies."""
    place = f"s3://{bucket}/jobs"
    photos = [str(catalogue / name) for name in photo_names(catalogue, 2000)]
    wanted = [{"image": photo, **truth[str(Path(photo).relative_to(catalogue))]} for photo in photos]
    photos[700], late = str(farm.folder / "late.png"), Path(photos[700])
    source = write_list(farm.folder / "list.txt", photos)
    options = ("--jobs", place)
    submitted = farm.hangtag(
        "submit", str(source), "--model", str(bundle), *("--image-root", "/", "--job", "spring"), *options
    )
    assert submitted.returncode == 0, submitted.stderr
    storage = ObjectStorage(f"{place}/spring")
    job = open_job(storage)
    assert job
    first = farm.worker(jobs=place)
    until(lambda: len(storage.names("parts")) >= 2, "two chunks are done")
    first.kill_all()
    assert farm.hangtag("jobs", "cancel", "spring", *options).returncode == 0
    kept = storage.names("parts")
    second = farm.worker(jobs=place)
    assert farm.hangtag("jobs", "resume", "spring", *options).returncode == 0
    until(lambda: finished_receipt(job), "the job is finished")
    assert set(kept) <= set(storage.names("parts"))
    (farm.folder / "late.png").write_bytes(late.read_bytes())
    retried = farm.hangtag("jobs", "retry-failed", "spring", *options)
    assert retried.stdout.startswith("Trying 1 row again: 1 missing."), retried.stdout + retried.stderr
    until(lambda: finished_receipt(job), "the retry is finished")
    rows = pq.read_table(storage.source(RESULT_FILE)).to_pylist()
    wanted[700]["image"] = photos[700]
    assert_same(rows, wanted)
    second.terminate()
    assert second.process.wait(30) == 0
    assert not (farm.folder / "jobs").exists()
