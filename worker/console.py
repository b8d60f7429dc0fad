"""Prints the progress and the receipt of ``hangtag label``."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from catalogue.urls import is_url_or_data
from models.decision import UNMEASURED
from models.errors import ImageFault, JobError, StoppedError
from models.storage.storage import FolderStorage
from models.terminal import Console, RateColumn, print_table, rate_text
from models.text import number_of
from worker.job.job import RETRYABLE, Job, open_job
from worker.job.parts import Status, photos_text
from worker.job.receipt import PAGE_FILE, JobReceipt, QuestionsReceipt, Receipt, died_words
from worker.request import LabelRequest

if TYPE_CHECKING:
    from worker.labelling.process_pool import ProcessPool

_MOST_LABELS: Final = 12
_COLOURS = {Status.LABELED: "green", Status.REVIEW: "yellow", Status.FAILED: "red"}


def label_with_progress(
    request: LabelRequest,
    *,
    as_json: bool,
    processes: "ProcessPool | None" = None,
    drawing: "ProcessPool | None" = None,
) -> None:
    """Label a catalogue. Prints a progress bar on stderr, then the receipt on stdout."""
    from worker.label import job_folder, label  # not needed by the queue commands

    errors = Console(stderr=True)
    columns = (TextColumn("Labelling"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=errors, refresh_per_second=4, speed_estimate_period=10)
    bar = _Bar(progress)

    try:
        receipt = label(request, bar.show, errors.say, processes, drawing)
    except KeyboardInterrupt as stopped:
        msg = f"Stopped with {number_of(bar.done, 'row')} done; run the same command again to continue."
        raise StoppedError(msg) from stopped
    finally:
        if bar.earlier is not None:  # stop() before start() would print an empty line
            progress.stop()
    if bar.earlier is None:
        errors.print(f"All rows were done already; {escape(str(request.output))} was not changed.", style="dim")
    elif bar.earlier:
        errors.print(f"{number_of(bar.earlier, 'row')} done by an earlier run.", style="dim")
    if as_json:
        print(receipt.model_dump_json(indent=1))
    else:
        console = Console()
        print_receipt(receipt, console)
        folder = f"{request.output}.job"
        if isinstance(receipt, Receipt) and (what := _accepted_words(receipt)):
            column = escape(f"{request.options.prefix}accepted_label")
            console.print(f"Publish: [bold]{column}[/bold] {escape(what)}", highlight=False, soft_wrap=True)
        print_review(receipt, folder, shlex.quote(str(request.output)), console)
    _advise(receipt, request, open_job(FolderStorage(job_folder(request.output))), errors)


def _accepted_words(receipt: Receipt) -> str:
    if groups := receipt.groups:
        return f"({number_of(groups.labeled, 'product')}): {receipt.groups_file}" if groups.labeled else ""
    sure = receipt.by_status[Status.LABELED]
    return f"({number_of(sure, 'row')})" if sure else ""


def _advise(receipt: JobReceipt, request: LabelRequest, job: Job | None, errors: Console) -> None:
    unfound, words = unfound_words(receipt, job), retry_words(receipt)
    if request.retry_failed and not words:
        words = "No failed row is worth another try."
    if words and not unfound:
        errors.say(words, "yellow")
    instead = f"{unfound}, and add --restart. Or copy photos to these paths, and add --retry-failed" if unfound else ""
    if words := unlabelled_words(receipt, instead or f"see error_message in {request.output}"):
        raise JobError(words)


def print_review(receipt: JobReceipt, folder: str, job: str, console: Console) -> None:
    """Print the path of a job's page, and the command to review its rows. ``job``: quoted for the shell."""
    console.print(f"Page: [bold]{escape(folder)}/{PAGE_FILE}[/bold]", highlight=False, soft_wrap=True)
    if receipt.by_status[Status.REVIEW]:
        console.say(f"Review the doubtful rows: hangtag review {job}")


def retry_words(receipt: JobReceipt) -> str:
    """Advice to use ``--retry-failed``, if a failed row is worth another try."""
    passing = sum(errors.count for fault, errors in receipt.errors.items() if fault in RETRYABLE)
    rows = number_of(passing, "failed row")
    return f"{rows} may succeed on a retry: run the same command with --retry-failed." if passing else ""


def unlabelled_words(receipt: JobReceipt, why: str) -> str:
    """The error message if every row failed; else empty."""
    if receipt.by_label:
        return ""
    subject = "The only photo could not" if receipt.rows == 1 else f"None of the {receipt.rows:,} photos could"
    return f"{subject} be labelled: {why}."


def unfound_words(receipt: JobReceipt, job: Job | None) -> str:
    """Advice about ``--image-root`` if all photos of a job are missing; else empty."""
    missing, empty = receipt.errors.get(ImageFault.MISSING), receipt.errors.get(ImageFault.EMPTY_CELL)
    if job is None or missing is None or missing.count + (empty.count if empty else 0) < receipt.rows:
        return ""
    images = (one.image for one in missing.examples if one.image)
    path = next((image for image in images if not is_url_or_data(image) and not Path(image).is_absolute()), None)
    if path is None:
        return ""
    if any("check the path" not in one.message for one in missing.examples):
        return ""  # the error message already has advice
    root, others = job.spec.image_root, " or at the other rows' paths" if receipt.rows > 1 else ""
    return (
        f"no file at {root}/{path}{others}. Relative paths start at {root} (--image-root; default: the catalogue's "
        "folder). If the photos are elsewhere, pass their folder or URL as --image-root"
    )


def lead(question: str) -> str:
    """A prefix such as ``colour: ``; empty for a job with one model."""
    return f"{question}: " if question else ""


class _Bar:
    """A progress bar. The first ``show`` starts the bar. ``earlier``: rows done by an earlier run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.done = 0
        self.earlier: int | None = None

    def show(self, done: int, total: int) -> None:
        if self.earlier is None:
            self.earlier = done
            self._task = self._progress.add_task("label", total=total, completed=done, earlier=done, unit="images/s")
            self._progress.start()
        self.done = done
        self._progress.update(self._task, completed=done)


def print_receipt(receipt: JobReceipt, console: Console) -> None:
    """Print a receipt as a table and sentences."""
    questions = {"": receipt} if isinstance(receipt, Receipt) else receipt.questions
    table = _counts(receipt) if isinstance(receipt, Receipt) else _question_counts(receipt)
    print_table(table, console, spare=("model",))
    for kind, errors in receipt.errors.items():
        example = errors.examples[0]
        where = f"row {example.row}, {example.image or 'an empty cell'}"
        console.print(f"[red]{kind}[/red], {escape(where)}: {escape(example.message)}", highlight=False)
    if receipt.left_out:
        kinds = ", ".join(f"{count:,} {ending or 'without ending'}" for ending, count in receipt.left_out.items())
        console.print(f"Left out (no image extension): {escape(kinds)}", style="yellow", highlight=False)
    _print_work(receipt, console)
    for name, own in questions.items():
        _print_model(own, console, name)
        _print_lists(own, console, lead(name))
    if any(own.drift and own.drift.reference.outliers == 0 for own in questions.values()):
        console.say(UNMEASURED)
    if isinstance(receipt, QuestionsReceipt):
        console.say(receipt.promise)
    console.print(f"Results: [bold]{escape(receipt.output)}[/bold]", highlight=False, soft_wrap=True)


def _print_work(receipt: JobReceipt, console: Console) -> None:
    run = receipt.run
    last, whole = ("Last run: ", "Whole job: ") if run.images < receipt.rows else ("", "")
    if run.images:
        processes = number_of(run.workers, "process", "processes")
        rate = receipt.images_per_s
        pace = f": {rate_text(rate)} images/s" if rate else ""
        console.print(f"{last}{number_of(run.images, 'row')} in {run.seconds:,.1f} s{pace}, {processes}")
    if receipt.work.deaths:
        console.say(f"{whole}{died_words(receipt.work.deaths)}.")
    if photos_text(receipt.photos):
        console.print(whole + photos_text(receipt.photos), highlight=False)


def _question_counts(receipt: QuestionsReceipt) -> Table:
    table = Table("question", title=number_of(receipt.rows, "row"), title_justify="left")
    for heading in (*Status, "promised", "expected"):
        table.add_column(heading, justify="right")
    table.add_column("model")
    for name, own in receipt.questions.items():
        promised = f"{own.model.precision:.0%}" if own.model.precision and own.model.is_promised else "no"
        expected = f"{own.mix.expected:.1%}" if own.mix else ""
        counts = (f"{own.by_status[status]:,}" for status in Status)
        table.add_row(escape(name), *counts, promised, expected, escape(_model_words(own)))
    table.add_section()
    table.add_row("worst status", *(f"{receipt.by_status[status]:,}" for status in Status))
    return table


def _counts(receipt: Receipt) -> Table:
    reasons, doubtful = receipt.review_reasons, receipt.review_by_label
    table = Table(title=number_of(receipt.rows, "row"), title_justify="left")
    table.add_column("likeliest label" if receipt.by_status[Status.REVIEW] else "label")
    for heading in ("rows", "share", "labeled")[: 3 if doubtful else 2]:
        table.add_column(heading, justify="right")
    for name, count, review in _label_counts(receipt):
        sure = [f"{count - review:,}"] if doubtful else []
        table.add_row(escape(name), f"{count:,}", f"{count / receipt.rows:.1%}", *sure)
    table.add_section()
    for status, count in receipt.by_status.items():
        table.add_row(Text(status.value, style=_COLOURS[status]), f"{count:,}", f"{count / receipt.rows:.1%}")
        for reason, reviews in reasons.items() if status is Status.REVIEW else ():
            table.add_row(f"  {reason.words}", f"{reviews:,}", f"{reviews / receipt.rows:.1%}", style="dim")
    for kind, errors in receipt.errors.items():
        table.add_row(f"  {kind}", f"{errors.count:,}", "", style="dim")
    return table


def _label_counts(receipt: Receipt) -> Iterator[tuple[str, int, int]]:
    """Yield (label, rows, rows to review) for the most frequent labels, then for all other labels together."""
    counts = [(name, count, receipt.review_by_label.get(name, 0)) for name, count in receipt.by_label.items()]
    most = _MOST_LABELS if len(counts) > _MOST_LABELS + 1 else len(counts)
    yield from counts[:most]
    if others := counts[most:]:
        yield f"{len(others):,} others", sum(one[1] for one in others), sum(one[2] for one in others)


def _model_words(receipt: Receipt) -> str:
    return receipt.model.reference + (f" ({receipt.named.words})" if receipt.named else "")


def _print_model(receipt: Receipt, console: Console, question: str) -> None:
    model, start, mix = receipt.model, lead(question), receipt.mix
    if not question:
        console.say(f"Model: {_model_words(receipt)}")
    if not (mix or (question and model.is_promised)):
        console.say(start + model.rule, "" if model.is_promised else "yellow")
    if receipt.level_words:
        console.say(start + receipt.level_words)
    for picture in receipt.repeated:
        console.say(start + picture.words, "yellow")
    if mix and not (question and mix.holds):
        console.say(start + mix.words, "" if mix.holds else "yellow")
    if receipt.audit:
        console.say(f"{start}Audit: {receipt.audit.words}")
    if receipt.drift and receipt.drift.warning:
        console.say(start + receipt.drift.warning, "yellow")


def _print_lists(receipt: Receipt, console: Console, start: str) -> None:
    groups, doubtful = receipt.groups, receipt.by_status[Status.REVIEW]
    if groups:
        where = escape(receipt.groups_file or "")
        console.print(f"{start}Products: {groups.words}: {where}", highlight=False, soft_wrap=True)
        if groups.ungrouped:
            console.say(start + groups.ungrouped_words, "yellow")
    if doubtful:
        rows = number_of(groups.review, "product") if groups else number_of(doubtful, "row")
        rows += ", and doubtful rows without a product" if groups and groups.ungrouped else ""
        rows += ", least sure first" if doubtful > 1 else ""
        console.print(f"{start}To review: {rows}: {escape(receipt.review_file)}", highlight=False, soft_wrap=True)
