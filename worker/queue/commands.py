"""``hangtag submit`` and ``hangtag worker``."""

import os
from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer

from models.errors import ExitCode
from models.process import usable_cores
from worker.options import ModelsOption, SharedOptions, models_given, takes_shared_options
from worker.priority import Priority
from worker.queue.jobs_commands import register as register_jobs
from worker.queue.options import (
    HeartbeatOption,
    JobsOption,
    JsonOption,
    LogOption,
    Only,
    RedisOption,
    logs_json,
    queue_settings,
)

__all__ = ["register"]

MAX_WAIT_S = 86_400.0

_TRAIN_WORKER: Final = "train_worker"
"""Key of the context's object, filled in by :mod:`hangtag.cli`, for the module of another room that runs cycles."""


class WorkerQueue(StrEnum):
    """What a worker takes."""

    LABEL = "label"
    TRAIN = "train"


def register(app: typer.Typer) -> None:
    """Add the queue's commands to the one command line."""
    app.command("submit")(submit_command)
    app.command("worker")(worker_command)
    register_jobs(app)


@takes_shared_options
def submit_command(
    model: ModelsOption,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT",
            help="Folder of photos, or a .csv, .tsv, .jsonl, .parquet or .txt file; a path, or an s3:// or http(s):// "
            "URL. Not with --watch.",
            show_default=False,
        ),
    ] = None,
    job: Annotated[
        str | None, typer.Option(help="Name of the job. Default: the source's, with the time.", show_default=False)
    ] = None,
    jobs: JobsOption = None,
    redis: RedisOption = None,
    priority: Annotated[Priority, typer.Option(help="Whose chunks workers take first.")] = Priority.NORMAL,
    image_root: Annotated[
        str | None,
        typer.Option(
            help="Where relative paths start, on every worker: a folder or a URL. Default: the catalogue's folder."
        ),
    ] = None,
    previous: Annotated[
        str | None,
        typer.Option(
            metavar="JOB",
            help="An earlier job: rows whose photo it knows are taken from there. With --watch also last: the last "
            "finished job of the same file.",
        ),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Instead of INPUT: new files of this folder become jobs, each once."),
    ] = None,
    only: Annotated[
        Only | None, typer.Option(help="With --watch: which files become jobs. Default: both.", show_default=False)
    ] = None,
    settle: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=MAX_WAIT_S,
            help="With --watch: seconds that a file stays the same before it is taken. Default: 5.",
        ),
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=0.1, max=MAX_WAIT_S, help="With --watch: seconds between looks. Default: 2.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="With --watch: look once, and end; for cron.")] = False,
    as_json: JsonOption = False,
    *,
    shared: SharedOptions,
) -> None:
    """Submit a catalogue for workers to label: one row in, one row out, in the same order.

    The catalogue and the model are copied into the folder of jobs; the photos stay where they are: at URLs, or under a
    folder that every worker must have at the same path. The result is labels.parquet in the job's folder. A job keeps
    its model: shop@champion is looked up when the job is made, with --watch for each job.

    Examples:

      hangtag submit products.csv --model bundles/shop --job spring-2026

      hangtag submit photos/ --model bundles/shop --jobs /mnt/shared/jobs --redis redis://queue:6379/0

      hangtag submit urgent.csv --model shop@champion --priority high

      hangtag submit products.csv --model bundles/shop --precision 0.98

      hangtag submit urls.csv --model bundles/shop --group-column sku --previous nightly-2026-11-20

      hangtag submit --watch /mnt/inbox --model bundles/shop --previous last
    """
    of_watch = {"--only": only, "--settle": settle, "--every": every, "--once": once}
    _check_submit(source, job, watch, of_watch)
    settings = queue_settings(redis, jobs)
    from worker.queue.actions import submit_and_show
    from worker.queue.inbox.actions import submit_what_comes
    from worker.queue.inbox.request import EVERY_S, SETTLE_S, InboxRequest
    from worker.queue.submit import new_name
    from worker.request import SubmitRequest

    request = SubmitRequest(
        source=source or "",
        model=models_given(model),
        options=shared.job_options(),
        name=new_name(source or "") if job is None else job,
        variant=shared.variant,
        image_column=shared.image_column,
        image_root=image_root,
        encoding=shared.encoding,
        allow_unsized=shared.allow_unsized,
        per_host=shared.per_host,
        previous=previous,
        priority=priority,
        registry=shared.registry,
    )
    if watch is None:
        submit_and_show(request, settings, as_json=as_json)
        return
    settle_s, every_s = SETTLE_S if settle is None else settle, EVERY_S if every is None else every
    inbox = InboxRequest(watch.resolve(), request, settle_s, every_s, only)
    if not submit_what_comes(inbox, settings, once=once, as_json=as_json):
        raise typer.Exit(ExitCode.FAILURE)


def _check_submit(source: str | None, job: str | None, watch: Path | None, of_watch: Mapping[str, object]) -> None:
    """Refuse options of a watched folder without ``--watch``, and options of a single job with it."""
    if watch is None:
        if source is None:
            msg = "expected INPUT, or --watch FOLDER"
            raise typer.BadParameter(msg)
        wrong = [option for option, value in of_watch.items() if value is not None and value is not False]
        if wrong:
            msg = f"{wrong[0]} goes with --watch only"
            raise typer.BadParameter(msg)
    elif source is not None or job is not None:
        wrong_one = "--job" if source is None else "INPUT"
        msg = f"{wrong_one} and --watch exclude each other: the files of a watched folder become jobs, named after them"
        raise typer.BadParameter(msg)


def worker_command(
    context: typer.Context,
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[CONFIG]...",
            help="With --queue train: run cycles of these settings only. Default: of any that a beat asks for.",
            show_default=False,
        ),
    ] = None,
    queue: Annotated[
        WorkerQueue,
        typer.Option(help="label: chunks of jobs. train: cycles that hangtag beat asks for, where TensorFlow is."),
    ] = WorkerQueue.LABEL,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "--concurrency",
            min=1,
            help="Chunks at once, a process each. Default: one a core.",
            show_default=False,
        ),
    ] = None,
    redis: RedisOption = None,
    jobs: JobsOption = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Serve /metrics for Prometheus there. Default: HANGTAG_METRICS_PORT, or not at all."
        ),
    ] = None,
    metrics_host: Annotated[
        str | None,
        typer.Option(
            help="Address to serve them at; 0.0.0.0 in a container. Default: HANGTAG_METRICS_HOST, or 127.0.0.1."
        ),
    ] = None,
    heartbeat: HeartbeatOption = None,
    log: LogOption = None,
) -> None:
    """Label what is submitted, until told to stop. Run it under a supervisor that starts it again (systemd, Docker).

    SIGTERM: chunks in hand are finished within HANGTAG_GRACE_S (10) seconds, or handed back. Ctrl-C: they are finished.
    celery -A worker worker does the same with HANGTAG_REDIS_URL and HANGTAG_JOBS. With --queue train it runs retraining
    cycles, one at a time, and takes no chunks; one that is stopped goes on when a worker is there again.

    Examples:

      hangtag worker

      hangtag worker --workers 8 --redis redis://queue:6379/0 --jobs /mnt/shared/jobs

      hangtag worker --metrics-port 9108 --heartbeat /run/hangtag/heartbeat

      hangtag worker --queue train retrain.toml
    """
    settings = queue_settings(redis, jobs, metrics_port, metrics_host, heartbeat)
    if queue is WorkerQueue.TRAIN:
        _check_train({"--workers": concurrency, "--jobs": jobs, "--metrics-port": metrics_port})
        os.environ.update(REMAP_SIGTERM="SIGQUIT")
        train_worker = import_module(context.obj[_TRAIN_WORKER])
        raise typer.Exit(train_worker.start_train_worker(settings, configs or (), as_json=logs_json(log)))
    if configs:
        msg = f"{configs[0]} is for --queue train; a worker that labels takes its work from the folder of --jobs"
        raise typer.BadParameter(msg)
    # read once, when Celery and the numerical libraries are imported
    os.environ.update(REMAP_SIGTERM="SIGQUIT", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    from worker.queue.start_worker import start_worker

    slots = concurrency or usable_cores()
    raise typer.Exit(start_worker(settings, slots, as_json=logs_json(log)))


def _check_train(of_labelling: Mapping[str, object]) -> None:
    wrong = [option for option, value in of_labelling.items() if value is not None]
    if wrong:
        msg = f"{wrong[0]} is for a worker that labels; a worker of the queue train runs one cycle at a time"
        raise typer.BadParameter(msg)
