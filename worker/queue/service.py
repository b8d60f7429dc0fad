"""What a worker's main process does beside handing out tasks: it says that it is there, how it is, and reconciles."""

import logging
from importlib.metadata import version
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from celery.bootsteps import StartStopStep

from models.storage.open_storage import open_storage
from worker.jobs import Jobs
from worker.owner import Owner
from worker.queue.events import log_event
from worker.queue.heartbeat import BEAT_S, Heartbeat
from worker.queue.ledger import Ledger, Presence, connect
from worker.queue.metrics import Metrics
from worker.queue.reconciler import Publisher, Reconciler
from worker.queue.settings import QueueSettings

if TYPE_CHECKING:
    from worker.queue.exposition import Exposition

__all__ = ["service_step"]

PERIOD_S: Final = 1.0


class _Service(Thread):
    """Once a second: announce the worker, and one tick of the reconciler."""

    def __init__(
        self, settings: QueueSettings, publisher: Publisher, metrics: Metrics, heartbeat: Heartbeat, slots: int
    ) -> None:
        super().__init__(name="reconciler", daemon=True)
        self._settings = settings
        self._metrics = metrics
        self._publisher = publisher
        self._heartbeat = heartbeat
        self._slots = slots
        self._version = version("hangtag")
        self._ended = Event()
        self._wrong = ""

    def run(self) -> None:
        jobs = Jobs(open_storage(self._settings.jobs))
        ledger = Ledger(connect(self._settings), self._metrics.record_passed_over)
        reconciler = Reconciler(jobs, ledger, self._publisher)
        while not self._ended.wait(PERIOD_S):
            self._heartbeat.turned()
            try:
                self._turn(jobs, ledger, reconciler)
            except Exception as error:  # noqa: BLE001 - a reconciler that ended would strand every job
                self._say_once(error)
        ledger.close()

    def _turn(self, jobs: Jobs, ledger: Ledger, reconciler: Reconciler) -> None:
        presence = Presence(Owner.this(), self._slots, self._version, jobs.place, jobs.identity())
        ledger.announce(presence)
        queued = reconciler.tick()
        if queued:
            log_event("queued", logging.DEBUG, messages=queued)
        if self._wrong:
            log_event("reconciling_again")
        self._wrong = ""

    def _say_once(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self._wrong:
            log_event("cannot_reconcile", logging.WARNING, error=text, redis=self._settings.redis_name)
        self._wrong = text

    def end(self) -> None:
        """Let the turn in hand end, and no other begin."""
        self._ended.set()


def service_step(
    settings: QueueSettings, publisher: Publisher, metrics: Metrics, heartbeat: Heartbeat
) -> type[StartStopStep]:
    """A part of a Celery worker that runs the service as long as the worker takes tasks."""

    class ServiceStep(StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def __init__(self, parent: Any, **_: object) -> None:  # noqa: ANN401 - Celery has no types
            super().__init__(parent)
            self._service = _Service(settings, publisher, metrics, heartbeat, parent.concurrency)
            self._exposition = _exposition(settings, metrics, parent.concurrency)

        def start(self, parent: Any) -> None:  # noqa: ANN401
            self._service.start()
            if parent.hub:  # Celery's event loop, which only processes of the prefork kind have
                parent.hub.call_repeatedly(BEAT_S, heartbeat.beat)
            if self._exposition:
                self._exposition.start()

        def stop(self, parent: Any) -> None:  # noqa: ANN401
            self._service.end()
            if self._exposition:
                self._exposition.end()

    return ServiceStep


def _exposition(settings: QueueSettings, metrics: Metrics, slots: int) -> "Exposition | None":
    if settings.metrics_port is None:
        return None
    from worker.queue.exposition import Exposition

    return Exposition(settings, metrics, slots, version("hangtag"))
