"""The end of a job: its parts become one result, a receipt, and a page to look at.

``python -P -m worker.results.finish JOBS NAME`` ends a queued job in a process of its own.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final

from catalogue.urls import scheme_of
from models.errors import HangtagError, JobError
from models.registry.publish import TRAINING
from models.storage.storage import FolderStorage, open_storage
from pages.links import near
from pages.render import prepare
from pages.tiles import LabelledPhoto, PagePhoto
from worker.job.job import QUESTIONS, Job, Retry
from worker.job.jobs import Jobs
from worker.job.model import check_promise
from worker.job.parts import Status, latest_parts, part_key, read_work
from worker.job.receipt import (
    GROUPS_FILE,
    RECEIPT_FILE,
    REVIEW_FILE,
    JobReceipt,
    Receipt,
    RunFigures,
    SampleRow,
    job_receipt,
)
from worker.job.scratch import scratch_folder
from worker.labelling.earlier_results import forget_local_cache
from worker.labelling.process_pool import ProcessPool
from worker.results.by_group import DisagreeingProduct
from worker.results.merge import Merged, merge_job, upload_lists
from worker.results.receipt_page import RECEIPT_TEMPLATE, ProductPhotos, brought, questions_page, receipt_page
from worker.results.tally import Tally
from worker.results.thumbnails import DRAWING
from worker.results.thumbnails import main as draw

RESULT_FILE: Final = "labels.parquet"
PAGE_FILE: Final = "receipt.html"


def finish_job(job: Job, drawing: ProcessPool | None = None) -> JobReceipt:
    """Merge a queued job in its own folder; harmless when it is done twice, even at once.

    ``drawing``: see :func:`worker.results.thumbnails.draw_apart`.

    Returns:
        The receipt, which is written last: a job that has one of its latest retry is finished.

    Raises:
        JobError: a chunk has no part, a part is damaged, or an earlier Hangtag began the job without a promise.
    """
    for question in job.questions:
        check_promise(question.model)
    retry = job.retry()
    missing = job.missing_from(latest_parts(job.storage.names("parts")), retry)
    if missing:
        msg = f"Expected a part of every chunk, {len(missing):,} have none yet; hangtag jobs resume queues them."
        raise JobError(msg)
    with scratch_folder(job.storage) as folder:
        merged = merge_job(job, folder / RESULT_FILE, folder)
        if job.retry() != retry:
            msg = "A retry began while the job was being merged; it is merged again when that is done."
            raise JobError(msg)
        job.storage.upload(RESULT_FILE, folder / RESULT_FILE)
        upload_lists(job, folder)
    run = _run_figures(job, retry, merged.tally)
    return end_job(job, f"{job.storage.place}/{RESULT_FILE}", run, merged, retry.number, drawing)


def end_job(
    job: Job, output: str, run: RunFigures, merged: Merged, retry: int, drawing: ProcessPool | None = None
) -> JobReceipt:
    """Write the receipts of a job that is merged into ``output``, the whole job's last, and forget its cache.

    ``drawing``: see :func:`worker.results.thumbnails.draw_apart`.
    """
    merges = merged.questions or (merged,)
    receipts = [
        own.tally.receipt(question, output, run, retry, own.groups)
        for question, own in zip(job.questions, merges, strict=True)
    ]
    pages = _pages(job, receipts, merges, drawing)
    for question, receipt, page in zip(job.questions, receipts, pages, strict=True):
        _write_receipt(question, page, receipt)
        forget_local_cache(question)
    if not job.spec.questions:
        return receipts[0]
    named = {question.name: receipt for question, receipt in zip(job.questions, receipts, strict=True)}
    whole = merged.tally.questions_receipt(job, output, run, retry, named)
    links = {name: f"{QUESTIONS}/{name}/{PAGE_FILE}" for name in named}
    _write_receipt(job, questions_page(whole, links, _links(job, whole)), whole)
    return whole


def _run_figures(job: Job, retry: Retry, tally: Tally) -> RunFigures:
    """The figures of the whole job, or of its latest retry alone."""
    written = {f"parts/{entry.name}": entry.modified for entry in job.storage.entries("parts")}
    keys = [part_key(chunk, retry.number) for chunk in retry.chunks]
    works = [read_work(job.storage, key) for key in keys]
    first = min(keys or [part_key(chunk) for chunk in range(job.spec.chunks)], key=written.__getitem__)
    begun = begun_at(job, retry, written[first], read_work(job.storage, first).seconds)
    return RunFigures(
        images=retry.rows or job.spec.rows,
        seconds=round(max(0.001, max(written.values()) - begun), 3),
        workers=len({work.worker for work in works} or tally.processes),
        restarts=sum(work.deaths for work in works) if works else tally.deaths,
    )


def begun_at(job: Job, retry: Retry, first_s: float, took_s: float) -> float:
    """When a worker took the first chunk, in seconds since 1970; rates leave out the time before."""
    asked = datetime.fromisoformat(retry.begun_at or job.spec.created_at).timestamp()
    return max(asked, first_s - took_s)


def _write_receipt(job: Job, page: str, receipt: JobReceipt) -> None:
    """Write the page, and then ``receipt.json``."""
    job.storage.replace(PAGE_FILE, page.encode())
    job.storage.replace(RECEIPT_FILE, receipt.model_dump_json(indent=1).encode())


def _pages(job: Job, receipts: Sequence[Receipt], merges: Sequence[Merged], drawing: ProcessPool | None) -> list[str]:
    """The page of each question, whose photos are fetched and drawn once for all."""
    shown = [row for merged in merges for row in _shown(merged)]
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(prepare, RECEIPT_TEMPLATE)  # while photos are fetched and drawn
        photos = brought(job, (row.image for row in shown if row.status is not Status.FAILED), drawing)
    return [
        _page(receipt, merged, photos, question)
        for receipt, merged, question in zip(receipts, merges, job.questions, strict=True)
    ]


def _shown(merged: Merged) -> Iterator[SampleRow]:
    yield from (*merged.tally.sample, *merged.tally.failed_sample)
    for rows in (*merged.doubtful.values(), *(product.rows for product in merged.disagreeing)):
        yield from rows


def _page(receipt: Receipt, merged: Merged, photos: Mapping[str, PagePhoto], question: Job) -> str:
    products = [_product_photos(product, photos) for product in merged.disagreeing]
    rows = [sheet_photo(row, photos) for row in (*merged.tally.sample, *merged.tally.failed_sample)]
    doubtful = {label: [sheet_photo(row, photos) for row in some] for label, some in merged.doubtful.items()}
    links = _links(question, receipt)
    return receipt_page(receipt, {}, rows, products, question.name, doubtful, links)


def _links(job: Job, receipt: JobReceipt) -> dict[str, str]:
    """Words → an address near the page of a job in a folder; none from a bucket, whose pages are seen elsewhere."""
    if not isinstance(job.storage, FolderStorage):
        return {}
    page, wanted = Path(job.storage.place) / PAGE_FILE, {"Result": Path(receipt.output)}
    if isinstance(receipt, Receipt):
        model = Path(receipt.model.path)
        wanted |= {
            "Rows to review": page.with_name(REVIEW_FILE),
            "Products": page.with_name(GROUPS_FILE),
            "Model": model / "README.md",
            "Its training": model.parent / TRAINING / model.name / "report.html",
        }
    whole = {"All questions": f"../../{PAGE_FILE}"} if job.name else {}
    return whole | near(page, wanted)


def _product_photos(found: DisagreeingProduct, photos: Mapping[str, PagePhoto]) -> ProductPhotos:
    return ProductPhotos(found.product, found.verdict, tuple(sheet_photo(row, photos) for row in found.rows))


def sheet_photo(row: SampleRow, photos: Mapping[str, PagePhoto]) -> LabelledPhoto:
    """A row to show on a page: its photo, as the catalogue names it, and its result."""
    if row.status is Status.FAILED:
        return LabelledPhoto(None, row.status, _called(row.image), f"{row.status}: {row.error}")
    detail = f"{row.status} {row.confidence or 0:.1%}"
    why = row.reason.words if row.reason else ""
    return LabelledPhoto(photos.get(row.image or ""), row.status, row.label or "", detail, why)


def _called(image: str | None) -> str:
    if not image:
        return "an empty cell"
    return "in the cell itself" if scheme_of(image) == "data" else Path(image).name


def main(jobs: str, name: str) -> int:
    """Finish a job if all its chunks are done and it is not finished; errors go to stderr."""
    try:
        with ProcessPool(DRAWING, 1) as drawing:
            drawing.fork(draw, 1)  # before merging starts threads, which a fork must not copy
            job = Jobs(open_storage(jobs)).find(name)
            if not (job.cancelled or job.missing_chunks() or job_receipt(job)):
                finish_job(job, drawing)
    except (HangtagError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
