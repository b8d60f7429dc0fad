"""``hangtag worker``: Celery's worker, with changes to how it stops, waits for Redis and ends a task."""

import logging
import os
import resource
import signal
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
from celery.signals import worker_process_init
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu import Connection
from kombu.asynchronous import get_event_loop

from models.errors import ExitCode, JobError
from models.events import log_event, start_logging
from models.process import reuse_memory, use_own_temporary_folder
from models.process_identity import Owner
from models.storage.storage import open_storage
from worker.job.jobs import Jobs, open_jobs
from worker.queue.app import HangtagCelery, make_app
from worker.queue.metrics import DIED
from worker.queue.reconciler import Reconciler
from worker.queue.redis_state import Presence, RedisOutage, RedisState, connect
from worker.queue.settings import QueueSettings, url_name
from worker.queue.worker_state import BEAT_S, Heartbeat

_PAUSE_S: Final = 0.05
_TICK_EVERY_S: Final = 1.0
_NO_JOBS_YET: Final = "is it the folder of jobs that hangtag submit was given? Compare --jobs or HANGTAG_JOBS there"


def start_worker(settings: QueueSettings, concurrency: int, *, as_json: bool) -> int:
    """Label chunks until told to stop; returns the exit status.

    SIGTERM: the chunks in hand are finished within ``settings.grace_s``, or handed back. Ctrl-C: they are finished.

    Raises:
        JobError: the folder of jobs cannot be used.
        InputError: the heartbeat file or the metrics port cannot be used, or the folder of jobs has no parent.
    """
    Heartbeat(settings.heartbeat).check()
    if settings.metrics_port is not None:
        from worker.queue.exposition import check_port

        check_port(settings.metrics_host, settings.metrics_port)
    jobs = open_jobs(settings.jobs)
    prepare_worker(as_json=as_json)
    _check_jobs(jobs)
    log_event("worker_starts", redis=settings.redis_name, jobs=jobs.place, slots=concurrency)
    return run_worker(make_app(settings), concurrency)


def _check_jobs(jobs: Jobs) -> None:
    try:
        if not jobs.names():
            log_event("no_jobs_yet", logging.WARNING, jobs=jobs.place, hint=_NO_JOBS_YET)
        jobs.identity()
    except OSError as error:
        msg = f"Expected a folder of jobs at {jobs.place} that can be written to, the system answered {error}."
        raise JobError(msg) from error


def prepare_worker(*, as_json: bool) -> None:
    """Make this process ready to be a worker of any queue, and to log."""
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle: the queue carries JSON only
    warnings.simplefilter("ignore", CPendingDeprecationWarning)  # of a setting that we choose on purpose
    start_logging(as_json=as_json)
    use_own_temporary_folder()
    _silence(1)  # Celery's plain words at the end; ours are log lines
    worker_process_init.connect(_prepare_process, weak=False)


def run_worker(app: HangtagCelery, concurrency: int) -> int:
    """Take an app's tasks until told to stop; returns the exit status."""
    worker = app.Worker(
        concurrency=concurrency,
        loglevel="INFO",
        pool="prefork",
        optimization="fair",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    status = ExitCode.INTERRUPTED if worker.interrupted else worker.exitcode or 0
    log_event("worker_ends", status=int(status))
    return int(status)


def _prepare_process(**_: object) -> None:
    """Prepare each process that labels: no connections of the parent, no output but log lines, no core files."""
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
    """Let go of the parent's network connections, in a process that was just forked.

    As long as a child holds a connection that the parent has lost, the kernel goes on telling the parent's event loop
    of it: a worker whose process had been replaced used up half a core from the next restart of Redis on (Celery 5.7).
    The descriptors stay taken, so that whoever still holds one closes nothing else.
    """
    with Path(os.devnull).open("rb") as nowhere:
        for entry in list(Path("/proc/self/fd").iterdir()):
            if _is_connection(int(entry.name)):
                os.dup2(nowhere.fileno(), int(entry.name))


def _is_connection(descriptor: int) -> bool:
    with suppress(OSError):  # the one that listed these
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            with socket.socket(fileno=os.dup(descriptor)) as held:
                return held.family in {socket.AF_INET, socket.AF_INET6}
    return False


class _Service(Thread):
    """Once a second: announce the worker, and one tick of the reconciler."""

    def __init__(self, app: HangtagCelery, slots: int) -> None:
        super().__init__(name="reconciler", daemon=True)
        self._app = app
        self._slots = slots
        self.ended = Event()

    def run(self) -> None:
        settings = self._app.settings
        jobs = Jobs(open_storage(settings.jobs))
        state = RedisState(connect(settings), self._app.metrics.record_passed_over)
        reconciler = Reconciler(jobs, state)
        here, wrong = version("hangtag"), ""
        while not self.ended.wait(_TICK_EVERY_S):
            self._app.heartbeat.turned()
            try:
                state.announce(Presence(Owner.this(), self._slots, here, jobs.place, jobs.identity()))
                reconciler.tick()
            except Exception as error:  # noqa: BLE001 - a reconciler that ended would strand every job
                text = f"{type(error).__name__}: {error}"
                if text != wrong:
                    log_event("cannot_reconcile", logging.WARNING, error=text, redis=settings.redis_name)
                wrong = text
                continue
            if wrong:
                log_event("reconciling_again")
            wrong = ""
        state.close()


class HeartStep(StartStopStep):
    """Lets a Celery worker's heart beat in its event loop."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:  # noqa: ANN401 - Celery has no types
        """See Celery's."""
        if parent.hub:  # Celery's event loop, which only processes of the prefork kind have
            parent.hub.call_repeatedly(BEAT_S, parent.app.heartbeat.beat)


class ServiceStep(HeartStep):
    """A labelling worker's work beside its tasks: it announces itself, serves metrics, and reconciles."""

    def __init__(self, parent: Any, **_: object) -> None:  # noqa: ANN401 - Celery has no types
        super().__init__(parent)
        app: HangtagCelery = parent.app
        self._service = _Service(app, parent.concurrency)
        self._metrics_server = None
        if app.settings.metrics_port is not None:
            from worker.queue.exposition import MetricsServer

            self._metrics_server = MetricsServer(app.settings, app.metrics, parent.concurrency)

    def start(self, parent: Any) -> None:  # noqa: ANN401
        """See Celery's."""
        parent.app.heartbeat.turned()
        self._service.start()
        super().start(parent)
        if self._metrics_server:
            self._metrics_server.start()

    def stop(self, _parent: Any) -> None:  # noqa: ANN401
        """See Celery's."""
        self._service.ended.set()
        if self._metrics_server:
            self._metrics_server.end()


class GracefulWorker(Worker):
    """A worker that, once told to stop, ends with its last task or with its grace time."""

    app: HangtagCelery
    interrupted = False  # by Ctrl-C

    def wait_for_soft_shutdown(self) -> None:
        """See Celery's method, which sleeps through all of the time whenever a task was in hand at its start."""
        seconds = self.app.conf.worker_soft_shutdown_timeout
        log_event("worker_stops", within_s=seconds)
        self.app.busy.stop()
        until = time.monotonic() + seconds
        while self.app.busy and time.monotonic() < until:
            self.app.heartbeat.beat()
            time.sleep(_PAUSE_S)

    def install_platform_tweaks(self, worker: Worker) -> None:
        """See Celery's method; a worker that Ctrl-C ended says so."""
        super().install_platform_tweaks(worker)
        handler: Any = signal.getsignal(signal.SIGINT)

        def note(*given: Any) -> None:  # noqa: ANN401 - a number and a frame
            self.interrupted = True
            handler(*given)

        signal.signal(signal.SIGINT, note)


class HangtagConsumer(Consumer):
    """Celery's consumer, which keeps its heartbeat while it waits for Redis, when Celery's event loop stands still."""

    app: HangtagCelery

    def ensure_connected(self, conn: Connection) -> Connection:
        """See Celery's ``Consumer.ensure_connected``."""
        conn.while_waiting, conn.message_filter = self.app.heartbeat.beat, self.app.message_filter
        conn.outage = RedisOutage(url_name(self.app.conf.broker_url))
        return super().ensure_connected(conn)


class LoggedRequest(Request):
    """Names the chunk when a process is lost, and connects again when a message cannot be given up.

    Celery only logs the latter. The message then counts as in hand for ever, no other is asked for, and so nobody
    notices that the connection is gone: a worker with one slot takes no more work, silently, until it is started again
    (measured with Celery 5.7).
    """

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Celery has no types
        """See Celery's ``Request.on_failure``."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, WorkerLostError):
            job, *chunk = self.args
            self.app.metrics.count(DIED)
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
        self._connection_errors: Any = ()  # which Celery would log and pass over
        try:
            give_up(*arguments)
        except errors as error:
            self.acknowledged = True
            log_event("message_not_given_up", logging.WARNING, error=str(error))
            get_event_loop().call_soon(_throw, error)
        finally:
            self._connection_errors = errors


def _throw(error: Exception) -> None:
    """Raise an error that the event loop takes as a lost connection, after which Celery connects again."""
    raise error
