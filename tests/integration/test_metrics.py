"""A worker's metrics while it works, and after failures."""

import os
import signal
import socket
import time
from collections import Counter
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.docker_files import metrics_named
from tests.until import until
from worker.queue.private_redis import PrivateRedis

from .cluster import Cluster
from .jobs import QueuedJob, photo_names
from .processes import WorkerProcess

YOUNG_S = 5.0


class Watched:
    def __init__(self, cluster: Cluster) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.heartbeat = cluster.folder / "heartbeat"
        named = {"HANGTAG_METRICS_PORT": str(self.port), "HANGTAG_HEARTBEAT": str(self.heartbeat)}
        self.process: WorkerProcess = cluster.worker(env=named)

    def families(self) -> list[Metric]:
        text = until(self._scrape, "a scrape is answered")
        return list(text_string_to_metric_families(text))

    def _scrape(self) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
                return str(answer.read().decode())
        except HTTPError:  # prometheus_client has read a count in the middle of a write; a scraper asks again
            return ""

    def numbers(self, name: str) -> dict[tuple[str, ...], float]:
        """Values of the labels, in the order of their names → number."""
        samples = [sample for family in self.families() for sample in family.samples if sample.name == name]
        return {tuple(sample.labels.values()): sample.value for sample in samples}

    def number(self, name: str) -> float:
        return sum(self.numbers(name).values())

    def age_s(self) -> float:
        return time.time() - self.heartbeat.stat().st_mtime


@pytest.fixture
def names(catalogue: Path) -> list[str]:
    """Seven chunks, with missing photos and one file that is not a photo."""
    return [*photo_names(catalogue, 1600), "nobody.png", "nowhere.png"]


def test_metrics_during_and_after_a_job_agree_with_its_receipt(cluster: Cluster, job: QueuedJob) -> None:
    worker = Watched(cluster)
    held = job.freeze_one()
    rest = job.job.spec.rows - job.job.rows_in_chunk(held.chunk)
    until(lambda: worker.number("hangtag_images_total") == rest, "all other chunks are counted")
    until(lambda: worker.numbers("hangtag_job_rows_done") == {("job",): rest}, "they are seen to be done")
    assert worker.numbers("hangtag_job_rows") == {("job",): job.job.spec.rows}
    assert worker.number("hangtag_model_info") == 1
    os.kill(held.pid, signal.SIGCONT)
    receipt = job.wait_for_end()
    until(lambda: worker.number("hangtag_chunks_total") == job.chunks, "all chunks are counted")
    by_status: Counter[str] = Counter()
    for (_, status), count in worker.numbers("hangtag_images_total").items():
        by_status[status] += int(count)
    assert by_status == {status.value: count for status, count in receipt.by_status.items()}
    failed = {error: n for (error, status), n in worker.numbers("hangtag_images_total").items() if status == "failed"}
    assert {error: count for error, count in failed.items() if count} == {
        error: found.count for error, found in receipt.errors.items()
    }
    until(lambda: not worker.numbers("hangtag_job_rows"), "the finished job goes away")
    served = {family.name for family in worker.families()}
    kinds = {suffix: {f"{name}{suffix}" for name in served} for suffix in ("", "_total", "_bucket", "_sum", "_count")}
    assert metrics_named() - set().union(*kinds.values()) == set(), "of the dashboard and the alerts"


def test_a_killed_process_takes_no_counted_row_with_it(cluster: Cluster, job: QueuedJob) -> None:
    worker = Watched(cluster)
    job.wait_for_parts(2)
    held = job.freeze_one()
    before = until(lambda: worker.number("hangtag_images_total"), "a chunk is counted")
    os.kill(held.pid, signal.SIGKILL)
    job.wait_for_end()
    assert before < job.job.spec.rows
    until(lambda: worker.number("hangtag_images_total") == job.job.spec.rows, "every row is counted once")
    until(lambda: worker.number("hangtag_processes_died_total") == 1, "the death is counted")
    until(lambda: len(worker.process.events("slot_started")) == 3, "another process is in its place")


def test_the_heart_beats_while_a_worker_waits_for_redis_and_stops_with_the_main_process(
    cluster: Cluster, server: PrivateRedis
) -> None:
    worker = Watched(cluster)
    until(lambda: worker.numbers("hangtag_redis_up") == {(): 1}, "it sees Redis")
    server.kill()
    until(lambda: worker.process.events("waiting_for_redis"), "it waits for Redis")
    assert worker.numbers("hangtag_redis_up") == {(): 0}
    beats: set[int] = set()

    def has_beaten() -> bool:
        beats.add(worker.heartbeat.stat().st_mtime_ns)
        return len(beats) >= 5

    until(has_beaten, "its heart beats on")
    server.start()
    until(lambda: worker.numbers("hangtag_redis_up") == {(): 1}, "it has come back")
    os.kill(worker.process.pid, signal.SIGSTOP)
    until(lambda: worker.age_s() > YOUNG_S, "the file grows old")
    os.kill(worker.process.pid, signal.SIGCONT)
    until(lambda: worker.age_s() < YOUNG_S / 2, "the heart beats again")
