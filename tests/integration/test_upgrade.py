"""An older Hangtag, as it was, beside this one: what docs/deploy.md says of upgrades while jobs run."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.command import HANGTAG, clean_environment
from tests.until import until

from .cluster import Cluster
from .jobs import QueuedJob, assert_same, photo_names, write_list
from .processes import WorkerProcess

OLD = "e59979d"
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it was, from its own history."""
    done = subprocess.run(["git", "-C", ROOT, "archive", OLD], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"{OLD} is not in the history here; fetch all of it.")
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def of_old(old: Path) -> dict[str, str]:
    """For an environment: the old Hangtag is imported, and not this one."""
    return {"PYTHONPATH": os.pathsep.join([str(old), *filter(None, [os.environ.get("PYTHONPATH")])])}


def worker(cluster: Cluster, env: dict[str, str] | None = None) -> WorkerProcess:
    """One with a slot; ``--concurrency`` is what the old version calls ``--workers``, and both know it."""
    started = cluster.early_worker(None, "--concurrency", "1", "--jobs", str(cluster.jobs), env=env)
    started.wait_until_ready()
    return started


def submit(
    cluster: Cluster, photos: Path, names: list[str], bundle: Path, env: dict[str, str] | None = None
) -> QueuedJob:
    """As another process does that is of another version, perhaps."""
    source = write_list(cluster.folder / "list.txt", names)
    command = (*HANGTAG, "submit", str(source), "--model", str(bundle), "--job", "job", "--image-root", str(photos))
    lead = clean_environment(HANGTAG_REDIS_URL=cluster.server.url, HANGTAG_JOBS=str(cluster.jobs), **(env or {}))
    done = subprocess.run(command, env=lead, cwd=cluster.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return cluster.job("job")


def version_of(job: QueuedJob) -> int:
    return int(json.loads((job.folder / "job.json").read_text())["schema_version"])


def test_the_old_one_is_the_one_that_runs(old: Path) -> None:
    command = (sys.executable, "-c", "import worker.job.job; print(worker.job.job.__file__)")
    environment = clean_environment(**of_old(old))
    said = subprocess.run(command, env=environment, cwd=old, capture_output=True, text=True, check=True).stdout
    assert said.startswith(str(old))


def test_old_and_new_workers_do_a_job_of_the_old_version_together(
    cluster: Cluster, old: Path, catalogue: Path, bundle: Path, truth
) -> None:
    names = photo_names(catalogue, 12_000)
    workers = [worker(cluster, of_old(old)), worker(cluster)]
    job = submit(cluster, catalogue, names, bundle, of_old(old))
    assert version_of(job) == 2
    receipt = job.wait_for_end()
    assert all(one.events("chunk_done") for one in workers), "each did some of it"
    assert not any(one.events("chunk_failed") for one in workers)
    assert receipt.rows == len(names)
    without = {"error_message": None}  # each version words it in its own way
    found = [row | without for row in job.rows()]
    assert_same(found, [{"image": name, **truth[name], **without} for name in names])
    assert len(job.parts()) == job.chunks


def test_an_old_worker_leaves_a_job_of_the_new_version_to_a_new_one(
    cluster: Cluster, old: Path, catalogue: Path, bundle: Path, truth
) -> None:
    names = photo_names(catalogue, 2_000)
    before = worker(cluster, of_old(old))
    job = submit(cluster, catalogue, names, bundle)
    assert version_of(job) == 5
    until(lambda: before.events("chunk_failed"), "the old worker says that it cannot")
    assert "another version of Hangtag" in before.events("chunk_failed")[0]["error"]
    assert not job.parts()
    after = worker(cluster)
    job.wait_for_end(90)
    assert len(after.events("chunk_done")) == job.chunks
    assert not before.events("chunk_done")
    assert_same(job.rows(), [{"image": name, **truth[name]} for name in names])
