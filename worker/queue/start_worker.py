"""``hangtag worker``: Celery's worker with our settings."""

import logging
import os
import resource
import socket
import stat
import warnings
from contextlib import suppress
from pathlib import Path

from billiard.process import current_process
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning
from celery.signals import worker_process_init

from models.errors import JobError
from models.process import use_own_temporary_folder
from models.storage.storage import open_storage
from worker.events import log_event, start_logging
from worker.jobs import Jobs
from worker.queue.app import HangtagCelery, make_app
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import Heartbeat

__all__ = ["let_go_of_connections", "prepare_worker", "run_worker", "start_worker"]


def let_go_of_connections() -> None:
    """Let go of the parent's network connections, in a process that was just forked.

    As long as a child holds a connection that the parent has lost, the kernel goes on telling the parent's event loop
    of it: a worker whose process had been replaced used up half a core from the next restart of Redis on (Celery 5.7).
    The numbers stay taken, so that whoever thinks of them as a connection closes nothing else.
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


def start_worker(settings: QueueSettings, concurrency: int, *, as_json: bool) -> int:
    """Label chunks until told to stop.

    SIGTERM: the chunks in hand are finished within ``settings.grace_s``, or handed back. Ctrl-C: they are finished.

    Returns:
        The exit status.

    Raises:
        JobError: the folder of jobs cannot be used.
        InputError: the heartbeat file or the port for metrics cannot.
    """
    prepare_worker(as_json=as_json)
    _check_jobs(settings)
    _check_operations(settings)
    app = make_app(settings)
    log_event("worker_starts", redis=settings.redis_name, jobs=open_storage(settings.jobs).place, slots=concurrency)
    return run_worker(app, concurrency)


def prepare_worker(*, as_json: bool) -> None:
    """Make this process ready to be a worker of any queue, and to log."""
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle: the queue carries JSON only
    warnings.simplefilter("ignore", CPendingDeprecationWarning)  # of a setting that we choose on purpose
    start_logging(as_json=as_json)
    use_own_temporary_folder()
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # Celery's plain words at the end; ours are log lines
    worker_process_init.connect(_prepare_process, weak=False)


def run_worker(app: HangtagCelery, concurrency: int) -> int:
    """Take an app's tasks until told to stop.

    Returns:
        The exit status.
    """
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
    log_event("worker_ends", status=worker.exitcode or 0)
    return int(worker.exitcode or 0)


def _prepare_process(**_: object) -> None:
    """In each process that labels: hold no connection of the parent, say nothing but log lines, leave no core files."""
    let_go_of_connections()
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log_event("slot_started", slot=current_process().index, pid=os.getpid())


def _check_operations(settings: QueueSettings) -> None:
    Heartbeat(settings.heartbeat).check()
    if settings.metrics_port is not None:
        from worker.queue.exposition import check_port

        check_port(settings.metrics_host, settings.metrics_port)


def _check_jobs(settings: QueueSettings) -> None:
    jobs = Jobs(open_storage(settings.jobs))
    try:
        if not jobs.names():
            log_event("no_jobs_yet", logging.WARNING, jobs=jobs.place)
        jobs.identity()
    except OSError as error:
        msg = f"Expected a folder of jobs at {jobs.place} that can be written to, the system answered {error}."
        raise JobError(msg) from error
