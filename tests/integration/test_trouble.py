"""What a worker cannot do is said, and fails no row."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from models.preprocess import VERSION
from tests.until import until
from worker.receipt import finished_receipt

from .farm import Farm
from .jobs import QueuedJob, assert_same, photo_names, write_list
from .processes import HANGTAG, clean_environment


def is_troubled(farm: Farm, job: QueuedJob) -> bool:
    """Whether a worker has said that it cannot do a chunk."""
    return bool(list(farm.client.scan_iter(f"hangtag:trouble:{job.name}:*")))


def trouble_of(farm: Farm, job: QueuedJob) -> str:
    """What ``hangtag jobs show`` says stands in a job's way, once something does."""
    until(lambda: is_troubled(farm, job), "a worker reports trouble")
    shown = farm.hangtag("jobs", "show", job.name, "--json")
    assert shown.returncode == 0, shown.stderr
    record = json.loads(shown.stdout)
    assert record["failed"] == record["done"] == 0
    (message,) = record["trouble"].values()
    return str(message)


@pytest.fixture
def photos(tmp_path: Path, catalogue: Path) -> Path:
    """A copy of the drawn photos that may be moved."""
    shutil.copytree(catalogue, tmp_path / "photos")
    return tmp_path / "photos"


def moved_bundle(job: QueuedJob, photos: Path) -> Path:
    return job.folder.parent / "_bundles" / job.job.spec.model.digest


def moved_photos(job: QueuedJob, photos: Path) -> Path:
    return photos


@pytest.mark.parametrize(("what", "said"), [(moved_bundle, "_bundles, it is gone"), (moved_photos, "nothing there")])
def test_what_is_gone_is_named_and_waited_for(
    farm: Farm, bundle: Path, photos: Path, expected, what: Callable[[QueuedJob, Path], Path], said: str
) -> None:
    names = photo_names(photos, 1000)
    job = farm.submit(write_list(farm.folder / "list.txt", names), bundle, root=photos)
    place = what(job, photos)
    away = place.rename(farm.folder / "away")
    farm.worker()
    assert said in trouble_of(farm, job)
    assert not job.parts()
    away.rename(place)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))


def test_photos_that_go_in_the_middle_of_a_chunk_fail_no_row(farm: Farm, bundle: Path, photos: Path, expected) -> None:
    names = photo_names(photos, 1000)
    job = farm.submit(write_list(farm.folder / "list.txt", names), bundle, root=photos)
    farm.worker()
    held = job.freeze_one()
    away = photos.rename(farm.folder / "away")
    os.kill(held.pid, signal.SIGCONT)
    until(lambda: is_troubled(farm, job) or finished_receipt(job.job), "a worker reports trouble")
    away.rename(photos)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))


def test_another_version_of_preprocessing_is_refused(farm: Farm, job: QueuedJob) -> None:
    file = job.folder / "job.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "preprocess_version": "another"}))
    farm.worker()
    said = trouble_of(farm, job)
    assert "version another" in said
    assert f"is {VERSION}" in said
    assert not job.parts()


def test_submitting_without_redis_leaves_nothing_behind(farm: Farm, catalogue: Path, bundle: Path) -> None:
    farm.server.kill()
    url = f"redis://somebody:secret@127.0.0.1:{farm.server.port}/0"
    done = farm.hangtag("submit", str(catalogue), "--model", str(bundle), "--redis", url)
    assert done.returncode == 1
    assert f"redis://127.0.0.1:{farm.server.port}/0" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert not farm.jobs.exists()


def test_a_worker_without_redis_says_so_in_one_line_and_waits(farm: Farm) -> None:
    farm.server.kill()
    worker = farm.early_worker()
    until(lambda: worker.events("waiting_for_redis"), "the worker says what it waits for")
    farm.server.start()
    worker.wait_until_ready()
    (told,) = worker.events("waiting_for_redis")
    assert told["message"].startswith(f"Expected Redis at redis://127.0.0.1:{farm.server.port}/0, got: ")
    assert worker.events("redis_is_there")
    assert "Cannot connect" not in worker.log.read_text()


def test_a_worker_with_a_wrong_password_says_so_and_shows_none(farm: Farm) -> None:
    worker = farm.early_worker(f"redis://somebody:secret@127.0.0.1:{farm.server.port}/0")
    until(lambda: worker.events("waiting_for_redis") or not worker.alive, "the worker says what it waits for")
    (told,) = worker.events("waiting_for_redis")
    assert "invalid username-password pair" in told["message"]
    assert worker.alive
    assert "secret" not in worker.log.read_text()


def test_a_worker_of_another_folder_of_jobs_is_named(farm: Farm, catalogue: Path, bundle: Path) -> None:
    others = farm.folder / "others"
    farm.worker(jobs=others)
    until(lambda: farm.client.keys("hangtag:worker:*"), "the worker says that it is there")
    done = farm.hangtag("submit", str(catalogue), "--model", str(bundle), "--job", "mine")
    assert done.returncode == 0, done.stderr
    assert f"{others}, which is not" in " ".join(done.stderr.split())
    log = farm.folder / "watch.log"
    command = (*HANGTAG, "jobs", "watch", "mine", "--redis", farm.server.url, "--jobs", str(farm.jobs))
    with log.open("w") as file, subprocess.Popen(command, stderr=file, env=clean_environment()) as watching:
        try:
            until(lambda: f"{others}, which is not this folder" in log.read_text(), "watch names the folder")
        finally:
            watching.kill()
