"""Begin a retry of a finished job's failed rows."""

from collections import Counter

import pyarrow.parquet as pq

from models.errors import JobError
from worker.finish import RESULT_FILE, finished_receipt
from worker.job import Job
from worker.retry import RETRYABLE, commit_retry

__all__ = ["retry_failed"]


def retry_failed(job: Job) -> Counter[str]:
    """Have the failed rows that are worth it tried again; the others, and what was labelled, stay as they are.

    Returns:
        Fault → how many rows will be tried again; empty when none is worth it.

    Raises:
        JobError: the job is not finished, or somebody else has just begun a retry.
    """
    if finished_receipt(job) is None:
        msg = "Expected a finished job, this one is not; wait for it, or hangtag jobs resume it."
        raise JobError(msg)
    kinds: Counter[str] = Counter()
    chunks: set[int] = set()
    row = 0
    column = job.spec.options.prefix + "error"
    for batch in pq.ParquetFile(job.storage.source(RESULT_FILE)).iter_batches(columns=[column]):
        for number, error in enumerate(batch.column(0).to_pylist()):
            if error in RETRYABLE:
                kinds[error] += 1
                chunks.add((row + number) // job.spec.chunk_rows)
        row += batch.num_rows
    if chunks and not commit_retry(job.storage, job.retry().number + 1, sorted(chunks), kinds.total()):
        msg = "Somebody else has just begun a retry of this job; watch it with hangtag jobs watch."
        raise JobError(msg)
    return kinds
