"""How queued jobs look on a terminal."""

import json
from dataclasses import asdict

import pyarrow as pa
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from models.errors import HangtagError, StoppedError
from models.terminal import Console, print_table, rate_text
from models.text import number_of
from worker.job.job import Job
from worker.job.jobs import Jobs
from worker.job.model import read_note
from worker.job.receipt import died_words
from worker.queue.control import Control, QueueStatus, look_around, watch
from worker.queue.redis_state import RedisState
from worker.results.progress import JobProgress, JobState, ProgressReader

_COLOURS = {
    JobState.WAITING: "yellow",
    JobState.RUNNING: "cyan",
    JobState.MERGING: "cyan",
    JobState.FINISHED: "green",
    JobState.CANCELLED: "red",
}

Row = tuple[str, Job, JobProgress]


def read_rows(jobs: Jobs, errors: Console) -> list[Row]:
    """Every job with its progress, oldest first; one that cannot be read is named on stderr."""
    rows: list[Row] = []
    with errors.status("Reading jobs"):
        for name in jobs.names():
            try:
                job = jobs.get(name)
                rows += [(name, job, ProgressReader(job).read())] if job else []
            except (HangtagError, OSError, pa.ArrowException) as error:
                errors.print(f"{name}: {error}", style="red", markup=False, soft_wrap=True)
    return sorted(rows, key=lambda row: row[1].spec.created_at)


def print_jobs(rows: list[Row], place: str, *, as_json: bool) -> None:
    """Print a table with a job a row, the newest first, or a JSON list, the oldest first."""
    if as_json:
        print(json.dumps([job_record(*row) for row in rows], indent=1))
        return
    console = Console()
    if not rows:
        console.print(f"No jobs in {escape(place)}; hangtag submit makes one.", highlight=False)
        return
    table = Table()
    table.add_column("job")
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
            escape(", ".join(map(_called, job.questions))),
        )
    print_table(table, console, spare=("model", "rows/s", "time left"))


def print_job(name: str, job: Job, state: RedisState, *, as_json: bool) -> None:
    """Print all that is known of one job."""
    progress, status = ProgressReader(job).read(), look_around(name, state)
    if as_json:
        found = {"redis_error": status.redis_error, "trouble": status.trouble}
        workers = [asdict(worker) for worker in status.workers]
        print(json.dumps({**job_record(name, job, progress), **found, "workers": workers}, indent=1))
        return
    console = Console()
    print_jobs([(name, job, progress)], "", as_json=False)
    spec = job.spec
    facts = {
        "Catalogue": f"{spec.source}, column {spec.image_column}, photos under {spec.image_root}",
        **{title: fact for question in job.questions for title, fact in _of_model(question).items()},
        "Submitted": f"{spec.created_at}, priority {spec.priority}",
        "Chunks": f"{spec.chunks:,} of {number_of(spec.chunk_rows, 'row')}",
        "Folder": job.storage.place,
    }
    if progress.deaths:
        facts["Crashes"] = died_words(progress.deaths)
    if job.retry().number:
        facts["Retries"] = f"{job.retry().number} of failed rows"
    for title, fact in facts.items():
        console.print(f"[bold]{title}[/bold]: {escape(fact)}", highlight=False, soft_wrap=True)
    if status.redis_error:
        console.print(f"Redis cannot be used: {escape(status.redis_error)}", style="yellow", highlight=False)
    if progress.is_over:
        return
    if not status.redis_error and not status.workers:
        console.print("No worker is there; start one with hangtag worker.", style="yellow", highlight=False)
    for worker in status.workers:
        text = f"{worker.owner.host}, process {worker.owner.pid}, slots: {worker.slots}, Hangtag {worker.version}"
        console.print(f"[bold]Worker[/bold]: {escape(text)}, jobs in {escape(worker.jobs)}", highlight=False)
    for host, message in status.trouble.items():
        console.print(f"[red]Trouble[/red] on {escape(host)}: {escape(message)}", highlight=False)


def _called(question: Job) -> str:
    """The model of a job or a question, as its page names it."""
    named = read_note(question).named
    return named.version if named else question.model.reference.partition("/")[0]


def _of_model(question: Job) -> dict[str, str]:
    model, named, of = question.model, read_note(question).named, f" of {question.name}" if question.name else ""
    facts = {
        f"Model{of}": f"{model.reference} ({f'{named.words}, ' if named else ''}from {model.path})",
        f"Rule{of}": model.rule,
    }
    if question.choice and question.choice.because:
        facts[f"Variant{of}"] = f"{model.variant}, chosen on {question.choice.because}"
    return facts


def job_record(name: str, job: Job, progress: JobProgress) -> dict[str, object]:
    """A job as in ``--json``."""
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


def watch_with_progress(name: str, job: Job, control: Control) -> JobProgress:
    """Follow a job with a bar on stderr, and a line for each new remark.

    Raises:
        StoppedError: somebody pressed Ctrl-C; the job goes on.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        bar := BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="cyan"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[failed]}", style="red"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        task = bars.add_task(name, total=None, rate="", left="", failed="")
        jobs_id, said = control.jobs.identity(), set[str]()

        def show(progress: JobProgress, status: QueueStatus) -> None:
            bar.finished_style = "red" if progress.all_failed else "bar.finished"
            bars.update(
                task,
                description=f"{name}: {progress.state}",
                total=progress.rows,
                completed=progress.done,
                rate=f"{rate_text(progress.rate)} images/s" if progress.rate else "",
                left=_duration(progress.seconds_left),
                failed=f"{progress.failed:,} failed" if progress.failed else "",
            )
            if not progress.is_over:
                for line in remarks(status, jobs_id):
                    if line not in said:
                        said.add(line)
                        bars.console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

        try:
            return watch(name, job, control, show)
        except KeyboardInterrupt as stopped:
            msg = f"Watching stopped; workers go on with the job. hangtag jobs watch {name} looks again."
            raise StoppedError(msg) from stopped


def remarks(status: QueueStatus, jobs_id: str) -> list[str]:
    """What hinders a job, a line each."""
    if status.redis_error:
        return [f"Redis cannot be used ({status.redis_error}); the job goes on when it is back."]
    if not status.workers:
        return ["No worker is there; start one with hangtag worker, with the same --redis and --jobs."]
    elsewhere = [
        f"The worker on {w.owner.host} looks for jobs in {w.jobs}, which is not this folder; share one, see --jobs."
        for w in status.workers
        if w.jobs_id != jobs_id
    ]
    return elsewhere + [f"Trouble on {host}: {message}" for host, message in status.trouble.items()]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
