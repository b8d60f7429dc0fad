"""What the queue's commands do and print."""

import json
import shlex

import pyarrow as pa
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn

from models.errors import HangtagError, JobError, StoppedError
from models.terminal import Console
from models.text import number_of
from worker.console import print_receipt, say_rule, unfound_words, unlabelled_words
from worker.job.job import CANCELLED, Job, begin_retry
from worker.job.receipt import PAGE_FILE, JobReceipt, job_receipt
from worker.queue.console import job_record, print_job, print_jobs, read_rows, remarks, watch_with_progress
from worker.queue.control import Control, look_around, open_control
from worker.queue.settings import QueueSettings, read_settings
from worker.queue.submit import Submitted, submit
from worker.request import SubmitRequest
from worker.results.progress import JobProgress, JobState, ProgressReader


def submit_and_show(request: SubmitRequest, settings: QueueSettings, *, as_json: bool) -> None:
    """Write a job, queue its first chunks, and say how to go on."""
    with open_control(settings) as control:
        control.check_redis()
        submitted = _submit_with_progress(request, control)
        if as_json:
            Console().print_json(data=submitted.record)
        else:
            what = "Submitted" if submitted.new else "Was submitted before"
            state = "" if submitted.new else f"; {_state_words(submitted.job)}"
            Console().print(f"{what}: [bold]{escape(submitted.name)}[/bold], {submitted.size}{state}")
            models = (one.found.words for one in submitted.models)
            said = (*models, submitted.variant_words, submitted.column_words, submitted.carried)
            for words in filter(None, said):
                Console().say(words)
            Console().say(f"Watch it with: {_command('watch', submitted.name, settings)}")
        if submitted.unseen_words:
            Console(stderr=True).say(submitted.unseen_words, "yellow")
        for question, one in zip(submitted.job.questions, submitted.models, strict=True):
            say_rule(question.model, Console(stderr=True), one.found.path, question.name)
        _supply(control, submitted.name)


def _state_words(job: Job) -> str:
    """How a job stands: ``finished, 3 rows failed``, or ``running, 128 of 600 rows done``."""
    try:
        now = ProgressReader(job).read()
    except (HangtagError, OSError, pa.ArrowException):  # what supplies it says so
        return "it cannot be read"
    if now.state is JobState.FINISHED:
        return f"finished, {number_of(now.failed, 'row')} failed" if now.failed else "finished"
    return f"{now.state}, {now.done:,} of {number_of(now.rows, 'row')} done"


def _submit_with_progress(request: SubmitRequest, control: Control) -> Submitted:
    columns = (SpinnerColumn(), TextColumn("Reading the catalogue, rows so far: {task.completed:,.0f}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("rows", total=None)
        try:
            return submit(request, control.jobs, lambda rows: bars.update(task, completed=rows))
        except KeyboardInterrupt as stopped:
            place = control.jobs.storage(request.name).place
            msg = f"Stopped; nothing was submitted. Rows that were read may be in {place}: delete that folder."
            raise StoppedError(msg) from stopped


def _supply(control: Control, name: str) -> None:
    """Queue missing chunks, and say what hinders the job."""
    if control.jobs.find(name).cancelled:
        lines = [f"It is cancelled; {_command('resume', name, control.settings)} goes on with it."]
    else:
        status = look_around(name, control.state, lambda: control.reconciler.supply(name))
        lines = remarks(status, control.jobs.identity())
    for line in lines:
        Console(stderr=True).say(line, "yellow")


def _command(verb: str, name: str, settings: QueueSettings) -> str:
    """The command to type next, with the options that the environment does not set."""
    usual = read_settings()
    jobs = f" --jobs {shlex.quote(settings.jobs)}" if settings.jobs != usual.jobs else ""
    asks_redis = verb in {"watch", "resume"} and settings.redis_url != usual.redis_url
    return f"hangtag jobs {verb} {name}{jobs}" + (f" --redis {settings.redis_hint}" if asks_redis else "")


def list_jobs(settings: QueueSettings, *, as_json: bool) -> None:
    """The table of jobs; Redis is not needed."""
    with open_control(settings) as control:
        print_jobs(read_rows(control.jobs, Console(stderr=True)), control.jobs.place, as_json=as_json)


def show_job(name: str, settings: QueueSettings, *, as_json: bool) -> None:
    """One job."""
    with open_control(settings) as control:
        print_job(name, control.jobs.find(name), control.state, as_json=as_json)


def watch_job(name: str, settings: QueueSettings, *, as_json: bool = False) -> None:
    """Follow a job to its end, then print its receipt.

    Raises:
        JobError: it is cancelled, or no photo at all could be labelled.
    """
    with open_control(settings) as control:
        progress = watch_with_progress(name, job := control.jobs.find(name), control)
    if progress.state is JobState.CANCELLED:
        raise _cancelled(name, progress, settings)
    receipt = _print_receipt(name, job, settings, as_json=as_json)
    if words := _unlabelled(name, job, receipt, settings):
        raise JobError(words)


def _cancelled(name: str, progress: JobProgress, settings: QueueSettings) -> JobError:
    rows, resume = number_of(progress.done, "row"), _command("resume", name, settings)
    return JobError(f"{name} is cancelled, with {rows} done; {resume} goes on.")


def resume_job(name: str, settings: QueueSettings, *, as_json: bool) -> None:
    """Take a cancellation back, and queue what is missing."""
    with open_control(settings) as control:
        job = control.jobs.find(name)
        if job_receipt(job):
            words = f"{name} is finished; {_command('receipt', name, settings)} shows it."
            _tell(name, job, words, as_json=as_json)
            return
        control.check_redis()
        job.storage.delete(CANCELLED)
        missing = sum(map(job.rows_in_chunk, job.missing_chunks()))
        words = f"{name} goes on: {missing:,} of {job.spec.rows:,} rows are left to do."
        _tell(name, job, words, as_json=as_json)
        _supply(control, name)


def cancel_job(name: str, settings: QueueSettings, *, as_json: bool) -> None:
    """Mark a job as cancelled; workers look for the mark."""
    with open_control(settings) as control:
        job = control.jobs.find(name)
        if job_receipt(job):
            msg = f"{name} is finished, there is nothing to cancel."
            raise JobError(msg)
        job.storage.commit(CANCELLED, b"")
        if job_receipt(job):  # it was being merged at that moment
            job.storage.delete(CANCELLED)
        done = job.spec.rows - sum(map(job.rows_in_chunk, job.missing_chunks()))
        kept = f"Cancelled with {done:,} of {number_of(job.spec.rows, 'row')} done, which are kept"
        _tell(name, job, f"{kept}; {_command('resume', name, settings)} goes on.", as_json=as_json)


def retry_job(name: str, settings: QueueSettings, *, as_json: bool) -> None:
    """Begin a retry."""
    with open_control(settings) as control:
        control.check_redis()
        job = control.jobs.find(name)
        receipt = job_receipt(job)
        if receipt is None:
            msg = "Expected a finished job, this one is not; wait for it, or hangtag jobs resume it."
            raise JobError(msg)
        kinds = begin_retry(job, receipt.retry + 1)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        watch = _command("watch", name, settings)
        words = f"Trying {number_of(kinds.total(), 'row')} again: {counts}. Watch it with: {watch}"
        nothing = "It has no failed rows that may succeed another time."
        _tell(name, job, words if kinds else nothing, as_json=as_json, retrying=dict(kinds))
        if kinds:
            _supply(control, name)


def _tell(name: str, job: Job, words: str, *, as_json: bool, **more: object) -> None:
    """Say what was done to a job, or print how it stands now as JSON."""
    if as_json:
        print(json.dumps({**job_record(name, job, ProgressReader(job).read()), **more}, indent=1))
    else:
        Console().say(words)


def show_receipt(name: str, settings: QueueSettings, *, as_json: bool) -> None:
    """A finished job's receipt."""
    with open_control(settings) as control:
        job = control.jobs.find(name)
    receipt = _print_receipt(name, job, settings, as_json=as_json)
    if words := _unlabelled(name, job, receipt, settings):
        Console(stderr=True).say(words, "yellow")


def _print_receipt(name: str, job: Job, settings: QueueSettings, *, as_json: bool) -> JobReceipt:
    receipt = job_receipt(job)
    if receipt is None and job.cancelled:
        raise _cancelled(name, ProgressReader(job).read(), settings)
    if receipt is None:
        msg = f"{name} is not finished yet; watch it with {_command('watch', name, settings)}"
        raise JobError(msg)
    if as_json:
        print(receipt.model_dump_json(indent=1))
    else:
        print_receipt(receipt, Console())
        page = f"{escape(job.storage.place)}/{PAGE_FILE}"
        Console().print(f"Page: [bold]{page}[/bold]", highlight=False, soft_wrap=True)
    return receipt


def _unlabelled(name: str, job: Job, receipt: JobReceipt, settings: QueueSettings) -> str:
    """That no row could be labelled, and what to do; empty if one could be."""
    unfound, retry = unfound_words(receipt, job), _command("retry-failed", name, settings)
    instead = f"{unfound}, and submit the job under another name; or {retry} once the photos are there"
    return unlabelled_words(receipt, instead if unfound else f"see error_message in {receipt.output}")
