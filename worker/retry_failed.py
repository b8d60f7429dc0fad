"""Begin a retry of a finished job's failed rows."""

from collections import Counter

from models.errors import JobError
from worker.job import CANCELLED, Job
from worker.parts import read_part
from worker.pin import check_promise
from worker.receipt import finished_receipt
from worker.retry import RETRYABLE, commit_retry

__all__ = ["retry_failed"]


def retry_failed(job: Job) -> Counter[str]:
    """Have the failed rows that are worth it tried again; the others, and what was labelled, stay as they are.

    Returns:
        Fault → how many rows will be tried again; empty when none is worth it.

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
        _begin(job, receipt.retry + 1, chunks, kinds.total())
    return kinds


def _begin(job: Job, number: int, chunks: list[int], rows: int) -> None:
    if not commit_retry(job.storage, number, chunks, rows):
        msg = "Somebody else has just begun a retry of this job; watch it with hangtag jobs watch."
        raise JobError(msg)
