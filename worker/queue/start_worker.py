"""``hangtag worker``: Celery's worker with our settings."""

import logging
import os
import resource
import warnings
from pathlib import Path

from billiard.process import current_process
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning
from celery.signals import worker_process_init

from models.errors import ExitCode, JobError
from models.process import use_own_temporary_folder
from models.storage.storage import open_storage
from worker.events import log_event, start_logging
from worker.jobs import Jobs
from worker.queue.app import HangtagCelery, make_app
from worker.queue.celery_worker import let_go_of_connections
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import Heartbeat

__all__ = ["prepare_worker", "run_worker", "start_worker"]


def start_worker(settings: QueueSettings, concurrency: int, *, as_json: bool) -> int:
    """Label chunks until told to stop; returns the exit status.

    SIGTERM: the chunks in hand are finished within ``settings.grace_s``, or handed back. Ctrl-C: they are finished.

    Raises:
        JobError: the folder of jobs cannot be used.
        InputError: the heartbeat file or the port for metrics cannot.
    """
    prepare_worker(as_json=as_json)
    jobs = Jobs(open_storage(settings.jobs))
    _check_jobs(jobs)
    Heartbeat(settings.heartbeat).check()
    if settings.metrics_port is not None:
        from worker.queue.exposition import check_port

        check_port(settings.metrics_host, settings.metrics_port)
    log_event("worker_starts", redis=settings.redis_name, jobs=jobs.place, slots=concurrency)
    return run_worker(make_app(settings), concurrency)


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
    """In each process that labels: hold no connection of the parent, say nothing but log lines, leave no core files."""
    let_go_of_connections()
    _silence(1)
    _silence(2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log_event("slot_started", slot=current_process().index, pid=os.getpid())


def _silence(descriptor: int) -> None:
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)


def _check_jobs(jobs: Jobs) -> None:
    try:
        if not jobs.names():
            log_event("no_jobs_yet", logging.WARNING, jobs=jobs.place)
        jobs.identity()
    except OSError as error:
        msg = f"Expected a folder of jobs at {jobs.place} that can be written to, the system answered {error}."
        raise JobError(msg) from error
