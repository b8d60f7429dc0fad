"""What a worker says of a chunk that it has done: a log line, and its metrics."""

from collections import Counter

from worker.labelling.chunk import Finished
from worker.queue.events import log_event
from worker.queue.metrics import Metrics
from worker.results import Status

__all__ = ["report_chunk"]


def report_chunk(metrics: Metrics, job: str, done: Finished) -> None:
    """Count and log a chunk whose part this process has just committed.

    Args:
        metrics: of the worker.
        job: name of the job.
        done: the chunk.
    """
    photos = done.photos
    counts = Counter((row.status, row.error) for row in done.rows)
    metrics.chunk_done(done.seconds, counts, photos)
    log_event(
        "chunk_done",
        job=job,
        chunk=done.chunk,
        rows=len(done.rows),
        failed=sum(count for (status, _), count in counts.items() if status is Status.FAILED),
        downloaded=photos.downloaded,
        repeated=photos.repeated,
        carried=photos.carried,
        seconds=round(done.seconds, 3),
        download_s=round(photos.download_s, 3),
        decode_s=round(photos.decode_s, 3),
        inference_s=round(photos.inference_s, 3),
    )
