"""Labels a job's chunks: processes photos as they arrive, in batches across chunks."""

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, Self

import numpy as np

from catalogue.photo import Photo
from catalogue.photos import Photos
from models.classifier import BATCH, Classifier
from models.errors import ImageError, ImageFault
from models.preprocess import Pixels
from worker.job.job import RETRYABLE, Job
from worker.job.parts import NO_PHOTO_WORK, PartRow, Scored, failed_cells
from worker.labelling.chunk import Finished, OpenChunk, is_done
from worker.labelling.earlier_results import EarlierResults, Known

_LINGER_S: Final = 0.01
"""Seconds that an incomplete batch waits for another photo."""

_WAIT_S: Final = 0.2
_MOST_CHUNKS: Final = 3
"""Limit of chunks in progress if all photos are on disk."""

_MOST_ROWS: Final = 8192
_MOST_BYTES: Final = 64 * 1024**2
"""While hosts are slow, no chunk begins if chunks in progress have this many rows or bytes of probabilities."""

_AHEAD: Final = 1024
_AHEAD_S: Final = 15.0
"""The limit of photos requested ahead is ``_AHEAD``, or the number that arrives in ``_AHEAD_S`` seconds if larger."""


Feed = Callable[[bool], int | None]
"""Returns the next chunk's number; None if no chunk is ready. With ``True``, waits; None if no chunk remains."""


class QuestionModel:
    """A model and the results that it can reuse. ``batch``: SHA-256 → photos to label."""

    def __init__(self, classifier: Classifier, known: EarlierResults | None = None) -> None:
        self.known = known or EarlierResults()
        self.rules, self.reference = classifier.rules, classifier.reference
        self.spec = classifier.metadata.preprocess
        self.batch: dict[str, list[Photo]] = {}
        self._classifier = classifier
        self._pixels = np.empty((BATCH, self.spec.size, self.spec.size, 3), np.uint8)

    def add(self, sha256: str, photo: Photo, pixels: Pixels) -> None:
        """Put a photo into the batch."""
        self._pixels[len(self.batch)] = pixels
        self.batch[sha256] = [photo]

    def label(self) -> list[tuple[str, list[Photo], Scored]]:
        """Label the batch, and begin an empty batch."""
        batch, self.batch = self.batch, {}
        scores = self._classifier.score(self._pixels[: len(batch)])
        unknown = [math.nan] * len(batch) if scores.unknown is None else scores.unknown.tolist()
        results = zip(scores.probabilities, unknown, strict=True)
        return [(sha256, photos, result) for (sha256, photos), result in zip(batch.items(), results, strict=True)]


class Labeller:
    """Labels chunks of one job. Leaving the ``with`` block abandons unfinished chunks.

    Each photo is fetched once for all questions. Several chunks are in progress, so that batches are full. ``check``
    raises an error to stop labelling. Its argument is True after a missing photo: a network share may be unmounted.
    """

    def __init__(
        self,
        job: Job,
        questions: Sequence[QuestionModel],
        photos: Photos,
        on_finished: Callable[[Finished], None],
        check: Callable[[bool], None] = lambda at_once: None,
    ) -> None:
        self._job = job
        self._questions = questions
        self._photos = photos
        self._on_finished = on_finished
        self._check = check
        row_bytes = np.dtype(np.float32).itemsize * sum(len(one.rules.labels) for one in questions)
        self._most_rows = min(_MOST_ROWS, _MOST_BYTES // row_bytes)
        self._open: dict[int, OpenChunk] = {}
        self._commits: set[Future[Finished]] = set()
        self._committer = ThreadPoolExecutor(1)  # syncs part files while other photos are labelled
        self._awaited = 0
        self._rows = 0
        self._seen = 0
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        chunks, self._open = self._open, {}
        for chunk in chunks.values():
            chunk.give_up()  # first: remaining attempt files would count as crashes
        self._committer.shutdown()
        for commit in self._commits:
            if not commit.exception():
                self._on_finished(commit.result())
        for number in chunks:
            self._photos.forget(number)

    def run(self, feed: Feed) -> None:
        """Label all chunks that ``feed`` returns."""
        while True:
            while self.wants_more and (chunk := feed(not (self._open or self._commits))) is not None:
                self.begin(chunk)
            if not (self._open or self._commits):
                return
            self.step()

    @property
    def wants_more(self) -> bool:
        """Whether there is room for another chunk."""
        if not self._open:
            return True
        if self._rows >= self._most_rows:
            return False
        if self._photos.on_disk and self._awaited < BATCH:
            return len(self._open) + len(self._commits) < _MOST_CHUNKS
        rate = self._seen / max(time.monotonic() - self._start, _AHEAD_S)
        return self._photos.wants_more and self._awaited < max(_AHEAD, _AHEAD_S * rate)

    def begin(self, number: int) -> None:
        """Begin a chunk, or report it as finished if it has its part file."""
        if is_done(self._job, number):
            self._on_finished(Finished(number, False, Counter(), 0.0, NO_PHOTO_WORK))
            return
        chunk = OpenChunk(self._job, number, [(one.rules, one.reference) for one in self._questions])
        self._open[number] = chunk
        self._rows += self._job.rows_in_chunk(number)
        requests, chunk.requests = chunk.requests, []
        urls = [url for url in (self._photos.url_of(photo.cell) for photo in requests) if url]
        self._photos.request(requests, self._known_etags(urls) if urls else {})
        self._awaited += len(requests)
        self._finish_if_whole(chunk)

    def _known_etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """Map URLs of photos with a result for every question to their last ETags."""
        first, *others = (question.known.etags(urls) for question in self._questions)
        return {url: etag for url, etag in first.items() if all(other.get(url) == etag for other in others)}

    def step(self) -> None:
        """Process the next photo, or label an incomplete batch if no photo arrives in time."""
        self._check(False)
        waits = any(question.batch for question in self._questions)
        if self._commits and not waits:
            self._report(0.0 if self._open else _WAIT_S)
        photo = self._photos.take(_LINGER_S if waits else _WAIT_S) if self._awaited else None
        if photo is not None:
            self._awaited -= 1
            self._seen += 1
            self._see(photo)
        for question in self._questions:
            if len(question.batch) == BATCH or (photo is None and question.batch):
                self._label(question)

    def _see(self, photo: Photo) -> None:
        chunk = self._open[photo.request.chunk]
        chunk.effort["downloaded"] += photo.downloaded > 0
        chunk.effort["bytes"] += photo.downloaded
        chunk.effort["download_s"] += photo.seconds
        match photo.outcome:
            case ImageError() as error:
                if error.fault is ImageFault.MISSING:
                    self._check(True)
                for question in self._questions:
                    self._settle(photo, failed_cells(error), question, None)
            case bytes() as data:
                self._see_bytes(photo, chunk, data)
            case None:
                self._see_unchanged(photo, chunk)

    def _see_unchanged(self, photo: Photo, chunk: OpenChunk) -> None:
        results = [question.known.at(photo.url or "", photo.etag or "") for question in self._questions]
        known = [one for one in results if one is not None]
        if len(known) < len(results) or len({one.sha256 for one in known}) > 1:
            self._photos.request([photo.request], {})  # the stored result has been deleted: fetch the photo
            self._awaited += 1
            return
        chunk.effort["unchanged"] += 1
        self._take_over(photo, chunk, dict(zip(self._questions, known, strict=True)))

    def _see_bytes(self, photo: Photo, chunk: OpenChunk, data: bytes) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        taken: dict[QuestionModel, Known] = {}
        unknown: list[QuestionModel] = []
        for question in self._questions:
            if sha256 in question.batch:
                question.batch[sha256].append(photo)
            elif known := question.known.find(sha256):
                taken[question] = known
            else:
                unknown.append(question)
        if unknown:
            decoded = chunk.decode(photo.request, data, [question.spec for question in unknown])
        elif len(taken) < len(self._questions):
            chunk.effort["repeated"] += 1  # the same photo is already in the batch
        self._take_over(photo, chunk, taken)
        for question in unknown:
            outcome = decoded[question.spec]
            if not isinstance(outcome, ImageError):
                question.add(sha256, photo, outcome)
                continue
            cells = failed_cells(outcome)
            if outcome.fault not in RETRYABLE:
                question.known.add(sha256, cells, ())
            self._settle(photo, cells, question, sha256)

    def _take_over(self, photo: Photo, chunk: OpenChunk, known: Mapping[QuestionModel, Known]) -> None:
        if len(known) == len(self._questions):
            chunk.effort["carried" if all(one.carried for one in known.values()) else "repeated"] += 1
        for question, one in known.items():
            if photo.url and photo.etag:
                question.known.add(one.sha256, one.result, [(photo.url, photo.etag)])
            self._settle(photo, one.result, question, one.sha256)

    def _label(self, question: QuestionModel) -> None:
        start = time.perf_counter()
        first = [photos[0].request.chunk for photos in question.batch.values()]
        done = question.label()
        seconds = (time.perf_counter() - start) / len(first)
        for number in first:
            self._open[number].effort["inference_s"] += seconds
        for sha256, photos, result in done:
            question.known.add(sha256, result, [(photo.url, photo.etag) for photo in photos])
            for photo in photos:
                self._settle(photo, result, question, sha256)

    def _settle(self, photo: Photo, result: Scored | PartRow, question: QuestionModel, sha256: str | None) -> None:
        chunk = self._open[photo.request.chunk]
        chunk.settle(photo.request.row, result, self._questions.index(question), sha256, photo.etag if sha256 else None)
        self._finish_if_whole(chunk)

    def _finish_if_whole(self, chunk: OpenChunk) -> None:
        if chunk.is_whole:
            del self._open[chunk.number]
            self._rows -= self._job.rows_in_chunk(chunk.number)
            self._commits.add(self._committer.submit(chunk.commit))

    def _report(self, timeout_s: float) -> None:
        if timeout_s:
            wait(self._commits, timeout_s, FIRST_COMPLETED)
        for commit in [commit for commit in self._commits if commit.done()]:
            self._commits.remove(commit)
            self._on_finished(commit.result())
