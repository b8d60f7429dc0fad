"""What a worker says of a chunk that it has done: a log line, and its metrics."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from worker.job import Job
from worker.parts import PhotoWork, part_key, photo_work
from worker.queue.events import log_event
from worker.queue.metrics import Metrics
from worker.results import RowResult, Status

__all__ = ["committed_work", "report_chunk"]


def report_chunk(
    metrics: Metrics, job: str, chunk: int, seconds: float, rows: Sequence[RowResult], photos: PhotoWork
) -> None:
    """Count and log a chunk whose part this process has just committed.

    Args:
        metrics: of the worker.
        job: name of the job.
        chunk: its number.
        seconds: from taking it in hand.
        rows: the part's.
        photos: what they took.
    """
    counts = Counter((row.status, row.error) for row in rows)
    metrics.chunk_done(seconds, counts, photos)
    log_event(
        "chunk_done",
        job=job,
        chunk=chunk,
        rows=len(rows),
        failed=sum(count for (status, _), count in counts.items() if status is Status.FAILED),
        downloaded=photos.downloaded,
        repeated=photos.repeated,
        carried=photos.carried,
        seconds=round(seconds, 3),
        download_s=round(photos.download_s, 3),
        decode_s=round(photos.decode_s, 3),
        inference_s=round(photos.inference_s, 3),
    )


def committed_work(job: Job, chunk: int) -> PhotoWork:
    """What the photos of a chunk took, as its part says; nothing where that cannot be read, for the chunk is done."""
    try:
        return photo_work(pq.read_schema(job.storage.source(part_key(chunk, job.retry().wanted(chunk)))))
    except (OSError, ValidationError, pa.ArrowException):
        return PhotoWork()
