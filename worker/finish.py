"""The end of a job: its parts become one result, a receipt, and a page to look at."""

import shutil
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from worker.job import Job
from worker.merge import merge_parts
from worker.page.contact_sheet import SheetPhoto
from worker.page.receipt_page import receipt_page
from worker.receipt import RECEIPT_FILE, Receipt, RunFigures, SampleRow, Tally
from worker.results import Status

__all__ = ["PAGE_FILE", "RESULT_FILE", "finish_job", "finished_receipt", "write_receipt"]

RESULT_FILE: Final = "labels.parquet"
PAGE_FILE: Final = "receipt.html"
_TEMPORARY: Final = ".finish-"
_OLD_S: Final = 3600.0


def finish_job(job: Job) -> Receipt:
    """Merge a queued job in its own folder; harmless when it is done twice, even at once.

    Returns:
        The receipt, which is written last: a job that has one of its latest retry is finished.

    Raises:
        JobError: a chunk has no part, or a part is not what it should be.
    """
    retry = job.retry()
    begun = datetime.fromisoformat(retry.begun_at or job.spec.created_at).timestamp()
    tally = Tally()
    _remove_remains(job.storage.scratch)
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=job.storage.scratch) as folder:
        merged = Path(folder) / RESULT_FILE
        merge_parts(job, merged, tally.add)
        job.storage.upload(RESULT_FILE, merged)
    ended = max(entry.modified for entry in job.storage.entries("parts"))
    run = RunFigures(
        images=retry.rows or job.spec.rows,
        seconds=round(max(0.001, ended - begun), 3),
        workers=len(tally.processes),
        restarts=tally.deaths,
    )
    receipt = tally.receipt(job, f"{job.storage.place}/{RESULT_FILE}", run).model_copy(update={"retry": retry.number})
    write_receipt(job, receipt, tally)
    return receipt


def _remove_remains(scratch: Path) -> None:
    """Delete what merging left that was killed; another may be at work right now, so only what is old."""
    for folder in scratch.glob(f"{_TEMPORARY}*"):
        with suppress(FileNotFoundError):  # that other has just ended
            if folder.stat().st_mtime < time.time() - _OLD_S:
                shutil.rmtree(folder, ignore_errors=True)


def write_receipt(job: Job, receipt: Receipt, tally: Tally) -> None:
    """Write the page, and then ``receipt.json``."""
    photos = [_sheet_photo(row, Path(job.spec.image_root)) for row in (*tally.sample, *tally.failed_sample)]
    job.storage.replace(PAGE_FILE, receipt_page(receipt, [], photos).encode())
    job.storage.replace(RECEIPT_FILE, receipt.model_dump_json(indent=1).encode())


def _sheet_photo(row: SampleRow, root: Path) -> SheetPhoto:
    if row.status is Status.FAILED:
        name = Path(row.image).name if row.image else "an empty cell"
        return SheetPhoto(None, row.status, name, f"{row.status}: {row.error}")
    return SheetPhoto(root / (row.image or ""), row.status, row.label or "", f"{row.status} {row.confidence or 0:.1%}")


def finished_receipt(job: Job) -> Receipt | None:
    """The receipt of a job that is finished, its latest retry included."""
    if not job.storage.exists(RECEIPT_FILE):
        return None
    receipt = Receipt.model_validate_json(job.storage.read(RECEIPT_FILE))
    return receipt if receipt.job == job.spec.id and receipt.retry == job.retry().number else None
