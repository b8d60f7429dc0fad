"""``hangtag worker``: Celery's worker, with changes to how it stops, waits for Redis and ends a task."""

import logging
import os
import resource
import socket
import stat
import time
import warnings
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from billiard.process import current_process
from celery.apps.worker import Worker
from celery.bootsteps import StartStopStep
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning
from celery.signals import worker_process_init, worker_shutting_down
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.state import maybe_shutdown
from kombu import Connection
from kombu.asynchronous import get_event_loop

from models.errors import InputError, JobError
from models.events import log_event, start_logging
from models.process import Owner, reuse_memory
from models.storage.storage import open_storage
from worker.job.jobs import Jobs, open_jobs
from worker.queue.app import CHUNK_TASK, FINISH_TASK, HangtagCelery
from worker.queue.metrics import DIED, serve_metrics
from worker.queue.reconciler import Reconciler
from worker.queue.redis_state import Presence, RedisState, connect, redis_expected
from worker.queue.runner import Runner
from worker.queue.settings import QueueSettings
from worker.results.finish import finishing

_PAUSE_S: Final = 0.05
_BEAT_S: Final = 1.0
_TICK_EVERY_S: Final = 1.0
_OUTAGE_REPEAT_S: Final = 600.0
_RECONNECT: Final = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 3}
"""Seconds between attempts to reach Redis, instead of Celery's 2, 4, 6 … 30."""


def start_worker(settings: QueueSettings, slots: int, *, as_json: bool) -> int:
    """Label chunks until stopped; returns the exit status. Raises JobError or InputError."""
    jobs = open_jobs(settings.jobs)
    prepare_worker(settings, as_json=as_json)
    try:
        jobs.identity()
    except OSError as error:
        msg = f"Expected a writable folder of jobs at {jobs.place}, got {error}."
        raise JobError(msg) from error
    if settings.metrics_port is not None:
        serve_metrics(settings, slots)
    log_event("worker_starts", redis=settings.redis_name, jobs=jobs.place, slots=slots)
    return run_worker(make_app(settings), slots)


def make_app(settings: QueueSettings) -> HangtagCelery:
    """The Celery app of a worker that labels."""
    app = HangtagCelery(settings)
    runner = Runner(app, finishing)
    app.task(name=CHUNK_TASK, shared=False)(runner.label_chunk)
    app.task(name=FINISH_TASK, shared=False)(runner.finish_job)
    app.steps["worker"].add(ServiceStep)
    return app


def prepare_worker(settings: QueueSettings, *, as_json: bool) -> None:
    """Set up a worker's heartbeat file, warnings and logs."""
    try:
        if settings.heartbeat:
            settings.heartbeat.open("a").close()
    except OSError as error:
        file = settings.heartbeat
        msg = f"Expected to write the heartbeat file {file}, got {error}; choose another."
        raise InputError(msg) from error
    warnings.simplefilter("ignore", SecurityWarning)  # warns about pickle, but messages are JSON
    warnings.simplefilter("ignore", CPendingDeprecationWarning)  # the setting is intended
    start_logging(as_json=as_json)
    _silence(1)  # hides Celery's exit message; Hangtag writes log lines
    worker_process_init.connect(_prepare_process, weak=False)


def run_worker(app: HangtagCelery, slots: int) -> int:
    """Run a Celery app's tasks until stopped; returns the exit status."""
    worker = app.Worker(
        concurrency=slots,
        loglevel="INFO",
        pool="prefork",
        optimization="fair",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    status = int(worker.exitcode or 0)
    log_event("worker_ends", status=status)
    return status


def _prepare_process(**_: object) -> None:
    _let_go_of_connections()
    _silence(1)
    _silence(2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reuse_memory()
    log_event("slot_started", slot=current_process().index, pid=os.getpid())


def _silence(descriptor: int) -> None:
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)


def _let_go_of_connections() -> None:
    """Close the parent's network connections in a forked process.

    Open connections make the parent's event loop use half a core after a restart of Redis (Celery 5.7).
    Each descriptor then points to ``/dev/null``, so that its number is not reused.
    """
    with Path(os.devnull).open("rb") as nowhere:
        for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
            with suppress(OSError):  # the list includes iterdir's descriptor, now closed
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode) and _is_network(descriptor):
                    os.dup2(nowhere.fileno(), descriptor)


def _is_network(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as held:
        return held.family in {socket.AF_INET, socket.AF_INET6}


class HeartStep(StartStopStep):
    """Touches the heartbeat file each second in Celery's event loop. If the file is old, the event loop hangs."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:  # noqa: ANN401 - Celery has no types
        """See Celery's."""
        if parent.hub:  # only prefork workers have this event loop
            parent.hub.call_repeatedly(_BEAT_S, _beat, parent.app)


def _beat(app: HangtagCelery) -> None:
    if app.settings.heartbeat:
        with suppress(OSError):  # the file then looks old, and the supervisor restarts the worker
            app.settings.heartbeat.touch()


class ServiceStep(HeartStep):
    """A labelling worker's thread that announces the worker and reconciles jobs, once a second."""

    def __init__(self, parent: Any, **_: object) -> None:  # noqa: ANN401 - Celery has no types
        super().__init__(parent)
        self._ended = Event()
        arguments = (parent.app, parent.concurrency, self._ended)
        self._thread = Thread(target=_reconcile, args=arguments, name="reconciler", daemon=True)

    def start(self, parent: Any) -> None:  # noqa: ANN401
        """See Celery's."""
        super().start(parent)
        self._thread.start()

    def stop(self, _parent: Any) -> None:  # noqa: ANN401
        """See Celery's."""
        self._ended.set()


def _reconcile(app: HangtagCelery, slots: int, ended: Event) -> None:
    settings, here, trouble = app.settings, version("hangtag"), ""
    jobs = Jobs(open_storage(settings.jobs))
    state = RedisState(connect(settings))
    reconciler = Reconciler(jobs, state, app.send)
    while not ended.wait(_TICK_EVERY_S):
        try:
            state.announce(Presence(Owner.this(), slots, here, jobs.place, jobs.identity()))
            reconciler.tick()
        except Exception as error:  # noqa: BLE001 - without a reconciler, no job progresses
            text = f"{type(error).__name__}: {error}"
            if text != trouble:
                log_event("cannot_reconcile", logging.WARNING, error=text, redis=settings.redis_name)
            trouble = text
            continue
        if trouble:
            log_event("reconciling_again")
        trouble = ""
    state.close()


class GracefulWorker(Worker):
    """A worker that stops after its running tasks, or at the end of its grace time."""

    app: HangtagCelery

    def on_start(self) -> None:
        """See Celery's method."""
        super().on_start()
        worker_shutting_down.connect(
            lambda **_: self.app.busy.stop(), weak=False
        )  # Ctrl-C skips wait_for_soft_shutdown

    def wait_for_soft_shutdown(self) -> None:
        """Wait only while tasks run, instead of Celery's whole grace time."""
        seconds = self.app.conf.worker_soft_shutdown_timeout
        log_event("worker_stops", within_s=seconds)
        self.app.busy.stop()
        until = time.monotonic() + seconds
        while self.app.busy and time.monotonic() < until:
            _beat(self.app)
            time.sleep(_PAUSE_S)


class HangtagConsumer(Consumer):
    """Celery's consumer. While Redis is unreachable, it retries sooner, logs less and touches the heartbeat file."""

    app: HangtagCelery

    def ensure_connected(self, conn: Connection) -> Connection:
        """See Celery's ``Consumer.ensure_connected``."""
        tell_at: float | None = None

        def away(error: Exception, _pause: float) -> None:
            nonlocal tell_at
            if tell_at is None or time.monotonic() >= tell_at:
                tell_at = time.monotonic() + _OUTAGE_REPEAT_S
                text = redis_expected(self.app.settings.redis_name, error)
                log_event("waiting_for_redis", logging.WARNING, message=text)

        def each_second() -> None:
            _beat(self.app)
            maybe_shutdown()

        there: Connection = conn.ensure_connection(away, callback=each_second, **_RECONNECT)
        if tell_at is not None:
            log_event("redis_is_there", redis=self.app.settings.redis_name)
        return there


class LoggedRequest(Request):
    """Logs the chunk of a dead process, and reconnects after a failed acknowledgement.

    Celery 5.7 only logs a failed acknowledgement. A worker with one slot then receives no tasks until a restart.
    """

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Celery has no types
        """See Celery's ``Request.on_failure``."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, WorkerLostError):
            job, *chunk = self.args
            DIED.inc()
            log_event("process_died", logging.WARNING, job=job, chunk=chunk[0] if chunk else "", reason=str(error))
        super().on_failure(exc_info, *arguments, **options)

    def acknowledge(self) -> None:
        """See Celery's ``Request.acknowledge``."""
        self._until_connection_fails(super().acknowledge)

    def reject(self, requeue: bool = False) -> None:
        """See Celery's ``Request.reject``."""
        self._until_connection_fails(super().reject, requeue)

    def _until_connection_fails(self, give_up: Any, *arguments: object) -> None:  # noqa: ANN401 - a bound method
        errors: Any = self._connection_errors
        self._connection_errors: Any = ()  # Celery would only log errors of these types
        try:
            give_up(*arguments)
        except errors as error:
            self.acknowledged = True
            log_event("message_not_given_up", logging.WARNING, error=str(error))
            get_event_loop().call_soon(_throw, error)
        finally:
            self._connection_errors = errors


def _throw(error: Exception) -> None:
    raise error
