"""One chunk of a job: the function that every runner calls, here or on a queue."""

import hashlib
import io
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.classifier import BATCH, Classifier
from models.errors import ImageError, ImageFault
from models.photo import read_photo
from models.preprocess import Pixels, preprocess
from worker.attempt import Attempt, attempt_on, forget_attempts, suspect_rows
from worker.job import JOB_KEY, Job, part_key
from worker.results import RowResult, failed_row, labeled_row, results_table
from worker.sandbox import decode_in_sandbox

__all__ = ["run_chunk"]


@dataclass(frozen=True)
class Decoded:
    """A photo as pixels, or why it is none.

    Attributes:
        row: its place in the chunk.
        sha256: of its bytes, where they could be read.
        outcome: ``uint8 (S, S, 3)``, or the fault.
    """

    row: int
    sha256: str | None
    outcome: Pixels | ImageError


def run_chunk(job: Job, chunk: int, classifier: Classifier) -> bool:
    """Label a chunk and commit its part; harmless when it was done before, or is being done elsewhere.

    The calling process must not handle SIGALRM: its default action ends a decode that hangs, with the process.

    Returns:
        Whether this call committed the part.
    """
    if job.storage.exists(part_key(chunk)):
        return False
    suspects = suspect_rows(job.storage, chunk)
    with attempt_on(job.storage, chunk) as attempt:
        photos = _decoded_photos(job, chunk, classifier, attempt, suspects)
        rows = [row for batch in _batches(photos) for row in _label_batch(batch, classifier, job.spec.options.top_k)]
        committed = job.storage.commit(part_key(chunk), _part_bytes(results_table(rows), job.spec.id))
    forget_attempts(job.storage, chunk)
    return committed


def _decoded_photos(
    job: Job, chunk: int, classifier: Classifier, attempt: Attempt, suspects: set[int]
) -> Iterator[Decoded]:
    root = Path(job.spec.image_root)
    timeout_s = job.spec.options.timeout_s
    for row, name in enumerate(job.chunk_images(chunk)):
        sha256 = None
        try:
            data = read_photo(_photo_path(root, name))
            sha256 = hashlib.sha256(data).hexdigest()
            if row in suspects:
                pixels = decode_in_sandbox(data, classifier.metadata.preprocess, timeout_s)
            else:
                pixels = _decode_in_hand(data, row, attempt, classifier, timeout_s)
        except ImageError as error:
            yield Decoded(row, sha256, error)
        else:
            yield Decoded(row, sha256, pixels)


def _photo_path(root: Path, name: str | None) -> Path:
    if not name:
        msg = "Expected the path of a photo, the cell is empty."
        raise ImageError(msg, ImageFault.MISSING)
    if "://" in name:
        msg = f"Expected the path of a photo, got the URL {name[:200]}; download it first."
        raise ImageError(msg, ImageFault.REFUSED)
    return root / name


def _decode_in_hand(data: bytes, row: int, attempt: Attempt, classifier: Classifier, timeout_s: float) -> Pixels:
    attempt.take(row)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        return preprocess(data, classifier.metadata.preprocess)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        attempt.put_down()


def _batches(photos: Iterator[Decoded]) -> Iterator[list[Decoded]]:
    """Runs of photos with at most ``BATCH`` readable ones each."""
    batch: list[Decoded] = []
    readable = 0
    for photo in photos:
        batch.append(photo)
        readable += not isinstance(photo.outcome, ImageError)
        if readable == BATCH:
            yield batch
            batch, readable = [], 0
    if batch:
        yield batch


def _label_batch(batch: list[Decoded], classifier: Classifier, top_k: int) -> list[RowResult]:
    pixels = [photo.outcome for photo in batch if not isinstance(photo.outcome, ImageError)]
    predictions = iter(classifier.decide(classifier.predict(np.stack(pixels)), top_k) if pixels else [])
    return [
        failed_row(photo.outcome, photo.sha256, classifier.reference)
        if isinstance(photo.outcome, ImageError)
        else labeled_row(next(predictions), photo.sha256 or "", classifier.reference)
        for photo in batch
    ]


def _part_bytes(table: pa.Table, job: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({JOB_KEY: job}), buffer, compression="zstd")
    return buffer.getvalue()
