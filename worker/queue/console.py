"""Terminal output of ``hangtag submit`` and ``hangtag jobs``."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

import pyarrow as pa
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from models.errors import HangtagError, JobError, StoppedError
from models.terminal import Console, print_table, rate_text
from models.text import number_of
from worker.console import lead, print_receipt, print_review, unfound_words, unlabelled_words
from worker.job.job import Job
from worker.job.jobs import Jobs, open_jobs
from worker.job.model import read_note
from worker.job.receipt import JobReceipt, died_words, job_receipt
from worker.queue.control import Control, QueueStatus, cancel, look_around, open_control, resume, retry, watch
from worker.queue.settings import QueueSettings, read_settings
from worker.queue.submit import NOT_CHECKED, Submitted, submit
from worker.request import SubmitRequest
from worker.results.progress import JobProgress, JobState, ProgressReader

_COLOURS: Final = {
    JobState.WAITING: "yellow",
    JobState.RUNNING: "cyan",
    JobState.MERGING: "cyan",
    JobState.FINISHED: "green",
    JobState.CANCELLED: "red",
    JobState.FAILED: "red",
}

Row = tuple[str, Job, JobProgress]


def submit_job(request: SubmitRequest, settings: QueueSettings, *, as_json: bool) -> None:
    """Write a job, queue its first chunks, and print the next command."""
    with open_control(settings) as control:
        control.check_redis()
        submitted = _submit_with_progress(request, control)
        for one in submitted.models:
            style = "" if one.question.model.is_promised else "yellow"
            Console(stderr=True).say(lead(one.question.name) + one.rule, style)
        words = submitted.words
        if as_json:
            Console().print_json(data=submitted.record)
        else:
            spec, what = submitted.job.spec, "Submitted" if submitted.new else "Was submitted before"
            size = f"{number_of(spec.rows, 'row')} in {number_of(spec.chunks, 'chunk')}"
            Console().print(f"{what}: [bold]{escape(submitted.name)}[/bold], {size}")
            words = (*words, f"Watch it with: {_command('watch', submitted.name, settings)}")
        for line in words:
            Console(stderr=as_json).say(line, "yellow" if line.startswith(NOT_CHECKED) else "")
        _supply(control, submitted.name)


def _submit_with_progress(request: SubmitRequest, control: Control) -> Submitted:
    columns = (SpinnerColumn(), TextColumn("Reading the catalogue, rows so far: {task.completed:,.0f}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("rows", total=None)
        try:
            return submit(request, control.jobs, lambda rows: bars.update(task, completed=rows))
        except KeyboardInterrupt as stopped:
            place = control.jobs.storage(request.name).place
            msg = f"Stopped; no job was submitted. Some rows may already be in {place}: delete that folder."
            raise StoppedError(msg) from stopped


def _supply(control: Control, name: str) -> None:
    job = control.jobs.find(name)
    if job.cancelled:
        how = "has failed" if job.failure else "is cancelled"
        lines = [f"The job {how}; {_command('resume', name, control.settings)} continues it."]
    else:
        status = look_around(name, control.state, lambda: control.reconciler.supply(name))
        lines = remarks(status, control.jobs.identity())
    for line in lines:
        Console(stderr=True).say(line, "yellow")


def _command(verb: str, name: str, settings: QueueSettings) -> str:
    usual = read_settings()
    hidden = "…" if "@" in settings.redis_url else settings.redis_url
    needs_redis = verb != "cancel" and settings.redis_url != usual.redis_url
    return f"hangtag jobs {verb} {name}{_jobs_option(settings)}" + (f" --redis {hidden}" if needs_redis else "")


def _jobs_option(settings: QueueSettings) -> str:
    return f" --jobs {shlex.quote(settings.jobs)}" if settings.jobs != read_settings().jobs else ""


def remarks(status: QueueStatus, jobs_id: str) -> list[str]:
    """Reasons why a job does not progress, one per line."""
    if status.redis_error:
        return [f"Redis cannot be used ({status.redis_error}); the job continues when Redis is back."]
    if not status.workers:
        return ["No worker is running; start one with hangtag worker and the same --redis and --jobs."]
    elsewhere = [
        f"The worker on {w.owner.host} uses another folder of jobs, {w.jobs}; check --jobs."
        for w in status.workers
        if w.jobs_id != jobs_id
    ]
    return elsewhere + [f"Trouble on {host}: {message}" for host, message in status.trouble.items()]


def list_jobs(settings: QueueSettings, *, as_json: bool) -> None:
    """Print all jobs. Needs no Redis."""
    jobs = open_jobs(settings.jobs)
    rows = read_rows(jobs, Console(stderr=True))
    if as_json:
        print(json.dumps([job_record(*row) for row in rows], indent=1))
    elif rows:
        print_jobs(rows)
        for name, _, progress in rows:
            if progress.reason:
                Console(stderr=True).say(_failed_words(name, progress, settings), "yellow")
    else:
        Console().say(f"No jobs in {jobs.place}; create one with hangtag submit.")


def read_rows(jobs: Jobs, errors: Console) -> list[Row]:
    """Read all jobs and their progress, oldest first. Prints the errors of unreadable jobs."""
    rows: list[Row] = []
    with errors.status("Reading jobs"):
        for name in jobs.names():
            try:
                job = jobs.get(name)
                rows += [(name, job, ProgressReader(job).read())] if job else []
            except (HangtagError, OSError, pa.ArrowException) as error:
                errors.print(f"{name}: {error}", style="red", markup=False, soft_wrap=True)
    return sorted(rows, key=lambda row: row[1].spec.created_at)


def print_jobs(rows: list[Row]) -> None:
    """Print a table of jobs, newest first."""
    table = Table()
    table.add_column("job", no_wrap=True)  # people copy the name
    table.add_column("state", no_wrap=True)
    for title in ("rows done", "", "rows/s", "time left", "failed"):
        table.add_column(title, justify="right")
    table.add_column("model")
    for name, job, progress in reversed(rows):
        table.add_row(
            escape(name),
            Text(progress.state.value, style="red" if progress.all_failed else _COLOURS[progress.state]),
            f"{progress.done:,} / {progress.rows:,}",
            f"{progress.done / progress.rows:.0%}",
            rate_text(progress.rate) if progress.rate else "",
            _duration(progress.seconds_left),
            f"{progress.failed:,}",
            escape(", ".join(map(_model_name, job.questions))),
        )
    print_table(table, Console(), spare=("model", "rows/s", "time left", "rows done"))


def job_record(name: str, job: Job, progress: JobProgress) -> dict[str, object]:
    """A job's fields in the output of ``--json``."""
    left = progress.seconds_left
    models = {
        question.name: {"model": question.model.reference, "rule": question.model.rule} for question in job.questions
    }
    return {
        "job": name,
        **asdict(progress),
        "seconds_left": left and round(left, 1),
        **models.get("", {"questions": models}),
        "source": job.spec.source,
        "priority": job.spec.priority,
        "created_at": job.spec.created_at,
        "folder": job.storage.place,
    }


def show_job(name: str, settings: QueueSettings, *, as_json: bool) -> None:
    """Print a job's state, models and workers, and its receipt if it is finished."""
    with open_control(settings) as control:
        job = control.jobs.find(name)
        progress, status = ProgressReader(job).read(), look_around(name, control.state)
        hindrances = [] if progress.is_over else remarks(status, control.jobs.known_identity())
        hindrances += [_failed_words(name, progress, settings)] if progress.reason else []
    receipt = job_receipt(job) if progress.state is JobState.FINISHED else None
    if as_json:
        queue = {"redis_error": status.redis_error, "trouble": status.trouble, "workers": status.workers}
        record = {**job_record(name, job, progress), **queue, "receipt": receipt and receipt.model_dump(mode="json")}
        print(json.dumps(record, indent=1, default=asdict))
        return
    print_jobs([(name, job, progress)])
    workers = [
        f"{one.owner.host}, process {one.owner.pid}, slots: {one.slots}, Hangtag {one.version}, jobs in {one.jobs}"
        for one in (() if progress.is_over else status.workers)
    ]
    for title, fact in [*_facts(job, progress), *(("Worker", worker) for worker in workers)]:
        Console().print(f"[bold]{title}[/bold]: {escape(fact)}", highlight=False, soft_wrap=True)
    for line in hindrances:
        Console().say(line, "yellow")
    if receipt:
        _show_receipt(name, job, receipt, settings)
        if words := _unlabelled(name, job, receipt, settings):
            Console(stderr=True).say(words, "yellow")


def _failed_words(name: str, progress: JobProgress, settings: QueueSettings) -> str:
    again = _command("resume", name, settings)
    return f"The results of {name} cannot be merged: {progress.reason} Fix this, and run {again}."


def _facts(job: Job, progress: JobProgress) -> Iterator[tuple[str, str]]:
    spec = job.spec
    yield "Catalogue", f"{spec.source}, column {spec.image_column}, photos under {spec.image_root}"
    for question in job.questions:
        model, named, of = question.model, read_note(question).named, f" of {question.name}" if question.name else ""
        yield f"Model{of}", f"{model.reference} ({f'{named.words}, ' if named else ''}from {model.path})"
        if not progress.is_over:
            yield f"Rule{of}", model.rule
    yield "Submitted", f"{spec.created_at}, priority {spec.priority}"
    yield "Chunks", f"{spec.chunks:,} of {number_of(spec.chunk_rows, 'row')}"
    yield "Folder", job.storage.place
    if progress.deaths:
        yield "Crashes", died_words(progress.deaths)
    if job.retry().number:
        yield "Retries", f"{job.retry().number} of failed rows"


def _model_name(question: Job) -> str:
    named = read_note(question).named
    return named.version if named else question.model.reference.partition("/")[0]


def watch_job(name: str, settings: QueueSettings, *, as_json: bool = False) -> None:
    """Follow a job to its end, then print its receipt."""
    with open_control(settings) as control:
        job = control.jobs.find(name)
        progress = _watch_with_progress(name, job, control)
    if progress.reason:
        raise JobError(_failed_words(name, progress, settings))
    receipt = job_receipt(job)
    if progress.state is JobState.CANCELLED or receipt is None:
        rows, go_on = number_of(progress.done, "row"), _command("resume", name, settings)
        msg = f"{name} is cancelled, with {rows} done; {go_on} continues it."
        raise JobError(msg)
    if as_json:
        print(receipt.model_dump_json(indent=1))
    else:
        _show_receipt(name, job, receipt, settings)
    if words := _unlabelled(name, job, receipt, settings):
        raise JobError(words)


def _watch_with_progress(name: str, job: Job, control: Control) -> JobProgress:
    columns = (
        TextColumn("{task.description}", markup=False),
        bar := BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}", style="cyan"),
        TextColumn("{task.fields[failed]}", style="red"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        task = bars.add_task(name, total=None, pace="", failed="")
        jobs_id, said = control.jobs.identity(), set[str]()

        def show(progress: JobProgress, status: QueueStatus) -> None:
            bar.finished_style = "red" if progress.all_failed else "bar.finished"
            bars.update(
                task,
                description=f"{name}: {progress.state}",
                total=progress.rows,
                completed=progress.done,
                pace=f"{rate_text(progress.rate)} images/s {_duration(progress.seconds_left)}" if progress.rate else "",
                failed=f"{progress.failed:,} failed" if progress.failed else "",
            )
            new = [] if progress.is_over else [line for line in remarks(status, jobs_id) if line not in said]
            said.update(new)
            for line in new:
                bars.console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

        try:
            return watch(name, job, control, show)
        except KeyboardInterrupt as stopped:
            msg = f"Stopped watching; workers continue the job. Watch it again with hangtag jobs watch {name}."
            raise StoppedError(msg) from stopped


def _show_receipt(name: str, job: Job, receipt: JobReceipt, settings: QueueSettings) -> None:
    print_receipt(receipt, Console())
    print_review(receipt, job.storage.place, f"{name}{_jobs_option(settings)}", Console())


def _unlabelled(name: str, job: Job, receipt: JobReceipt, settings: QueueSettings) -> str:
    unfound, again = unfound_words(receipt, job), _command("retry-failed", name, settings)
    instead = f"{unfound}, and submit another job. Or copy photos to these paths, and run {again}"
    return unlabelled_words(receipt, instead if unfound else f"see error_message in {receipt.output}")


def resume_job(name: str, settings: QueueSettings) -> None:
    """Continue a cancelled or failed job: queue unfinished chunks."""
    with open_control(settings) as control:
        job = control.jobs.find(name)
        if job_receipt(job):
            Console().say(f"{name} is finished; {_command('show', name, settings)} shows its receipt.")
            return
        control.check_redis()
        Console().say(f"{name} continues: {resume(job):,} of {job.spec.rows:,} rows remain.")
        _supply(control, name)


def cancel_job(name: str, settings: QueueSettings) -> None:
    """Stop a job; finished rows are kept."""
    job = open_jobs(settings.jobs).find(name)
    cancel(name, job)
    done = job.spec.rows - sum(map(job.rows_in_chunk, job.missing_chunks()))
    kept = f"Cancelled; the results of {done:,} of {number_of(job.spec.rows, 'row')} are kept"
    Console().say(f"{kept}. {_command('resume', name, settings)} continues the job.")


def retry_job(name: str, settings: QueueSettings) -> None:
    """Retry failed rows that may succeed now."""
    with open_control(settings) as control:
        control.check_redis()
        kinds = retry(control.jobs.find(name))
        if not kinds:
            Console().say("No failed row is worth another try.")
            return
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        follow = _command("watch", name, settings)
        Console().say(f"Trying {number_of(kinds.total(), 'row')} again: {counts}. Watch it with: {follow}")
        _supply(control, name)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
