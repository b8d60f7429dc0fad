import math
import socket
from collections import Counter
from collections.abc import Iterator
from threading import Lock
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from models.errors import ImageFault, InputError
from tests.until import until
from worker.job.job import CANCELLED, commit_retry
from worker.job.jobs import Jobs
from worker.job.parts import PhotoWork, Status, part_key
from worker.job.spec import ModelPin
from worker.queue.exposition import JobFigures, MetricsServer, Overview, OverviewReader, check_port, worker_metrics
from worker.queue.messages import QUEUES, job_call
from worker.queue.metrics import Metrics
from worker.queue.redis_state import RedisState, connect
from worker.queue.settings import QueueSettings
from worker.request import Priority
from worker.results.finish import finish_job

PIN = ModelPin(path="/models/shop", reference="shop/1/int8@aaaa", variant="int8", digest="a" * 64)
BUSY = Overview(
    redis_up=True,
    waiting={"hangtag.1.high": 3},
    jobs=(JobFigures("autumn", (PIN,), 100, 40, 4), JobFigures("spring", (PIN,), 10, 0, 0)),
)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Name and values of labels, in the order of the labels' names → value."""
    families = text_string_to_metric_families(text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def scrape(metrics: Metrics, overview: Overview | None) -> dict[tuple[str, ...], float]:
    class Scraped(Collector):
        def collect(self) -> Iterator[Metric]:
            return worker_metrics(metrics, 2, "0.1.0", overview)

    registry = CollectorRegistry()
    registry.register(Scraped())
    return samples(generate_latest(registry).decode())


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_worker_tells_what_it_has_done() -> None:
    metrics = Metrics()
    metrics.chunk_done(0.7, Counter({(Status.LABELED, None): 9, (Status.FAILED, "timeout"): 1}), PhotoWork(decoded=9))
    found = scrape(metrics, None)
    assert found["hangtag_images_total", "", "labeled"] == 9
    assert found["hangtag_images_total", "timeout", "failed"] == 1
    assert found["hangtag_photos_total", "decoded"] == 9
    assert found["hangtag_chunks_total", "done"] == 1
    assert found["hangtag_worker_info", "0.1.0"] == 1
    assert found["hangtag_slots",] == 2


def test_the_steps_of_the_histogram_are_added_up() -> None:
    metrics = Metrics()
    for seconds in (0.3, 0.7, 0.8, 9999.0):
        metrics.chunk_done(seconds, Counter(), PhotoWork())
    found = scrape(metrics, None)
    steps = [found["hangtag_chunk_seconds_bucket", bound] for bound in ("0.25", "0.5", "1.0", "1800.0", "+Inf")]
    assert steps == [0, 1, 3, 3, 4]
    assert found["hangtag_chunk_seconds_count",] == 4
    assert found["hangtag_chunk_seconds_sum",] == pytest.approx(10000.8)


def test_running_jobs_and_what_waits_are_told() -> None:
    found = scrape(Metrics(), BUSY)
    assert found["hangtag_redis_up",] == 1
    assert found["hangtag_queue_messages", "hangtag.1.high"] == 3
    assert (found["hangtag_job_rows", "autumn"], found["hangtag_job_rows", "spring"]) == (100, 10)
    assert found["hangtag_job_rows_done", "autumn"] == 40
    assert found["hangtag_job_failed_rows", "autumn"] == 4
    assert found["hangtag_model_info", PIN.digest, PIN.reference, PIN.variant] == 1


def test_without_redis_the_queue_is_unknown_and_not_empty() -> None:
    found = scrape(Metrics(), Overview(redis_up=False, waiting={}, jobs=()))
    assert found["hangtag_redis_up",] == 0
    assert not [name for name, *_ in found if name == "hangtag_queue_messages"]
    assert not [name for name, *_ in scrape(Metrics(), None) if name in {"hangtag_redis_up", "hangtag_job_rows"}]


def test_a_worker_serves_until_it_ends(settings: QueueSettings, free_port: int) -> None:
    chosen = settings.model_copy(update={"metrics_port": free_port})
    exposition = MetricsServer(chosen, Metrics(), 2)
    exposition.start()

    def served() -> dict[tuple[str, ...], float]:
        with urlopen(f"http://127.0.0.1:{free_port}/metrics") as answer:
            return samples(answer.read().decode())

    try:
        until(lambda: ("hangtag_redis_up",) in served(), "it has looked around")
        assert served()["hangtag_redis_up",] == 1
        for take in (MetricsServer(chosen, Metrics(), 2).start, lambda: check_port("127.0.0.1", free_port)):
            with pytest.raises(InputError, match=rf"port {free_port}.*choose another --metrics-port"):
                take()
    finally:
        exposition.end()
    check_port("127.0.0.1", free_port)


@pytest.fixture
def reader(jobs: Jobs, state: RedisState) -> OverviewReader:
    """Never rests."""
    return OverviewReader(jobs, state, Lock(), effort=math.inf)


def seen(reader: OverviewReader) -> list[tuple[str, int, int, int]]:
    return [(job.name, job.rows, job.done, job.failed) for job in reader.read().jobs]


def test_what_waits_is_counted(reader: OverviewReader, state: RedisState) -> None:
    state.send(QUEUES[Priority.HIGH], job_call("spring", 1))
    state.send(QUEUES[Priority.HIGH], job_call("spring", 2))
    state.send(QUEUES[Priority.LOW], job_call("autumn", 1))
    overview = reader.read()
    assert overview.redis_up
    assert overview.waiting == {"hangtag.1.high": 2, "hangtag.2.normal": 0, "hangtag.3.low": 1}


def test_without_redis_the_jobs_are_there(jobs: Jobs, away: QueueSettings, paper_job) -> None:
    paper_job(5)
    overview = OverviewReader(jobs, RedisState(connect(away)), Lock()).read()
    assert (overview.redis_up, overview.waiting) == (False, {})
    assert [job.name for job in overview.jobs] == ["job"]


def test_a_running_job_is_followed(reader: OverviewReader, paper_job, commit_part) -> None:
    job = paper_job(5)
    assert seen(reader) == [("job", 9, 0, 0)]
    commit_part(job, 0, faults={1: ImageFault.DOWNLOAD})
    commit_part(job, 4)
    assert seen(reader) == [("job", 9, 3, 1)]
    job.storage.replace(part_key(0), b"damaged, but opened before")
    commit_part(job, 1, faults={0: ImageFault.MISSING, 1: ImageFault.MISSING})
    assert seen(reader) == [("job", 9, 5, 3)]
    assert reader.read().jobs[0].models == (job.spec.model,)


def test_failed_rows_that_a_retry_does_again_are_not_counted(reader: OverviewReader, paper_job, commit_part) -> None:
    job = paper_job(2)
    commit_part(job, 0, 1, faults={0: ImageFault.MISSING})
    assert seen(reader) == [("job", 3, 3, 2)]
    commit_retry(job.storage, 1, [0, 1], 2)
    assert seen(reader) == [("job", 3, 0, 0)]
    commit_part(job, 1, retry=1, faults={0: ImageFault.MISSING})
    assert seen(reader) == [("job", 3, 1, 1)]


def test_one_that_has_looked_at_jobs_rests(jobs: Jobs, state: RedisState, paper_job, commit_part) -> None:
    reader = OverviewReader(jobs, state, Lock(), effort=1e-9)
    job = paper_job(5)
    assert seen(reader) == [("job", 9, 0, 0)]
    commit_part(job, 0)
    assert seen(reader) == [("job", 9, 0, 0)]


def test_a_damaged_part_and_a_damaged_job_hide_nothing_else(reader: OverviewReader, paper_job, commit_part) -> None:
    paper_job(5, name="broken").storage.replace("job.json", b"{")
    job = paper_job(5, name="sound")
    commit_part(job, 0, faults={1: ImageFault.DOWNLOAD})
    commit_part(job, 1)
    job.storage.replace(part_key(1), b"damaged")
    assert seen(reader) == [("sound", 9, 4, 1)]


def test_a_finished_job_and_a_cancelled_one_go_away(reader: OverviewReader, paper_job, commit_part) -> None:
    finished, cancelled = paper_job(2, name="finished"), paper_job(2, name="cancelled")
    assert [name for name, *_ in seen(reader)] == ["cancelled", "finished"]
    commit_part(finished, 0, 1)
    finish_job(finished)
    cancelled.storage.commit(CANCELLED, b"")
    assert seen(reader) == []


def test_another_job_of_the_same_name_begins_at_nought(reader: OverviewReader, paper_job, commit_part) -> None:
    job = paper_job(5)
    commit_part(job, 0, faults={1: ImageFault.DOWNLOAD})
    assert seen(reader) == [("job", 9, 2, 1)]
    other = job.spec.model_copy(update={"id": "another"})
    job.storage.replace("job.json", other.model_dump_json().encode())
    job.storage.delete(part_key(0))
    assert seen(reader) == [("job", 9, 0, 0)]
