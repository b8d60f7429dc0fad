"""The end of a job: its parts become one result, a receipt, and a page to look at."""

import signal
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from models.errors import JobError
from pages.tiles import LabelledPhoto
from worker.earlier.results import forget_local_cache
from worker.job import CANCELLED, RETRYABLE, Job, Retry, commit_retry
from worker.merging.merge import Merged, merge_job, upload_lists
from worker.model import check_promise
from worker.places import scheme_of
from worker.products.by_group import DisagreeingProduct
from worker.receipt import RECEIPT_FILE, Receipt, RunFigures, SampleRow, finished_receipt
from worker.receipt_page import ProductPhotos, brought, receipt_page
from worker.results import Status, latest_parts, part_key, read_part, read_work
from worker.scratch import scratch_folder
from worker.tally import Tally

__all__ = ["PAGE_FILE", "RESULT_FILE", "begun_at", "finish_job", "retry_failed", "sheet_photo", "write_receipt"]

RESULT_FILE: Final = "labels.parquet"
PAGE_FILE: Final = "receipt.html"
_DRAWING: Final = ".drawing"
_DRAWING_S: Final = 120.0


def finish_job(job: Job) -> Receipt:
    """Merge a queued job in its own folder; harmless when it is done twice, even at once.

    Returns:
        The receipt, which is written last: a job that has one of its latest retry is finished.

    Raises:
        JobError: a chunk has no part, a part is not what it should be, or an earlier Hangtag began the job without a
            promise.
    """
    check_promise(job.spec.model)
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
    receipt = merged.tally.receipt(job, f"{job.storage.place}/{RESULT_FILE}", run, retry.number, merged.groups)
    write_receipt(job, receipt, merged)
    forget_local_cache(job)
    return receipt


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


def write_receipt(job: Job, receipt: Receipt, merged: Merged) -> None:
    """Write the page, and then ``receipt.json``."""
    job.storage.replace(PAGE_FILE, _page(job, receipt, merged).encode())
    job.storage.replace(RECEIPT_FILE, receipt.model_dump_json(indent=1).encode())


def _page(job: Job, receipt: Receipt, merged: Merged) -> str:
    """The page; without photos where drawing them has ended a process before, as one that changed since may do."""
    marker = job.storage.scratch / _DRAWING
    if marker.exists():
        marker.unlink(missing_ok=True)
        return receipt_page(receipt)
    marker.touch()
    signal.setitimer(signal.ITIMER_REAL, _DRAWING_S)  # by default the process ends, with the marker left
    rows = (*merged.tally.sample, *merged.tally.failed_sample)
    try:
        readable = [*rows, *(row for product in merged.disagreeing for row in product.rows)]
        photos = brought(job, (row.image for row in readable if row.status is not Status.FAILED))
        products = [_product_photos(product, photos) for product in merged.disagreeing]
        return receipt_page(receipt, {}, [sheet_photo(row, photos) for row in rows], products)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        marker.unlink(missing_ok=True)


def _product_photos(found: DisagreeingProduct, photos: Mapping[str, bytes]) -> ProductPhotos:
    return ProductPhotos(found.product, found.verdict, tuple(sheet_photo(row, photos) for row in found.rows))


def sheet_photo(row: SampleRow, photos: Mapping[str, Path | bytes]) -> LabelledPhoto:
    """A row as it is shown: its photo, found by what the catalogue says of it, and what became of it."""
    if row.status is Status.FAILED:
        return LabelledPhoto(None, row.status, _called(row.image), f"{row.status}: {row.error}")
    detail = f"{row.status} {row.confidence or 0:.1%}"
    why = row.reason.words if row.reason else ""
    return LabelledPhoto(photos.get(row.image or ""), row.status, row.label or "", detail, why)


def _called(image: str | None) -> str:
    if not image:
        return "an empty cell"
    return "in the cell itself" if scheme_of(image) == "data" else Path(image).name


def retry_failed(job: Job) -> Counter[str]:
    """Begin a retry of the failed rows that may pass another time; all other rows keep their results.

    Returns:
        Fault → how many rows will be tried again; empty if none may pass.

    Raises:
        JobError: the job is not finished, somebody else has just begun a retry, or an earlier Hangtag began the job
            without a promise.
    """
    receipt = finished_receipt(job)
    if receipt is None:
        msg = "Expected a finished job, this one is not; wait for it, or hangtag jobs resume it."
        raise JobError(msg)
    check_promise(job.spec.model)
    kinds: Counter[str] = Counter()
    chunks: list[int] = []
    for chunk, key in sorted(job.part_keys().items()):
        part = read_part(job.storage, key, job.spec.id, job.rows_in_chunk(chunk))
        found = [error for error in part.column("error").to_pylist() if error in RETRYABLE]
        kinds.update(found)
        chunks += [chunk] if found else []
    if chunks:
        job.storage.delete(CANCELLED)  # it came too late to stop anything
        if not commit_retry(job.storage, receipt.retry + 1, chunks, kinds.total()):
            msg = "Somebody else has just begun a retry of this job; watch it with hangtag jobs watch."
            raise JobError(msg)
    return kinds
