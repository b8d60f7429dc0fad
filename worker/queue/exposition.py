"""A worker's metrics for Prometheus: its own counts, the state of Redis, and the progress of running jobs."""

import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from threading import Event, Lock, Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from models.errors import HangtagError, InputError
from models.events import log_event
from models.storage.storage import open_storage
from worker.job.job import Job
from worker.job.jobs import Jobs
from worker.job.parts import latest_parts, part_key, part_work
from worker.job.spec import ModelPin
from worker.queue.messages import QUEUES
from worker.queue.metrics import CHUNK_BOUNDS_S, CHUNK_SECONDS, CHUNK_SECONDS_SUM, COUNTERS, Metrics
from worker.queue.reconciler import JobPoller
from worker.queue.redis_state import RedisError, RedisState, connect
from worker.queue.settings import QueueSettings

_PERIOD_S: Final = 2.0
_STALE_S: Final = 60.0
_TURN_S: Final = 1.0
"""Seconds that one reading may look at jobs; the next one goes on where it stopped."""

_EFFORT: Final = 0.05
"""The share of time that looking at jobs may take: the slower their folder, the less often."""

_REST_S: Final = 30.0
"""Seconds between looks at a job that does not run."""

_Gauge = tuple[str, str, tuple[str, ...], Iterable[tuple[tuple[str, ...], float]]]
"""A metric: name, help text, labels, and its numbers by the labels' values."""


@dataclass(frozen=True)
class JobFigures:
    """A running job's progress: rows in all, rows in done chunks, and failed rows in the parts read so far."""

    name: str
    models: tuple[ModelPin, ...]
    rows: int
    done: int
    failed: int


@dataclass(frozen=True)
class Overview:
    """Whether Redis answered, the messages in each queue if it did, and the running jobs by name."""

    redis_up: bool
    waiting: dict[str, int]
    jobs: tuple[JobFigures, ...]


def worker_metrics(metrics: Metrics, slots: int, hangtag: str, overview: Overview | None) -> Iterator[Metric]:
    """The metrics that a scrape gets from a worker, with Hangtag's version."""
    totals = metrics.totals()
    for family in COUNTERS:
        counter = CounterMetricFamily(family.name, family.meaning, labels=family.labels)
        for (of, labels), value in totals.items():
            if of == family:
                counter.add_metric(labels, value)
        yield counter
    names = [str(bound).replace("inf", "+Inf") for bound in CHUNK_BOUNDS_S]
    counts = accumulate(totals[CHUNK_SECONDS, (str(bound),)] for bound in CHUNK_BOUNDS_S)
    histogram = HistogramMetricFamily(CHUNK_SECONDS.name, CHUNK_SECONDS.meaning, labels=())
    histogram.add_metric((), list(zip(names, counts, strict=True)), totals[CHUNK_SECONDS_SUM, ()])
    yield histogram
    for name, meaning, labels, values in (*_of_worker(slots, hangtag), *(_beside_it(overview) if overview else ())):
        gauge = GaugeMetricFamily(name, meaning, labels=labels)
        for key, value in values:
            gauge.add_metric(key, value)
        yield gauge


def _of_worker(slots: int, hangtag: str) -> Iterator[_Gauge]:
    yield "hangtag_worker_info", "The worker's version of Hangtag.", ("version",), [((hangtag,), 1)]
    yield "hangtag_slots", "Chunks that this worker works on at once.", (), [((), slots)]


def _beside_it(overview: Overview) -> Iterator[_Gauge]:
    jobs, name = overview.jobs, ("name",)
    waiting = [((queue,), count) for queue, count in overview.waiting.items()]
    models = sorted({(model.reference, model.variant, model.digest) for job in jobs for model in job.models})
    rows = [((job.name,), job.rows) for job in jobs]
    done = [((job.name,), job.done) for job in jobs]
    failed = [((job.name,), job.failed) for job in jobs]
    labels = ("model", "variant", "digest")
    yield "hangtag_redis_up", "Whether Redis answers this worker.", (), [((), overview.redis_up)]
    yield "hangtag_queue_messages", "Messages that wait in a queue.", ("queue",), waiting
    yield "hangtag_job_rows", "Rows of a running job's catalogue.", name, rows
    yield "hangtag_job_rows_done", "Rows of a running job in chunks that are done.", name, done
    yield "hangtag_job_failed_rows", "Failed rows of a running job.", name, failed
    yield "hangtag_model_info", "The models of running jobs.", labels, [(model, 1) for model in models]


class MetricsServer(Collector):
    """Serves a worker's metrics at ``/metrics``, and reads Redis and the jobs every few seconds.

    A scrape asks neither Redis nor the folder of jobs: their figures are from the last reading.
    """

    def __init__(self, settings: QueueSettings, metrics: Metrics, slots: int) -> None:
        self._settings = settings
        self._metrics = metrics
        self._slots = slots
        self._version = version("hangtag")  # an upgrade on disk does not change a worker that runs
        self._server: WSGIServer | None = None
        self._overview: tuple[float, Overview] | None = None
        self._opening = Lock()
        self._ended = Event()

    def start(self) -> None:
        """Serve and read, in threads of their own.

        Raises:
            InputError: the port is taken or invalid.
        """
        registry = CollectorRegistry()
        registry.register(self)
        host, port = self._settings.metrics_host, self._settings.metrics_port or 0
        try:
            server, _ = start_http_server(port, host, registry)
        except OSError as error:
            raise _refused(host, port, error) from error
        self._server = server
        os.register_at_fork(after_in_child=server.socket.close)  # it must not keep the port from the next worker
        release = self._opening.release
        os.register_at_fork(before=self._opening.acquire, after_in_parent=release, after_in_child=release)
        Thread(target=self._look_around, name="overview", daemon=True).start()

    def end(self) -> None:
        """Stop serving."""
        self._ended.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's; an overview that is too old is not shown."""
        seen = self._overview
        recent = seen[1] if seen and time.monotonic() < seen[0] + _STALE_S else None
        return worker_metrics(self._metrics, self._slots, self._version, recent)

    def _look_around(self) -> None:
        state = RedisState(connect(self._settings))
        reader = OverviewReader(Jobs(open_storage(self._settings.jobs)), state, self._opening)
        wrong, pause = "", 0.0
        while not self._ended.wait(pause):
            pause = _PERIOD_S
            try:
                self._overview = (time.monotonic(), reader.read())
                wrong = ""
            except Exception as error:  # noqa: BLE001 - the worker's own numbers are served whatever is wrong
                if wrong != str(error):
                    log_event("cannot_look_around", logging.WARNING, error=f"{type(error).__name__}: {error}")
                wrong = str(error)
        state.close()


def check_port(host: str, port: int) -> None:
    """Raise an :class:`InputError` for a port that is taken or invalid, before anything is started."""
    try:
        socket.create_server((host, port), family=socket.getaddrinfo(host, port)[0][0]).close()
    except OSError as error:
        raise _refused(host, port, error) from error


def _refused(host: str, port: int, error: OSError) -> InputError:
    where = f"at {host}, port {port}"
    return InputError(f"Expected to serve metrics {where}, the system answered {error}; choose another --metrics-port.")


class OverviewReader:
    """Reads an overview again and again, with limited work for each reading; each part is opened once.

    ``opening`` is held while a part is open: a process forked then would keep Arrow's locks locked for ever.
    """

    def __init__(self, jobs: Jobs, state: RedisState, opening: Lock, effort: float = _EFFORT) -> None:
        self._jobs = jobs
        self._redis = state
        self._opening = opening
        self._effort = effort
        self._poller = JobPoller(self._figures, _REST_S, effort=1.0)
        self._running: dict[str, JobFigures] = {}
        self._failed: dict[tuple[str, str], dict[str, int]] = {}
        self._until = self._rest_until = 0.0

    def read(self) -> Overview:
        """Read an overview; raises ``OSError`` if the folder of jobs cannot be read."""
        waiting: dict[str, int] = {}
        with suppress(RedisError):
            waiting = {queue: self._redis.waiting(queue) for queue in QUEUES.values()}
        start = time.monotonic()
        if start >= self._rest_until:
            self._until = start + _TURN_S
            self._running = self._poller.poll(self._jobs.names(), _TURN_S)
            self._failed = {key: rows for key, rows in self._failed.items() if key[0] in self._running}
            self._rest_until = start + (time.monotonic() - start) / self._effort
        return Overview(bool(waiting), waiting, tuple(self._running.values()))

    def _figures(self, name: str) -> JobFigures | None:
        try:
            job = self._jobs.unfinished(name)
            if job is None:
                return None
            parts = latest_parts(job.storage.names("parts"))
            missing = job.missing_from(parts, job.retry())
            failed = self._failed_rows(name, job, [part_key(chunk, parts[chunk]) for chunk in parts.keys() - missing])
        except (HangtagError, OSError, ValueError):  # the reconciler says so
            return None
        done = job.spec.rows - sum(map(job.rows_in_chunk, missing))
        models = tuple(question.model for question in job.questions)
        return JobFigures(name, models, job.spec.rows, done, failed)

    def _failed_rows(self, name: str, job: Job, keys: list[str]) -> int:
        """Failed rows in the parts that were opened so far."""
        failed = self._failed.setdefault((name, job.spec.id), {})
        for key in keys:
            if key not in failed and time.monotonic() <= self._until:
                with self._opening, suppress(pa.ArrowException):  # damaged: merging says so
                    failed[key] = part_work(pq.read_schema(job.storage.source(key))).failed
        return sum(failed.get(key, 0) for key in keys)
