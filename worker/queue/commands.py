"""``hangtag submit``, ``hangtag jobs`` and ``hangtag worker``."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from models.options import JsonOption, ModelsOption, takes
from models.process import usable_cores, use_own_temporary_folder
from models.reference import models_given
from worker.queue.options import (
    JobsOption,
    QueueOptions,
    RedisOption,
    logs_json,
    queue_settings,
)
from worker.request import JobOptions, Priority, SourceArgument, SubmitRequest

if TYPE_CHECKING:
    from worker.queue.settings import QueueSettings

_TRAIN_WORKER: Final = "train_worker"
"""Key in the Click context for the training worker's module, set by :mod:`hangtag.cli`."""

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job, as hangtag jobs shows it.")]
ReceiptJsonOption = Annotated[
    bool, typer.Option("--json", help="Print the receipt as JSON instead of a table; the progress goes to stderr.")
]


class WorkerQueue(StrEnum):
    """The queue that a worker serves."""

    LABEL = "label"
    TRAIN = "train"


JOBS: Final = typer.Typer(
    help="Watch, cancel, resume and retry queued jobs. Without a command, prints a table.\n\nExamples:\n\n"
    "  hangtag jobs\n\n  hangtag jobs watch spring-2026\n\n  hangtag jobs retry-failed spring-2026",
    invoke_without_command=True,
    rich_markup_mode="rich",
)


@takes(options=JobOptions, queue=QueueOptions)
def submit_command(
    model: ModelsOption,
    source: SourceArgument,
    job: Annotated[
        str | None,
        typer.Option(help="Name of the job. Default: the source's name and the time.", show_default=False),
    ] = None,
    priority: Annotated[Priority, typer.Option(help="Workers take chunks of urgent jobs first.")] = Priority.NORMAL,
    previous: Annotated[
        str | None,
        typer.Option(metavar="JOB", help="Reuse the labels of this earlier job for identical photos."),
    ] = None,
    as_json: JsonOption = False,
    *,
    options: JobOptions,
    queue: QueueOptions,
) -> None:
    """Submit a catalogue for workers to label: one row in, one row out, in the same order.

    Copies the catalogue and the model into the folder of jobs, where workers also write the result, labels.parquet.
    Photos stay at their URLs, or under a folder that every worker has at the same path.

    Examples:

      hangtag submit products.csv --model bundles/shop --job spring-2026

      hangtag submit photos/ --model bundles/shop --jobs /mnt/shared/jobs --redis redis://queue:6379/0

      hangtag submit urls.csv --model bundles/shop --group-column sku --previous nightly-2026-11-20
    """
    settings = queue.settings()
    from worker.queue.console import submit_job
    from worker.queue.submit import new_name

    name = new_name(source) if job is None else job
    request = SubmitRequest(source, models_given(model), options, name=name, previous=previous, priority=priority)
    submit_job(request, settings, as_json=as_json)


@JOBS.callback()
def jobs_command(context: typer.Context, jobs: JobsOption = None, as_json: JsonOption = False) -> None:
    """Print a table of all jobs if no command follows."""
    if context.invoked_subcommand is not None:
        if jobs is not None or as_json:
            msg = f"options must follow {context.invoked_subcommand}: hangtag jobs {context.invoked_subcommand} …"
            raise typer.BadParameter(msg)
        return
    settings = queue_settings(None, jobs)
    from worker.queue.console import list_jobs

    list_jobs(settings, as_json=as_json)


@JOBS.command("show")
@takes(queue=QueueOptions)
def show_command(job: JobArgument, as_json: JsonOption = False, *, queue: QueueOptions) -> None:
    """Show a job's state, models and workers, and its receipt if it is finished.

    Examples:
      hangtag jobs show spring-2026

      hangtag jobs show spring-2026 --json
    """
    settings = queue.settings()
    from worker.queue.console import show_job

    show_job(job, settings, as_json=as_json)


@JOBS.command("watch")
@takes(queue=QueueOptions)
def watch_command(job: JobArgument, as_json: ReceiptJsonOption = False, *, queue: QueueOptions) -> None:
    """Follow a job to its end, and print its receipt. Ctrl-C does not stop the job.

    Exit status 1 if no photo could be labelled, or the job is cancelled.

    Examples:
      hangtag jobs watch spring-2026
    """
    settings = queue.settings()
    from worker.queue.console import watch_job

    watch_job(job, settings, as_json=as_json)


@JOBS.command("resume")
@takes(queue=QueueOptions)
def resume_command(job: JobArgument, *, queue: QueueOptions) -> None:
    """Continue a cancelled or failed job, or queue unfinished chunks of a running job immediately.

    Examples:
      hangtag jobs resume spring-2026
    """
    settings = queue.settings()
    from worker.queue.console import resume_job

    resume_job(job, settings)


@JOBS.command("cancel")
def cancel_command(job: JobArgument, jobs: JobsOption = None) -> None:
    """Stop a job within seconds. Finished rows are kept for hangtag jobs resume.

    Examples:
      hangtag jobs cancel spring-2026
    """
    settings = queue_settings(None, jobs)
    from worker.queue.console import cancel_job

    cancel_job(job, settings)


@JOBS.command("retry-failed")
@takes(queue=QueueOptions)
def retry_failed_command(job: JobArgument, *, queue: QueueOptions) -> None:
    """Try failed rows of a finished job again if they may succeed now: download, timeout, crashed, missing.

    Other rows do not change.

    Examples:
      hangtag jobs retry-failed spring-2026
    """
    settings = queue.settings()
    from worker.queue.console import retry_job

    retry_job(job, settings)


def worker_command(
    context: typer.Context,
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CONFIG", help="Settings files for retraining; only with --queue train.", show_default=False
        ),
    ] = None,
    queue: Annotated[
        WorkerQueue,
        typer.Option(help="label: label jobs. train: run retrainings for hangtag schedule; needs TensorFlow."),
    ] = WorkerQueue.LABEL,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that label. Default: one per core.", show_default=False),
    ] = None,
    redis: RedisOption = None,
    jobs: JobsOption = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of /metrics for Prometheus. Default: HANGTAG_METRICS_PORT, or no metrics."
        ),
    ] = None,
) -> None:
    """Label submitted jobs until stopped. Run it under a supervisor that starts it again (systemd, Docker).

    After SIGTERM, the worker finishes its chunks within HANGTAG_GRACE_S (10) seconds, or returns them to the queue.
    After Ctrl-C, the worker finishes its chunks. With --queue train, a worker runs the retraining cycles of its
    CONFIGs, one at a time, and labels no jobs. The next worker continues an unfinished cycle.

    Examples:

      hangtag worker

      hangtag worker --workers 8 --redis redis://queue:6379/0 --jobs /mnt/shared/jobs

      hangtag worker --queue train retrain.toml
    """
    settings = queue_settings(redis, jobs, metrics_port)
    use_own_temporary_folder()
    os.environ.update(REMAP_SIGTERM="SIGQUIT")  # Celery reads this variable at import
    if queue is WorkerQueue.TRAIN:
        labelling = {"--workers": workers, "--jobs": jobs, "--metrics-port": metrics_port}
        raise typer.Exit(_train(context, settings, configs or (), labelling))
    if configs:
        msg = f"{configs[0]} is only for --queue train; labelling workers take no CONFIG"
        raise typer.BadParameter(msg)
    # numerical libraries and prometheus_client read these variables at import
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    if settings.metrics_port is not None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
    from worker.queue.start_worker import start_worker

    raise typer.Exit(start_worker(settings, workers or usable_cores(), as_json=logs_json()))


def _train(
    context: typer.Context, settings: "QueueSettings", configs: Sequence[Path], labelling: Mapping[str, object]
) -> int:
    if wrong := [option for option, value in labelling.items() if value is not None]:
        msg = f"{wrong[0]} is not for --queue train, which runs one cycle at a time"
        raise typer.BadParameter(msg)
    train_worker = import_module(context.obj[_TRAIN_WORKER])
    return int(train_worker.start_train_worker(settings, configs, as_json=logs_json()))
