"""A worker's metrics for Prometheus, explained in docs/metrics.md.

Each process stores its counts in files, which survive a kill. Set ``PROMETHEUS_MULTIPROC_DIR``
before you import this module.
"""

import logging
import os
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import HangtagError, ImageFault, InputError
from models.events import log_event
from models.storage.storage import open_storage
from worker.job.job import Job
from worker.job.jobs import Jobs
from worker.job.parts import PhotoWork, Status
from worker.job.receipt import job_receipt
from worker.queue.reconciler import JobPoller
from worker.queue.redis_state import RedisError, RedisState, connect
from worker.queue.settings import QueueSettings

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"

IMAGES: Final = Counter("hangtag_images", "Rows that this worker finished, by status.", ["status", "error"])
PHOTOS: Final = Counter("hangtag_photos", "Photos downloaded, decoded or reused.", ["work"])
BYTES: Final = Counter("hangtag_downloaded_bytes", "Bytes of downloaded photos.")
DOWNLOAD: Final = Counter("hangtag_download_seconds", "Seconds of all downloads, summed; downloads overlap.")
DECODE: Final = Counter("hangtag_decode_seconds", "Seconds of decoding photos in all processes.")
INFERENCE: Final = Counter("hangtag_inference_seconds", "Seconds of running the network in all processes.")
CHUNKS: Final = Counter("hangtag_chunks", "Chunks that this worker began, by outcome.", ["outcome"])
DIED: Final = Counter("hangtag_processes_died", "Processes of this worker that died during a task.")
CHUNK_SECONDS: Final = Histogram(
    "hangtag_chunk_seconds",
    "Seconds to label a chunk.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
)

_PHOTO_WORK: Final = ("downloaded", "unchanged", "decoded", "repeated", "carried")
_REDIS_S: Final = 2.0
_LOOK_S: Final = 1.0
"""Seconds for reading jobs in one scrape; the next scrape continues."""
_REST_S: Final = 30.0

JobFigures = tuple[Job, int]
"""A job and the number of rows in its finished chunks."""


@contextmanager
def _fails_no_chunk() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - an error in metrics must not stop labelling
        log_event("not_counted", logging.WARNING, error=f"{type(error).__name__}: {error}")


def count_outcome(outcome: str) -> None:
    """Count an unfinished chunk."""
    with _fails_no_chunk():
        CHUNKS.labels(outcome).inc()


def count_chunk(seconds: float, rows: Tally[tuple[str, str | None]], photos: PhotoWork) -> None:
    """Count a finished chunk that took ``seconds``. ``rows``: number of rows by (status, error)."""
    with _fails_no_chunk():
        for (status, error), count in rows.items():
            IMAGES.labels(status, error or "").inc(count)
        for work in _PHOTO_WORK:
            PHOTOS.labels(work).inc(getattr(photos, work))
        BYTES.inc(photos.bytes)
        DOWNLOAD.inc(photos.download_s)
        DECODE.inc(photos.decode_s)
        INFERENCE.inc(photos.inference_s)
        CHUNKS.labels("done").inc()
        CHUNK_SECONDS.observe(seconds)


def serve_metrics(settings: QueueSettings, slots: int) -> None:
    """Serve ``/metrics`` in background threads. Raises InputError."""
    for status in (Status.LABELED, Status.REVIEW):  # Prometheus expects each count to begin at 0
        IMAGES.labels(status.value, "")
    for fault in ImageFault:
        IMAGES.labels(Status.FAILED.value, fault.value)
    for outcome in ("done", "failed", "given_up"):
        CHUNKS.labels(outcome)
    for work in _PHOTO_WORK:
        PHOTOS.labels(work)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, os.environ[DIRECTORY])  # type: ignore[no-untyped-call]
    registry.register(StateCollector(settings, slots))
    try:
        start_http_server(settings.metrics_port or 0, settings.metrics_host, registry)
    except OSError as error:
        where = f"at {settings.metrics_host}, port {settings.metrics_port}"
        msg = f"Expected to serve metrics {where}, got {error}; choose another --metrics-port."
        raise InputError(msg) from error


class StateCollector(Collector):
    """Collects version, slots, queue lengths and job progress at each scrape."""

    def __init__(self, settings: QueueSettings, slots: int) -> None:
        self._slots = slots
        self._version = version("hangtag")  # read once, since an upgrade changes the version on disk
        self._jobs = Jobs(open_storage(settings.jobs))
        client = connect(settings, _REDIS_S)
        client.set_retry(Retry(NoBackoff(), 0))  # a scrape must take at most a few seconds
        self._redis = RedisState(client)
        self._poller = JobPoller(self._figures, _REST_S)
        self._lock = Lock()

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's ``Collector.collect``."""
        yield _gauge("hangtag_worker_info", "The worker's version of Hangtag.", ["version"], [((self._version,), 1)])
        yield _gauge("hangtag_slots", "Labelling processes of this worker.", [], [((), self._slots)])
        lengths: dict[str, int] = {}
        with suppress(RedisError):
            lengths = self._redis.queue_lengths()
        yield _gauge("hangtag_redis_up", "Whether Redis answers this worker.", [], [((), bool(lengths))])
        waiting = [((queue,), length) for queue, length in lengths.items()]
        yield _gauge("hangtag_queue_messages", "Messages that wait in a queue.", ["queue"], waiting)
        with suppress(OSError), self._lock:  # leave out jobs if their folder is unreachable
            yield from _of_jobs(self._poller.poll(self._jobs.names(), _LOOK_S))

    def _figures(self, name: str) -> JobFigures | None:
        try:
            job = self._jobs.get(name)
            if job is None or job_receipt(job) or (job.cancelled and not job.failure):
                return None
            return (job, job.spec.rows - sum(map(job.rows_in_chunk, job.missing_chunks())))
        except (HangtagError, OSError, ValueError):  # the reconciler logs this error
            return None


def _of_jobs(jobs: Mapping[str, JobFigures]) -> Iterator[Metric]:
    failed = {name for name, (job, _) in jobs.items() if job.cancelled}
    running = {name: figures for name, figures in jobs.items() if name not in failed}
    rows = [((name,), job.spec.rows) for name, (job, _) in running.items()]
    done = [((name,), count) for name, (_, count) in running.items()]
    pins = [question.model for job, _ in running.values() for question in job.questions]
    models = [(names, 1) for names in sorted({(pin.reference, pin.variant, pin.digest) for pin in pins})]
    yield _gauge("hangtag_job_rows", "Rows of a running job's catalogue.", ["name"], rows)
    yield _gauge("hangtag_job_rows_done", "Rows in finished chunks of a running job.", ["name"], done)
    stuck = [((name,), 1) for name in failed]
    yield _gauge("hangtag_job_failed", "1 if the job's results cannot be merged.", ["name"], stuck)
    yield _gauge("hangtag_model_info", "The models of running jobs.", ["model", "variant", "digest"], models)


def _gauge(
    name: str, meaning: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, meaning, labels=labels)
    for names, value in values:
        gauge.add_metric(names, value)
    return gauge
