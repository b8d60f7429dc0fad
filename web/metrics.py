"""The server's metrics for Prometheus (docs/metrics.md)."""

import time
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.classifier import BATCH
from models.errors import ImageFault
from worker.job.parts import Status

_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class WebMetrics:
    """The metrics of one server, set by the middleware and the process pool."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "hangtag_web_requests", "Requests by outcome.", ("route", "method", "status"), registry=registry
        )
        seconds = "Seconds from a request's headers to the end of the response."
        self.seconds = Histogram(
            "hangtag_web_request_seconds", seconds, ("route",), buckets=_BOUNDS_S, registry=registry
        )
        self.photos = Counter("hangtag_web_photos", "Photos by outcome.", ("status", "error"), registry=registry)
        for status, error in ((Status.LABELED, ""), (Status.REVIEW, ""), *((Status.FAILED, one) for one in ImageFault)):
            self.photos.labels(status, error)
        batch = "Photos in a batch."
        self.batches = Histogram("hangtag_web_batch_photos", batch, buckets=range(1, BATCH + 1), registry=registry)
        self.deaths = Counter(
            "hangtag_web_processes_died", "Processes that died while labelling photos.", registry=registry
        )
        self.decode_s = Counter(
            "hangtag_web_decode_seconds", "Seconds of decoding, in all processes.", registry=registry
        )
        self.inference_s = Counter(
            "hangtag_web_inference_seconds", "Seconds of running the network.", registry=registry
        )
        self.waiting = Gauge("hangtag_web_waiting_photos", "Photos that wait for a process.", registry=registry)
        self.waiting_limit = Gauge(
            "hangtag_web_waiting_photos_limit", "Maximum number of photos that may wait.", registry=registry
        )
        self.processes = Gauge("hangtag_web_processes", "Processes that label photos.", registry=registry)
        self.model = Gauge("hangtag_web_model_info", "The current model.", ("model", "digest"), registry=registry)
        info = Gauge("hangtag_web_info", "The server's version of Hangtag.", ("version",), registry=registry)
        info.labels(version("hangtag")).set(1)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class Meter:
    """The outermost middleware. Counts all requests, including refused requests."""

    def __init__(self, app: ASGIApp, metrics: WebMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
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
            # a label with whole paths would have too many values
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(route, method, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)
