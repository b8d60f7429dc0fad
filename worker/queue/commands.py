"""``hangtag submit``, ``hangtag watch`` and ``hangtag worker``."""

import os
from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer

from models.errors import ExitCode
from models.options import ModelsOption, takes
from models.process import usable_cores
from models.reference import models_given
from worker.queue.jobs_commands import register as register_jobs
from worker.queue.options import (
    EVERY_S,
    SETTLE_S,
    HeartbeatOption,
    JobsOption,
    JsonOption,
    LogOption,
    Only,
    RedisOption,
    logs_json,
    queue_settings,
)
from worker.request import JobOptions, Priority, SourceArgument, SubmitRequest

MAX_WAIT_S = 86_400.0

PriorityOption = Annotated[Priority, typer.Option(help="Workers take chunks of urgent jobs first.")]

_TRAIN_WORKER: Final = "train_worker"
"""Key of the context's object, filled in by :mod:`hangtag.cli`, for the module of another room that runs cycles."""


class WorkerQueue(StrEnum):
    """What a worker takes."""

    LABEL = "label"
    TRAIN = "train"


def register(app: typer.Typer) -> None:
    """Add the queue's commands to the one command line."""
    app.command("submit")(submit_command)
    app.command("watch")(watch_command)
    app.command("worker")(worker_command)
    register_jobs(app)


@takes(options=JobOptions)
def submit_command(
    model: ModelsOption,
    source: SourceArgument,
    job: Annotated[
        str | None,
        typer.Option(help="Name of the job. Default: the name of the source, with the time.", show_default=False),
    ] = None,
    jobs: JobsOption = None,
    redis: RedisOption = None,
    priority: PriorityOption = Priority.NORMAL,
    previous: Annotated[
        str | None,
        typer.Option(metavar="JOB", help="An earlier job. A photo that is in it keeps its answer."),
    ] = None,
    as_json: JsonOption = False,
    *,
    options: JobOptions,
) -> None:
    """Submit a catalogue for workers to label: one row in, one row out, in the same order.

    The catalogue and the model are copied into the folder of jobs; the photos stay where they are: at URLs, or under a
    folder that every worker must have at the same path. The result is labels.parquet in the job's folder. A job keeps
    its model: shop@champion is looked up once, when the job is made.

    Examples:

      hangtag submit products.csv --model bundles/shop --job spring-2026

      hangtag submit photos/ --model bundles/shop --jobs /mnt/shared/jobs --redis redis://queue:6379/0

      hangtag submit urgent.csv --model shop@champion --priority high

      hangtag submit products.csv --model bundles/shop --precision 0.98

      hangtag submit urls.csv --model bundles/shop --group-column sku --previous nightly-2026-11-20
    """
    settings = queue_settings(redis, jobs)
    from worker.queue.actions import submit_and_show
    from worker.queue.submit import new_name

    name = new_name(source) if job is None else job
    request = SubmitRequest(source, models_given(model), options, name=name, previous=previous, priority=priority)
    submit_and_show(request, settings, as_json=as_json)


@takes(options=JobOptions)
def watch_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New files of this folder become jobs, each once.")],
    model: ModelsOption,
    only: Annotated[
        Only | None, typer.Option(help="Which files become jobs. Default: both.", show_default=False)
    ] = None,
    settle: Annotated[
        float, typer.Option(min=0.0, max=MAX_WAIT_S, help="Seconds that a file must stay the same before it is taken.")
    ] = SETTLE_S,
    every: Annotated[float, typer.Option(min=0.1, max=MAX_WAIT_S, help="Seconds between looks.")] = EVERY_S,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end; for cron.")] = False,
    jobs: JobsOption = None,
    redis: RedisOption = None,
    priority: PriorityOption = Priority.NORMAL,
    previous: Annotated[
        str | None,
        typer.Option(
            metavar="JOB|last",
            help="An earlier job. A photo that is in it keeps its answer. last: the last finished job of the "
            "same file.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON, one a line.")] = False,
    *,
    options: JobOptions,
) -> None:
    """Submit new files of a folder: each new catalogue becomes a job, and new photos become a job together.

    The jobs are those of hangtag submit; shop@champion is looked up for each. Several commands may watch one folder:
    each file is taken once. After a stop, the same command continues. To follow one job: hangtag jobs watch. With
    --once, exit status 1 if a file could not become part of a job.

    Examples:

      hangtag watch /mnt/inbox --model bundles/shop --previous last

      hangtag watch /mnt/inbox --model shop@champion --only catalogues --jobs /mnt/shared/jobs

      hangtag watch /mnt/inbox --model shop@champion --once --json
    """
    settings = queue_settings(redis, jobs)
    from worker.queue.inbox.inbox import submit_what_comes
    from worker.queue.inbox.request import InboxRequest

    each = SubmitRequest("", models_given(model), options, name="", previous=previous, priority=priority)
    inbox = InboxRequest(folder.resolve(), each, settle, every, only)
    if not submit_what_comes(inbox, settings, once=once, as_json=as_json):
        raise typer.Exit(ExitCode.FAILURE)


def worker_command(
    context: typer.Context,
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[CONFIG]...",
            help="With --queue train: run cycles of these settings only. Default: all that hangtag schedule asks for.",
            show_default=False,
        ),
    ] = None,
    queue: Annotated[
        WorkerQueue,
        typer.Option(
            help="label: chunks of jobs. train: cycles that hangtag schedule asks for; this needs TensorFlow."
        ),
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
    """Label submitted jobs, until told to stop. Run it under a supervisor that starts it again (systemd, Docker).

    SIGTERM: chunks in hand are finished within HANGTAG_GRACE_S (10) seconds, or handed back. Ctrl-C: they are finished.
    celery -A worker worker does the same with HANGTAG_REDIS_URL and HANGTAG_JOBS. With --queue train it runs retraining
    cycles, one at a time, and takes no chunks; a cycle that was stopped continues when a worker is there again.

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
