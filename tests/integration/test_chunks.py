"""Chunks with a killed process, a lost or repeated message, or bad photos: each row has one right result."""

import base64
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from models.process import Owner
from tests.until import until
from worker.queue.app import CHUNK_TASK, HangtagCelery
from worker.queue.reconciler import MIN_WINDOW
from worker.queue.redis_state import FINISH
from worker.request import Priority

from .cluster import Cluster
from .jobs import InHand, QueuedJob, Row, assert_same, photo_names
from .processes import with_bad_formats

SOON_S = 5.0
"""Far under the 10 s that a lease lasts, and the hours that Celery lets a message of a dead worker rest."""


def wait_for_another_try(job: QueuedJob, held: InHand) -> None:
    """Wait until another process works on the chunk or has finished it."""

    def taken() -> bool:
        again = any(now.chunk == held.chunk and now.pid != held.pid for now in job.in_hand())
        return again or held.chunk not in job.job.missing_chunks()

    until(taken, f"chunk {held.chunk} is started again", SOON_S)


@pytest.fixture
def few(catalogue: Path) -> list[str]:
    """Two chunks, so that no other chunk waits in the queue before the restarted one."""
    return photo_names(catalogue, 512)


def test_a_killed_childs_chunk_is_started_again_soon(
    cluster: Cluster, catalogue: Path, bundle: Path, few, expected
) -> None:
    worker = cluster.worker()
    with worker.stopped():
        job = cluster.submit(few, bundle, root=catalogue)
    held = job.freeze_one()
    os.kill(held.pid, signal.SIGKILL)
    wait_for_another_try(job, held)
    receipt = job.wait_for_end()
    assert worker.alive
    assert receipt.work.deaths == 1
    job.assert_right_once(expected(few))


@pytest.mark.first
def test_a_killed_workers_chunks_go_to_another_soon(
    cluster: Cluster, catalogue: Path, bundle: Path, few, expected
) -> None:
    workers = [cluster.worker(slots=1), cluster.worker(slots=1)]
    with workers[0].stopped(), workers[1].stopped():
        job = cluster.submit(few, bundle, root=catalogue)
    held = job.freeze_one()
    next(worker for worker in workers if held.pid in worker.pids()).kill_all()
    wait_for_another_try(job, held)
    job.wait_for_end()
    job.assert_right_once(expected(few))


def test_a_process_that_is_killed_while_it_merges_leaves_one_whole_result(
    cluster: Cluster, job: QueuedJob, names, expected
) -> None:
    worker = cluster.worker()
    lease = until(lambda: cluster.client.get(f"hangtag:lease:{job.name}:{FINISH}"), "a process merges")
    os.kill(Owner.from_json(lease).pid, signal.SIGKILL)
    job.wait_for_end()
    job.assert_right_once(expected(names))
    until(lambda: worker.events("process_died"), "the worker notices the killed process")


def test_messages_lost_before_a_worker_starts_are_sent_again(cluster: Cluster, job: QueuedJob, names, expected) -> None:
    assert cluster.lose_waiting() == MIN_WINDOW
    cluster.worker()
    job.wait_for_end()
    assert_same(job.rows(), expected(names))


def test_messages_lost_in_the_middle_are_sent_again(cluster: Cluster, job: QueuedJob, names, expected) -> None:
    worker = cluster.worker()
    job.wait_for_parts(2)
    worker.signal_all(signal.SIGSTOP)
    assert cluster.lose_waiting() > 0
    worker.signal_all(signal.SIGCONT)
    job.wait_for_end()
    job.assert_right_once(expected(names))


TWICE_TOLD = 3


def send(cluster: Cluster, job: QueuedJob, chunk: int, times: int) -> None:
    with HangtagCelery(cluster.settings) as app:
        for _ in range(times):
            app.send(job.name, chunk, Priority.NORMAL)


def test_a_chunk_that_is_sent_again_and_again_adds_nothing(cluster: Cluster, job: QueuedJob, names, expected) -> None:
    cluster.lose_waiting()
    send(cluster, job, TWICE_TOLD, times=6)
    worker = cluster.worker()
    job.wait_for_end()
    parts, result = job.parts(), (job.folder / "labels.parquet").stat()
    send(cluster, job, TWICE_TOLD, times=4)
    until(cluster.is_idle, "the messages sent afterwards are consumed")
    assert [event["chunk"] for event in worker.events("chunk_done")].count(TWICE_TOLD) == 1
    assert job.parts() == parts
    assert (job.folder / "labels.parquet").stat() == result
    job.assert_right_once(expected(names))


BAD = {
    100: ("boom.jpg", b"BOOM", "crashed"),
    120: ("boom2.jpg", b"BOOM", "crashed"),
    400: ("hang.jpg", b"HANG", "timeout"),
}
"""Row → the photo put before it; two are in the first chunk, one in the second."""


def test_photos_that_crash_or_hang_the_decoder_are_failed_rows(
    cluster: Cluster, catalogue: Path, bundle: Path, truth
) -> None:
    good = photo_names(catalogue, 600)
    names = [str(catalogue / name) for name in good]
    for row, (name, data, _) in BAD.items():
        (cluster.folder / name).write_bytes(data)
        names.insert(row, str(cluster.folder / name))
    job = cluster.submit(names, bundle, root=Path("/"), timeout_s=1.0)
    worker = cluster.worker(env=with_bad_formats())
    receipt = job.wait_for_end()
    until(cluster.is_idle, "no process hangs on a photo any more", 5.0)
    rows = job.rows()
    assert [row["image"] for row in rows] == names
    bad = [(number, Path(rows[number]["image"]).name, rows[number]["error"]) for number in BAD]
    assert bad == [(number, name, error) for number, (name, _, error) in BAD.items()]
    others = [row for number, row in enumerate(rows) if number not in BAD]
    assert_same(others, [{"image": str(catalogue / name), **truth[name]} for name in good])
    assert receipt.work.deaths >= len(BAD)
    assert worker.alive


LOOKS_EACH_S = 1.0
"""How often a chunk in hand looks whether its job is cancelled."""


def test_cancel_stops_soon_and_resume_redoes_nothing(cluster: Cluster, job: QueuedJob, names, expected) -> None:
    worker = cluster.worker()
    job.wait_for_parts(2)
    held = job.freeze_one()
    worker.signal_all(signal.SIGSTOP)
    frozen_at = time.monotonic()
    cancelled = cluster.hangtag("jobs", "cancel", job.name)
    assert cancelled.returncode == 0, cancelled.stderr
    until(lambda: time.monotonic() > frozen_at + LOOKS_EACH_S, "the chunk in hand is due for a look at the mark")
    worker.signal_all(signal.SIGCONT)
    until(lambda: not job.in_hand() and cluster.is_idle(), "nobody works on it any more", SOON_S)
    kept = job.parts()
    assert held.chunk in job.job.missing_chunks(), "a cancelled chunk was done to its end"
    watched = cluster.hangtag("jobs", "watch", job.name)
    assert watched.returncode == 1
    assert f"hangtag jobs resume {job.name}" in watched.stderr
    assert job.parts() == kept
    resumed = cluster.hangtag("jobs", "resume", job.name)
    assert resumed.returncode == 0, resumed.stderr
    job.wait_for_end()
    assert kept.items() <= job.parts().items()
    assert Counter(event["chunk"] for event in worker.events("chunk_done")) == Counter(range(job.chunks))
    assert_same(job.rows(), expected(names))


MISSING = {"late-0.png": 5, "late-1.png": 560, "late-2.png": 570}
"""Photo that is not there → its row; they are in the first chunk and in the third."""

BROKEN, BROKEN_ROW = "broken.jpg", 10
LABELLED, LABELLED_ROW = "labelled.png", 20
"""A photo in the first chunk that goes once it is labelled: its row would fail if it were tried again."""


def parts_of_retry(job: QueuedJob, number: int) -> list[str]:
    return sorted(name for name in job.parts() if name.endswith(f".r{number}.arrow"))


def put_in_place(cluster: Cluster, name: str, photo: Path) -> None:
    (cluster.folder / name).write_bytes(photo.read_bytes())


def try_again(cluster: Cluster, job: QueuedJob) -> str:
    done = cluster.hangtag("jobs", "retry-failed", job.name)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_retry_changes_the_rows_that_failed_and_no_others(
    cluster: Cluster, catalogue: Path, bundle: Path, truth: dict[str, Row]
) -> None:
    good = photo_names(catalogue, 600)
    names = [str(catalogue / name) for name in good]
    for name, row in {**MISSING, BROKEN: BROKEN_ROW, LABELLED: LABELLED_ROW}.items():
        names[row] = str(cluster.folder / name)
    (cluster.folder / BROKEN).write_bytes(b"no photo")
    put_in_place(cluster, LABELLED, catalogue / good[LABELLED_ROW])
    job = cluster.submit(names, bundle, root=Path("/"))

    early = cluster.hangtag("jobs", "retry-failed", job.name)
    assert early.returncode == 1
    assert "Expected a finished job" in early.stderr
    assert not (job.folder / "retries").exists()

    cluster.worker()
    assert job.wait_for_end().retry == 0
    first, parts = job.rows(), job.parts()
    assert {row: first[row]["error"] for row in (*MISSING.values(), BROKEN_ROW)} == {
        **dict.fromkeys(MISSING.values(), "missing"),
        BROKEN_ROW: "unreadable",
    }

    (cluster.folder / LABELLED).unlink()
    found = dict(list(MISSING.items())[:2])
    for name, row in found.items():
        put_in_place(cluster, name, catalogue / good[row])
    assert "3 missing" in try_again(cluster, job)
    receipt = job.wait_for_end()
    assert receipt.retry == 1
    assert receipt.run.images == len(MISSING)
    assert parts_of_retry(job, 1) == ["000000.r1.arrow", "000002.r1.arrow"]
    assert parts.items() <= job.parts().items()
    second = job.rows()
    for name, row in found.items():
        assert_same([second[row]], [{"image": str(cluster.folder / name), **truth[good[row]]}])
    assert [r for n, r in enumerate(second) if n not in found.values()] == [
        r for n, r in enumerate(first) if n not in found.values()
    ]

    (last, row), *_ = set(MISSING.items()) - set(found.items())
    put_in_place(cluster, last, catalogue / good[row])
    assert "1 missing" in try_again(cluster, job)
    assert job.wait_for_end().retry == 2
    assert parts_of_retry(job, 2) == ["000002.r2.arrow"]
    third = job.rows()
    assert_same([third[row]], [{"image": str(cluster.folder / last), **truth[good[row]]}])
    assert [r for n, r in enumerate(third) if n != row] == [r for n, r in enumerate(second) if n != row]
    assert "No failed row is worth another try" in try_again(cluster, job)


MOST_BYTES = 1500


def test_a_message_is_small_and_says_only_which_chunk(cluster: Cluster, job: QueuedJob, catalogue: Path) -> None:
    texts = cluster.waiting()
    assert len(texts) == MIN_WINDOW
    secrets = (str(catalogue), str(cluster.folder), str(cluster.server.port), "redis://", job.job.model.digest)
    for chunk, text in enumerate(reversed(texts)):
        envelope = json.loads(text)
        body = base64.b64decode(envelope["body"]).decode()
        arguments, options, embedded = json.loads(body)
        assert envelope["content-type"] == "application/json"
        assert envelope["headers"]["task"] == CHUNK_TASK
        assert arguments == [job.name, chunk]
        assert options == {}
        assert not any(embedded.values())
        assert len(text) < MOST_BYTES
        assert not [secret for secret in secrets if secret in text + body]
