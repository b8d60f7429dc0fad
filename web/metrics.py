"""The server's numbers as Prometheus reads them; docs/metrics.md says what they mean."""

import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.classifier import BATCH
from models.errors import ImageFault
from web.classify import ClassifierPool
from worker.job.parts import Status

_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class WebMetrics(Collector):
    """Counts requests, and shows what the pool of processes does.

    Args:
        pool: that labels photos.
    """

    def __init__(self, pool: ClassifierPool) -> None:
        self._pool = pool
        self._registry = CollectorRegistry()
        labels = ("route", "method", "status")
        self._requests = Counter("hangtag_web_requests", "Requests by how they ended.", labels, registry=self._registry)
        seconds = "Seconds from a request's headers to the end of its answer."
        self._seconds = Histogram(
            "hangtag_web_request_seconds", seconds, ("route",), buckets=_BOUNDS_S, registry=self._registry
        )
        self._registry.register(self)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request has ended; ``route`` is the path as it was declared, so that there are few."""
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's."""
        pool, figures = self._pool, self._pool.figures
        photos = CounterMetricFamily("hangtag_web_photos", "Photos by how they ended.", labels=("status", "error"))
        for key in _ENDS:
            photos.add_metric(key, figures.photos[key])
        yield photos
        yield _batches(figures.batches)
        yield _counter("hangtag_web_processes_died", "Processes that died with photos in hand.", figures.deaths)
        yield _counter("hangtag_web_decode_seconds", "Seconds of decoding, of all processes.", figures.decode_s)
        yield _counter("hangtag_web_inference_seconds", "Seconds of running the network.", figures.inference_s)
        yield _gauge("hangtag_web_waiting_photos", "Photos that wait for a process.", [((), pool.waiting)])
        yield _gauge("hangtag_web_waiting_photos_limit", "How many may wait.", [((), pool.limits.photos)])
        yield _gauge("hangtag_web_processes", "Processes that label photos.", [((), pool.processes)])
        yield _gauge("hangtag_web_info", "The server's version of Hangtag.", [((version("hangtag"),), 1)], ("version",))
        named = [((pool.model.reference, pool.model.digest), 1)] if pool.model else []
        yield _gauge("hangtag_web_model_info", "The model that answers.", named, ("model", "digest"))


_ENDS = (
    (Status.LABELED.value, ""),
    (Status.REVIEW.value, ""),
    *((Status.FAILED.value, fault.value) for fault in ImageFault),
)


def _batches(counts: dict[int, int]) -> Metric:
    sizes = range(1, BATCH + 1)
    sums = accumulate(counts.get(size, 0) for size in sizes)
    buckets = [(str(float(size)), float(count)) for size, count in zip(sizes, sums, strict=True)]
    family = HistogramMetricFamily("hangtag_web_batch_photos", "Photos in one run of the network.", labels=())
    family.add_metric((), [*buckets, ("+Inf", buckets[-1][1])], sum(size * counts.get(size, 0) for size in sizes))
    return family


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(name, meaning, value=value)


def _gauge(
    name: str, meaning: str, values: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


class Meter:
    """The middleware that counts: the outermost, so that refusals count, too.

    Args:
        app: what it stands before.
        metrics: where it counts.
    """

    def __init__(self, app: ASGIApp, metrics: WebMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.count(route, scope["method"], status, time.perf_counter() - start)
