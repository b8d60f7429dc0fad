"""One chunk of a job: the function that every runner calls, here or on a queue."""

import hashlib
import os
import signal
import socket
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.classifier import BATCH, Classifier
from models.errors import ImageError, ImageFault
from models.photo import read_photo
from models.preprocess import Pixels, PreprocessSpec, preprocess
from worker.attempt import Attempt, attempt_on, earlier_attempts, forget_attempts
from worker.job import Job
from worker.parts import part_bytes, part_key, read_part
from worker.results import RowResult, failed_row, labeled_row, results_of
from worker.retry import RETRYABLE
from worker.sandbox import decode_in_sandbox

__all__ = ["Guard", "run_chunk"]

_WARY: Final = 3


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


class Guard:
    """May stop a chunk by raising; this one never does."""

    def before_photo(self) -> None:
        """Called before each photo is read."""

    def before_commit(self, rows: Sequence[RowResult]) -> None:
        """Called with the chunk's results before they are committed."""


_FREE: Final = Guard()


def run_chunk(job: Job, chunk: int, classifier: Classifier, guard: Guard = _FREE) -> bool:
    """Label a chunk and commit its part; harmless when it was done before, or is being done elsewhere.

    Where the chunk is part of a retry, only its failed rows that are worth another try are done again. The calling
    process must not handle SIGALRM: its default action ends a decode that hangs, with the process.

    Args:
        job: the job.
        chunk: its number.
        classifier: the model that the job is pinned to.
        guard: what it raises gives the chunk up.

    Returns:
        Whether this call committed the part.
    """
    start = time.monotonic()
    retry = job.retry().wanted(chunk)
    key = part_key(chunk, retry)
    if job.storage.exists(key):
        return False
    rows = _rows_to_keep(job, chunk, retry) if retry else {}
    earlier = earlier_attempts(job.storage, chunk)
    with attempt_on(job.storage, chunk) as attempt:
        decoder = _Decoder(attempt, classifier.metadata.preprocess, job.spec.options.timeout_s, earlier.rows)
        for batch in _batches(_decoded_photos(job, chunk, decoder, guard, rows.keys())):
            labelled = _label_batch(batch, classifier, job.spec.options.top_k)
            rows |= zip((photo.row for photo in batch), labelled, strict=True)
        worker = f"{socket.gethostname()}:{os.getpid()}"
        ordered = [rows[number] for number in range(len(rows))]
        guard.before_commit(ordered)
        data = part_bytes(ordered, job.spec.id, worker, time.monotonic() - start, earlier.deaths)
        committed = job.storage.commit(key, data)
    forget_attempts(job.storage, chunk)
    return committed


def _rows_to_keep(job: Job, chunk: int, retry: int) -> dict[int, RowResult]:
    """Rows of the chunk's latest part that a retry leaves as they are; none where a person has deleted that part."""
    keys = (part_key(chunk, number) for number in reversed(range(retry)))
    latest = next(filter(job.storage.exists, keys), None)
    if latest is None:
        return {}
    part = read_part(job.storage, latest, job.spec.id, job.rows_in_chunk(chunk))
    return {number: row for number, row in enumerate(results_of(part)) if row.error not in RETRYABLE}


@dataclass(frozen=True)
class _Decoder:
    """How the photos of one try at a chunk become pixels; suspects do so in a throw-away process.

    With a few suspects in a chunk all its photos do: otherwise each bad photo would cost a process, and each try would
    take up all the earlier suspects again.
    """

    attempt: Attempt
    spec: PreprocessSpec
    timeout_s: float
    suspects: frozenset[int]

    def decode(self, row: int, data: bytes) -> Pixels:
        if row in self.suspects or len(self.suspects) >= _WARY:
            return decode_in_sandbox(data, self.spec, self.timeout_s)
        self.attempt.take(row)
        signal.setitimer(signal.ITIMER_REAL, self.timeout_s)
        try:
            return preprocess(data, self.spec)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.attempt.put_down()


def _decoded_photos(job: Job, chunk: int, decoder: _Decoder, guard: Guard, known: Container[int]) -> Iterator[Decoded]:
    root = Path(job.spec.image_root)
    for row, name in enumerate(job.chunk_images(chunk)):
        if row in known:
            continue
        guard.before_photo()
        sha256 = None
        try:
            data = read_photo(_photo_path(root, name))
            sha256 = hashlib.sha256(data).hexdigest()
            pixels = decoder.decode(row, data)
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
    predictions = iter(classifier.decide(classifier.score(np.stack(pixels)), top_k) if pixels else [])
    return [
        failed_row(photo.outcome, photo.sha256, classifier.reference)
        if isinstance(photo.outcome, ImageError)
        else labeled_row(next(predictions), photo.sha256 or "", classifier.reference)
        for photo in batch
    ]
