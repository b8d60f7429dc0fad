"""Finishes a job: merges its results, and writes its receipt and page."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from models.errors import JobError
from worker.job.job import QUESTIONS, Job, Retry, scratch_folder
from worker.job.parts import latest_parts, part_key, read_work
from worker.job.receipt import PAGE_FILE, RECEIPT_FILE, JobReceipt, RunFigures, job_receipt, started_at
from worker.labelling.process_pool import ProcessPool
from worker.results.merge import QuestionMerge, merge_job, upload_lists
from worker.results.receipt_page import DRAWING, draw, question_pages, questions_page
from worker.results.tally import Tally

RESULT_FILE: Final = "labels.parquet"
_DRAWING: Final = 2
"""Number of processes that make the page's thumbnails."""


@contextmanager
def finishing() -> Iterator[Callable[[Job], bool]]:
    """Yield a function that finishes a job if all chunks are done. It returns True if it finished the job.

    Enter the block before the process starts threads, since the block forks processes for thumbnails.
    """
    with ProcessPool(DRAWING, _DRAWING) as drawing:
        drawing.fork(draw, _DRAWING)

        def finish(job: Job) -> bool:
            is_due = not (job.cancelled or job.missing_chunks() or job_receipt(job))
            return is_due and bool(finish_job(job, drawing))

        yield finish


def finish_job(job: Job, drawing: ProcessPool | None = None) -> JobReceipt:
    """Merge a queued job's part files into one result in the job's folder. Writes the receipt last.

    Several processes may merge at the same time.
    """
    retry = job.retry()
    missing = job.missing_from(latest_parts(job.storage.names("parts")), retry)
    if missing:
        msg = f"Expected results of every chunk, but {len(missing):,} have none; queue them with hangtag jobs resume."
        raise JobError(msg)
    with scratch_folder(job.storage) as folder:
        merged = merge_job(job, folder / RESULT_FILE, folder)
        if job.retry() != retry:
            msg = "A retry began during the merge; the job is merged again after the retry."
            raise JobError(msg)
        job.storage.upload(RESULT_FILE, folder / RESULT_FILE)
        upload_lists(job, folder)
    run = run_figures(job, retry, merged[0])
    return end_job(job, f"{job.storage.place}/{RESULT_FILE}", run, *merged, retry.number, drawing)


def end_job(
    job: Job,
    output: str,
    run: RunFigures,
    tally: Tally,
    merges: Sequence[QuestionMerge],
    retry: int,
    drawing: ProcessPool | None = None,
) -> JobReceipt:
    """Write a merged job's receipts, the whole job's receipt last. ``output``: path of the result."""
    receipts = [
        own.tally.receipt(question, output, run, retry, own.groups)
        for question, own in zip(job.questions, merges, strict=True)
    ]
    pages = question_pages(job, receipts, merges, drawing)
    for question, receipt, page in zip(job.questions, receipts, pages, strict=True):
        _write_receipt(question, page, receipt)
    if not job.spec.named:
        return receipts[0]
    named = {question.name: receipt for question, receipt in zip(job.questions, receipts, strict=True)}
    whole = tally.questions_receipt(job, output, run, retry, named)
    page = questions_page(job, whole, {name: f"{QUESTIONS}/{name}/{PAGE_FILE}" for name in named})
    _write_receipt(job, page, whole)
    return whole


def run_figures(job: Job, retry: Retry, tally: Tally) -> RunFigures:
    """Rows, seconds and workers of the latest retry, or of the whole job if it had no retry."""
    written = {f"parts/{entry.name}": entry.modified for entry in job.storage.entries("parts")}
    keys = [part_key(chunk, retry.number) for chunk in retry.chunks]
    workers = {read_work(job.storage, key).worker for key in keys} or tally.processes
    first = min(keys or [part_key(chunk) for chunk in range(job.spec.chunks)], key=written.__getitem__)
    begun = started_at(job, retry, written[first], read_work(job.storage, first).seconds)
    return RunFigures(
        images=retry.rows or job.spec.rows,
        seconds=round(max(0.001, max(written.values()) - begun), 3),
        workers=len(workers),
    )


def _write_receipt(job: Job, page: str, receipt: JobReceipt) -> None:
    job.storage.replace(PAGE_FILE, page.encode())
    job.storage.replace(RECEIPT_FILE, receipt.model_dump_json(indent=1).encode())
