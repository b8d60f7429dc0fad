import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from worker.job.job import CANCELLED
from worker.queue import metrics
from worker.queue.app import HangtagCelery
from worker.queue.metrics import StateCollector
from worker.queue.settings import QueueSettings
from worker.request import Priority

Numbers = dict[tuple[str, ...], float]


def samples(text: str) -> Numbers:
    """Name and values of labels, in the order of the labels' names → value."""
    families = text_string_to_metric_families(text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


KILLED = """
import os, signal
from collections import Counter
from worker.job.parts import PhotoWork, Status
from worker.queue.metrics import count_chunk, count_outcome

rows = Counter({(Status.LABELED, None): 5, (Status.FAILED, "download"): 2})
count_outcome("failed")
for seconds in (0.3, 7.0):
    if not os.fork():
        count_chunk(seconds, rows, PhotoWork(downloaded=5, repeated=2, bytes=1000, decode_s=0.5))
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

registry = CollectorRegistry()
MultiProcessCollector(registry, os.environ["PROMETHEUS_MULTIPROC_DIR"])
print(generate_latest(registry).decode())
"""


def test_the_counts_of_killed_processes_are_added_up(tmp_path: Path) -> None:
    env = {**os.environ, metrics.DIRECTORY: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=env, capture_output=True, text=True, check=True)
    found = samples(done.stdout)
    assert found["hangtag_images_total", "", "labeled"] == 10
    assert found["hangtag_images_total", "download", "failed"] == 4
    assert (found["hangtag_photos_total", "downloaded"], found["hangtag_photos_total", "repeated"]) == (10, 4)
    assert (found["hangtag_downloaded_bytes_total",], found["hangtag_decode_seconds_total",]) == (2000, 1)
    assert (found["hangtag_chunks_total", "done"], found["hangtag_chunks_total", "failed"]) == (2, 1)
    steps = [found["hangtag_chunk_seconds_bucket", bound] for bound in ("0.25", "0.5", "5.0", "10.0", "+Inf")]
    assert steps == [0, 1, 1, 2, 2]


LOST = """
import shutil, os, logging
from collections import Counter
from worker.job.parts import PhotoWork, Status
from worker.queue.metrics import count_chunk

logging.basicConfig(format="%(message)s")
shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
if not os.fork():
    for _ in range(2):
        count_chunk(1.0, Counter({(Status.LABELED, None): 5}), PhotoWork())
    os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_what_cannot_be_counted_fails_no_chunk(tmp_path: Path) -> None:
    (tmp_path / "counts").mkdir()
    env = {**os.environ, metrics.DIRECTORY: str(tmp_path / "counts")}
    done = subprocess.run([sys.executable, "-c", LOST], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"
    assert done.stderr.count("not_counted ") == 2


def scrape(collector: StateCollector) -> Numbers:
    registry = CollectorRegistry()
    registry.register(collector)
    return samples(generate_latest(registry).decode())


@pytest.fixture(autouse=True)
def _no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scrape reads the jobs."""
    monkeypatch.setattr("worker.queue.reconciler.EFFORT", math.inf)
    monkeypatch.setattr("worker.queue.metrics._REST_S", 0.0)


def of_jobs(numbers: Numbers) -> Numbers:
    return {key: value for key, value in numbers.items() if key[0].startswith("hangtag_job")}


def test_queues_and_running_jobs_are_followed(
    settings: QueueSettings, app: HangtagCelery, paper_job, commit_part
) -> None:
    collector, job = StateCollector(settings, 2), paper_job(5)
    app.send("job", 1, Priority.HIGH)
    commit_part(job, 0, 4)
    found = scrape(collector)
    assert (found["hangtag_slots",], found["hangtag_redis_up",]) == (2, 1)
    waiting = {key[1]: value for key, value in found.items() if key[0] == "hangtag_queue_messages"}
    assert waiting == {"hangtag.1.high": 1, "hangtag.2.normal": 0, "hangtag.3.low": 0}
    assert of_jobs(found) == {("hangtag_job_rows", "job"): 9, ("hangtag_job_rows_done", "job"): 3}
    assert found["hangtag_model_info", job.model.digest, job.model.reference, job.model.variant] == 1
    commit_part(job, 1)
    assert scrape(collector)["hangtag_job_rows_done", "job"] == 5
    job.storage.commit(CANCELLED, b"A part is damaged.")
    assert of_jobs(scrape(collector)) == {("hangtag_job_failed", "job"): 1}
    job.storage.replace(CANCELLED, b"")
    assert of_jobs(scrape(collector)) == {}
