"""Workers start, stop and run several jobs at once; they report problems of their own without failing rows."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.classifier import load
from models.preprocess import VERSION
from models.registry.registry import Registry
from tests.paper_bundle import shop_registry
from tests.row_results import table_of
from tests.until import until
from worker.job.parts import part_work
from worker.job.receipt import finished_receipt
from worker.queue.app import HangtagCelery
from worker.queue.redis_state import RedisState
from worker.request import Priority

from .cluster import Cluster
from .jobs import QueuedJob, assert_same, photo_names, relabelled, write_list
from .processes import WorkerProcess, with_bad_formats


def mapped(pid: int) -> str:
    """The files and libraries in a process's memory; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize("start", [Cluster.worker, Cluster.celery_worker])
def test_it_labels_without_tensorflow_and_ends_when_told(
    cluster: Cluster, job: QueuedJob, names, expected, start: Callable[[Cluster], WorkerProcess]
) -> None:
    worker = start(cluster)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))
    memory = [mapped(pid) for pid in worker.pids()]
    assert len({part_work(table_of(part.read_bytes()).schema).worker for part in (job.folder / "parts").iterdir()}) == 2
    assert any("onnxruntime" in text for text in memory)
    assert not any(library in text for text in memory for library in ("tensorflow", "h5py"))
    until(cluster.is_idle, "the last message is acknowledged")
    worker.terminate()
    assert worker.process.wait(30) == 0


GRACE_S = 8


def terminate_all(worker: WorkerProcess) -> None:
    """Stop a worker with systemd's default: SIGTERM to all processes."""
    worker.signal_all(signal.SIGTERM)


def interrupt(worker: WorkerProcess) -> None:
    """Stop a worker with Ctrl-C: it waits for its chunks without a limit."""
    worker.process.send_signal(signal.SIGINT)


def assert_holds_no_chunk_back(cluster: Cluster, job: QueuedJob) -> None:
    missing = job.job.missing_chunks()
    assert missing
    assert not RedisState(cluster.client).leased(job.name, missing)
    assert not cluster.client.exists("unacked")


@pytest.mark.parametrize("tell", [WorkerProcess.terminate, terminate_all, interrupt])
def test_a_worker_ends_its_chunks_and_leaves_the_others_to_the_next(
    cluster: Cluster, job: QueuedJob, names, expected, tell: Callable[[WorkerProcess], None]
) -> None:
    worker = cluster.worker(env={"HANGTAG_GRACE_S": "300"})
    job.wait_for_parts(2)
    in_hand = until(job.in_hand, "a chunk is in hand")
    tell(worker)
    status = 1 if tell is interrupt else 0  # Celery's
    assert worker.process.wait(30) == status, "it does not wait longer than for its chunks"
    assert worker.events("worker_stops") or tell is interrupt
    assert worker.events("worker_ends")
    assert not {held.chunk for held in in_hand} & set(job.job.missing_chunks())
    assert not job.in_hand()
    assert_holds_no_chunk_back(cluster, job)
    cluster.worker()
    job.wait_for_end()
    job.assert_right_once(expected(names))


def test_a_chunk_that_takes_longer_than_the_grace_time_is_handed_back(
    cluster: Cluster, catalogue: Path, bundle: Path, names, truth
) -> None:
    """A good photo replaces the hanging one before the next worker starts."""
    slow = cluster.folder / "slow.jpg"
    slow.write_bytes(b"HANG")
    photos = [str(slow), *(str(catalogue / name) for name in names[:600])]
    job = cluster.submit(photos, bundle, root=Path("/"), timeout_s=300.0)
    worker = cluster.worker(env={"HANGTAG_GRACE_S": str(GRACE_S), **with_bad_formats()})
    until(job.few_left, "only chunks of the process that hangs are left")
    worker.terminate()
    assert worker.process.wait(GRACE_S) == 0
    assert_holds_no_chunk_back(cluster, job)
    good = catalogue / names[0]
    slow.write_bytes(good.read_bytes())
    cluster.worker()
    job.wait_for_end()
    assert_same(job.rows(), [{"image": p, **truth[n]} for p, n in zip(photos, [names[0], *names[:600]], strict=True)])


SMALL_CHUNKS_S = 100.0
"""A time limit for a photo with which ``submit`` makes chunks of 32 rows."""


def test_two_models_in_turn_give_each_job_its_own_labels(
    cluster: Cluster, catalogue: Path, bundle: Path, other_model: Path, other_labels: dict[str, str], expected
) -> None:
    names = photo_names(catalogue, 1024)
    one = cluster.submit(names, bundle, "one", root=catalogue)
    other = cluster.submit(names, other_model, "other", root=catalogue)
    cluster.lose_waiting()
    with HangtagCelery(cluster.settings) as app:
        for chunk in range(one.chunks):
            for job in (one, other):
                app.send(job.name, chunk, Priority.NORMAL)
    cluster.worker(slots=1)  # two processes could take one job each
    one.wait_for_end()
    other.wait_for_end()
    assert_same(one.rows(), expected(names))
    reference = load(other_model).reference
    assert_same(other.rows(), [relabelled(row, other_labels, reference) for row in expected(names)])


def test_an_urgent_job_overtakes(cluster: Cluster, catalogue: Path, bundle: Path) -> None:
    def submit(name: str, rows: int, priority: Priority):
        names = photo_names(catalogue, rows)
        return cluster.submit(names, bundle, name, root=catalogue, timeout_s=SMALL_CHUNKS_S, priority=priority)

    low = submit("low", 6400, Priority.LOW)
    cluster.worker()
    low.wait_for_parts(4)
    high = submit("high", 640, Priority.HIGH)
    since = time.time_ns()
    until(lambda: not high.job.missing_chunks(), "the urgent chunks are done")
    ended = max(high.parts().values())
    meanwhile = [written for written in low.parts().values() if since < written < ended]
    assert len(meanwhile) < high.chunks / 3
    high.wait_for_end()
    assert low.job.missing_chunks()


@pytest.fixture
def registry(cluster: Cluster, bundle: Path) -> Registry:
    return shop_registry(cluster.folder, bundle)


def submit_champion(
    cluster: Cluster, registry: Registry, name: str, photos: Path, source: Path
) -> tuple[QueuedJob, str]:
    model = ("--model", "shop@champion", "--registry", registry.place)
    done = cluster.hangtag("submit", str(source), *model, "--job", name, "--image-root", str(photos))
    assert done.returncode == 0, done.stderr
    return cluster.job(name), done.stdout


def test_a_job_keeps_its_version_and_the_next_one_takes_the_champion_of_its_time(
    cluster: Cluster, registry: Registry, catalogue: Path
) -> None:
    source = write_list(cluster.folder / "list.txt", photo_names(catalogue, 600))
    begun, said = submit_champion(cluster, registry, "begun", catalogue, source)
    assert f"shop@champion is shop@1 of the registry at {registry.place}." in said
    cluster.worker(slots=1)
    registry.promote("shop", 2, "better")
    after, said = submit_champion(cluster, registry, "after", catalogue, source)
    assert "shop@champion is shop@2" in said
    registry.rollback("shop", "it was worse")
    back, said = submit_champion(cluster, registry, "back", catalogue, source)
    assert "shop@champion is shop@1" in said
    for job, version in ((begun, 1), (after, 2), (back, 1)):
        receipt = job.wait_for_end()
        assert receipt.named is not None
        assert (receipt.named.asked, receipt.named.version) == ("shop@champion", f"shop@{version}")
        assert {row["model"] for row in job.rows()} == {load(registry.path("shop", version)).reference}
    shown = cluster.hangtag("jobs", "show", "after").stdout
    assert "(shop@champion, which was shop@2)" in shown
    assert "shop@champion, which was shop@2, from " in shown


def is_troubled(cluster: Cluster, job: QueuedJob) -> bool:
    return bool(list(cluster.client.scan_iter(f"hangtag:trouble:{job.name}:*")))


def trouble_of(cluster: Cluster, job: QueuedJob) -> str:
    until(lambda: is_troubled(cluster, job), "a worker reports trouble")
    shown = cluster.hangtag("jobs", "show", job.name, "--json")
    assert shown.returncode == 0, shown.stderr
    record = json.loads(shown.stdout)
    assert record["failed"] == record["done"] == 0
    (message,) = record["trouble"].values()
    return str(message)


@pytest.fixture
def photos(tmp_path: Path, catalogue: Path) -> Path:
    shutil.copytree(catalogue, tmp_path / "photos")
    return tmp_path / "photos"


def moved_bundle(job: QueuedJob, photos: Path) -> Path:
    return job.folder.parent / "_bundles" / job.job.model.digest


def moved_photos(job: QueuedJob, photos: Path) -> Path:
    return photos


@pytest.mark.parametrize(
    ("what", "said"), [(moved_bundle, "_bundles, but it is gone"), (moved_photos, "has no files there")]
)
def test_what_is_gone_is_named_and_waited_for(
    cluster: Cluster, bundle: Path, photos: Path, expected, what: Callable[[QueuedJob, Path], Path], said: str
) -> None:
    names = photo_names(photos, 1000)
    job = cluster.submit(names, bundle, root=photos)
    place = what(job, photos)
    away = place.rename(cluster.folder / "away")
    cluster.worker()
    assert said in trouble_of(cluster, job)
    assert not job.parts()
    away.rename(place)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))


def test_photos_that_go_in_the_middle_of_a_chunk_fail_no_row(
    cluster: Cluster, bundle: Path, photos: Path, expected
) -> None:
    names = photo_names(photos, 1000)
    job = cluster.submit(names, bundle, root=photos)
    cluster.worker()
    held = job.freeze_one()
    away = photos.rename(cluster.folder / "away")
    os.kill(held.pid, signal.SIGCONT)
    until(lambda: is_troubled(cluster, job) or finished_receipt(job.job), "a worker reports trouble")
    away.rename(photos)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))


def test_another_version_of_preprocessing_is_refused(cluster: Cluster, job: QueuedJob) -> None:
    file = job.folder / "job.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "preprocess_version": "another"}))
    cluster.worker()
    said = trouble_of(cluster, job)
    assert "version another" in said
    assert f"has version {VERSION}" in said
    assert not job.parts()


def test_submitting_without_redis_leaves_nothing_behind(cluster: Cluster, catalogue: Path, bundle: Path) -> None:
    cluster.server.kill()
    url = f"redis://somebody:secret@127.0.0.1:{cluster.server.port}/0"
    done = cluster.hangtag("submit", str(catalogue), "--model", str(bundle), "--redis", url)
    assert done.returncode == 1
    assert f"redis://127.0.0.1:{cluster.server.port}/0" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert not cluster.jobs.exists()


def test_a_worker_without_redis_says_so_in_one_line_and_waits(cluster: Cluster) -> None:
    cluster.server.kill()
    worker = cluster.early_worker()
    until(lambda: worker.events("waiting_for_redis"), "the worker says what it waits for")
    cluster.server.start()
    worker.wait_until_ready()
    (told,) = worker.events("waiting_for_redis")
    assert told["message"].startswith(f"Expected Redis at redis://127.0.0.1:{cluster.server.port}/0, got: ")
    assert worker.events("redis_is_there")
    assert "Cannot connect" not in worker.log.read_text()


def test_a_worker_reports_a_wrong_password_without_showing_it(cluster: Cluster) -> None:
    worker = cluster.early_worker(f"redis://somebody:secret@127.0.0.1:{cluster.server.port}/0")
    until(lambda: worker.events("waiting_for_redis") or not worker.alive, "the worker says what it waits for")
    (told,) = worker.events("waiting_for_redis")
    assert "invalid username-password pair" in told["message"]
    assert worker.alive
    assert "secret" not in worker.log.read_text()
