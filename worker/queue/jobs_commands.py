"""``hangtag jobs``."""

from typing import Annotated

import typer

from worker.queue.options import JobsOption, JsonOption, RedisOption, queue_settings

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job, as hangtag jobs shows it.")]
JobJsonOption = Annotated[bool, typer.Option("--json", help="Print the job's state as JSON instead.")]
ReceiptJsonOption = Annotated[
    bool, typer.Option("--json", help="Print the receipt as JSON instead of a table; the progress goes to stderr.")
]


def register(app: typer.Typer) -> None:
    """Add the group to the one command line."""
    jobs = typer.Typer(
        help="Watch, cancel, resume and retry queued jobs. Without a command: a table.\n\nExamples:\n\n"
        "  hangtag jobs\n\n  hangtag jobs watch spring-2026\n\n  hangtag jobs retry-failed spring-2026",
        invoke_without_command=True,
        rich_markup_mode="rich",
    )
    jobs.callback()(jobs_command)
    jobs.command("show")(show_command)
    jobs.command("watch")(watch_command)
    jobs.command("resume")(resume_command)
    jobs.command("cancel")(cancel_command)
    jobs.command("retry-failed")(retry_failed_command)
    jobs.command("receipt")(receipt_command)
    app.add_typer(jobs, name="jobs")


def jobs_command(context: typer.Context, jobs: JobsOption = None, as_json: JsonOption = False) -> None:
    """A table of all jobs, when no command follows."""
    if context.invoked_subcommand is not None:
        if jobs is not None or as_json:
            msg = f"options of {context.invoked_subcommand} stand after it: hangtag jobs {context.invoked_subcommand} …"
            raise typer.BadParameter(msg)
        return
    settings = queue_settings(None, jobs)
    from worker.queue.actions import list_jobs

    list_jobs(settings, as_json=as_json)


def show_command(
    job: JobArgument, jobs: JobsOption = None, redis: RedisOption = None, as_json: JsonOption = False
) -> None:
    """Show everything about a job, and who works on it.

    Examples:
      hangtag jobs show spring-2026
    """
    settings = queue_settings(redis, jobs)
    from worker.queue.actions import show_job

    show_job(job, settings, as_json=as_json)


def watch_command(
    job: JobArgument, jobs: JobsOption = None, redis: RedisOption = None, as_json: ReceiptJsonOption = False
) -> None:
    """Follow a job to its end, and queue what is missing meanwhile. Ctrl-C stops the watching, not the job.

    Exit status 1 if no photo at all could be labelled, or the job is cancelled.

    Examples:
      hangtag jobs watch spring-2026
    """
    settings = queue_settings(redis, jobs)
    from worker.queue.actions import watch_job

    watch_job(job, settings, as_json=as_json)


def resume_command(
    job: JobArgument, jobs: JobsOption = None, redis: RedisOption = None, as_json: JobJsonOption = False
) -> None:
    """Continue a cancelled job, or queue missing chunks of a running job at once.

    Workers and hangtag jobs watch queue missing chunks once a second anyway.

    Examples:
      hangtag jobs resume spring-2026
    """
    settings = queue_settings(redis, jobs)
    from worker.queue.actions import resume_job

    resume_job(job, settings, as_json=as_json)


def cancel_command(job: JobArgument, jobs: JobsOption = None, as_json: JobJsonOption = False) -> None:
    """Stop a job within seconds; what is done is kept, and hangtag jobs resume goes on from there.

    Examples:
      hangtag jobs cancel spring-2026
    """
    settings = queue_settings(None, jobs)
    from worker.queue.actions import cancel_job

    cancel_job(job, settings, as_json=as_json)


def retry_failed_command(
    job: JobArgument, jobs: JobsOption = None, redis: RedisOption = None, as_json: JobJsonOption = False
) -> None:
    """Try again those failed rows of a finished job that may work another time: download, timeout, crashed, missing.

    All other rows stay as they are. The result and the receipt are written again.

    Examples:
      hangtag jobs retry-failed spring-2026
    """
    settings = queue_settings(redis, jobs)
    from worker.queue.actions import retry_job

    retry_job(job, settings, as_json=as_json)


def receipt_command(job: JobArgument, jobs: JobsOption = None, as_json: JsonOption = False) -> None:
    """Print a finished job's receipt, and where its page and its result are.

    Examples:
      hangtag jobs receipt spring-2026

      hangtag jobs receipt spring-2026 --json
    """
    settings = queue_settings(None, jobs)
    from worker.queue.actions import show_receipt

    show_receipt(job, settings, as_json=as_json)
