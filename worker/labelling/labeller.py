"""Turns a job's chunks into parts: photos are taken as they arrive, and labelled in batches across chunks."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import chain
from typing import Final, Protocol, Self

import numpy as np

from models.classifier import BATCH, Classifier
from models.errors import ImageError, ImageFault
from models.preprocess import Pixels
from worker.earlier.result_table import EarlierResult, LabelledRow
from worker.earlier.results import NO_EARLIER_RESULTS, EarlierResults
from worker.job import RETRYABLE, Job
from worker.labelling.chunk import Finished, OpenChunk, is_done
from worker.photos.photo import Photo
from worker.photos.source import Photos
from worker.results import NO_PHOTO_WORK, RowResult, failed_row, labeled_row

__all__ = ["Feed", "Guard", "Labeller", "run_chunks"]

_LINGER_S: Final = 0.01
"""How long a batch that is not full waits for another photo."""

_KEEP: Final = 32
"""How many new results are kept for other processes at once: a transaction a batch took longer than its rows."""

_WAIT_S: Final = 0.2
_MOST_CHUNKS: Final = 3
"""The most chunks in hand, those that are being committed included, if all photos lie on disk."""

_MOST_ROWS: Final = 8192
"""The most rows of the chunks in hand; while slow hosts are waited for, their results stay in memory."""

_AHEAD: Final = 1024
_AHEAD_S: Final = 15.0
"""The most photos that are requested ahead: ``_AHEAD``, or what arrived in ``_AHEAD_S`` seconds if that is more.
Asking a slow host for more brings none sooner, and a process that is to end, or has more urgent work, waits for all."""


class Guard:
    """May stop the work by raising; this one never does."""

    def before_photo(self) -> None:
        """Called before each photo is taken, and now and then while waiting for one."""

    def photo_missing(self) -> None:
        """Called when a photo is not where it should be, at once: a share may come back before its chunk is done."""


class Feed(Protocol):
    """Where a labelling process gets its chunks from."""

    def next(self, *, wait: bool) -> int | None:
        """Another chunk to begin.

        Returns:
            Its number; None if no chunk is ready. With ``wait``, None means that no more will come.
        """


class Labeller:
    """Has chunks of one job in hand, and labels their photos; used in a ``with`` block, which gives up what is left.

    With ``ahead`` it wants a chunk whose photos lie on disk before the last photos of another are labelled, so that
    batches are full across chunks and parts are committed meanwhile.
    """

    def __init__(
        self,
        job: Job,
        classifier: Classifier,
        photos: Photos,
        on_finished: Callable[[Finished], None],
        known: EarlierResults = NO_EARLIER_RESULTS,
        guard: Guard | None = None,
        *,
        ahead: bool = False,
    ) -> None:
        self._job = job
        self._classifier = classifier
        self._photos = photos
        self._known = known
        self._on_finished = on_finished
        self._guard = guard or Guard()
        self._ahead = ahead
        self._open: dict[int, OpenChunk] = {}
        self._commits: set[Future[Finished]] = set()
        self._committer = ThreadPoolExecutor(1)  # while a part is synced to its disk, other photos are labelled
        size = classifier.metadata.preprocess.size
        self._pixels = np.empty((BATCH, size, size, 3), np.uint8)
        self._batch: dict[str, list[Photo]] = {}
        self._unkept: dict[str, list[LabelledRow]] = {}
        self._awaited = 0
        self._rows = 0
        self._seen = 0
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        chunks, self._open = self._open, {}
        for chunk in chunks.values():
            chunk.give_up()  # before what may raise: a marker that stays tells of a photo that ended its process
        self._committer.shutdown()
        for number in chunks:
            self._photos.forget(number)
        self._keep()

    @property
    def busy(self) -> bool:
        """Whether a chunk is in hand."""
        return bool(self._open or self._commits)

    @property
    def wants_more(self) -> bool:
        """Whether to begin another chunk: there is room for it, and its photos would be fetched at once."""
        if not self._open:
            return self._ahead or not self._commits
        if self._ahead and self._photos.on_disk and self._awaited < BATCH:
            return len(self._open) + len(self._commits) < _MOST_CHUNKS
        return self._photos.wants_more and self._rows < _MOST_ROWS and self._awaited < self._most_awaited

    @property
    def _most_awaited(self) -> float:
        return max(_AHEAD, _AHEAD_S * self._seen / max(time.monotonic() - self._start, _AHEAD_S))

    def begin(self, number: int) -> None:
        """Take a chunk in hand; one that is done already is finished at once."""
        if is_done(self._job, number):
            self._on_finished(Finished(number, committed=False, rows=(), seconds=0.0, photos=NO_PHOTO_WORK))
            return
        chunk = OpenChunk(self._job, number, self._classifier.metadata.preprocess)
        self._open[number] = chunk
        self._rows += self._job.rows_in_chunk(number)
        wanted = chunk.take_wanted()
        urls = [url for url in (self._photos.url_of(photo.cell) for photo in wanted) if url]
        self._photos.want(wanted, self._known.etags(urls) if urls else {})
        self._awaited += len(wanted)
        self._finish_if_whole(chunk)

    def step(self) -> None:
        """Take the next photo and process it; if none arrives in time, label the batch as it is."""
        self._guard.before_photo()
        if self._commits:
            self._report(0.0 if self._open else _WAIT_S)
        photo = self._photos.take(_LINGER_S if self._batch else _WAIT_S) if self._awaited else None
        if photo is not None:
            self._awaited -= 1
            self._seen += 1
            self._see(photo)
        if len(self._batch) == BATCH or (photo is None and self._batch):
            self._label()

    def _see(self, photo: Photo) -> None:
        chunk = self._open[photo.wanted.chunk]
        chunk.effort["downloaded"] += photo.downloaded > 0
        chunk.effort["bytes"] += photo.downloaded
        chunk.effort["download_s"] += photo.seconds
        match photo.outcome:
            case ImageError() as error:
                if error.fault is ImageFault.MISSING:
                    self._guard.photo_missing()
                self._settle(photo, failed_row(error, None, self._classifier.reference))
            case bytes() as data:
                self._see_bytes(photo, chunk, data)
            case None:
                self._see_unchanged(photo, chunk)

    def _see_unchanged(self, photo: Photo, chunk: OpenChunk) -> None:
        known = self._known.at(photo.url or "", photo.etag or "")
        if known is None:  # it was known when the host was asked, and is not any more
            self._photos.want([photo.wanted], {})
            self._awaited += 1
            return
        chunk.effort["unchanged"] += 1
        self._take_over(photo, chunk, known)

    def _see_bytes(self, photo: Photo, chunk: OpenChunk, data: bytes) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        waiting = self._batch.get(sha256)
        if waiting is not None:
            waiting.append(photo)
            chunk.effort["repeated"] += 1
            return
        fresh = self._unkept.get(sha256)
        known = EarlierResult(fresh[0].result, carried=False) if fresh else self._known.find(sha256)
        if known is not None:
            self._take_over(photo, chunk, known)
            return
        outcome = _decoded(photo, chunk, data)
        if isinstance(outcome, ImageError):
            self._fail(photo, sha256, outcome)
        else:
            self._pixels[len(self._batch)] = outcome
            self._batch[sha256] = [photo]

    def _take_over(self, photo: Photo, chunk: OpenChunk, known: EarlierResult) -> None:
        chunk.effort["carried" if known.carried else "repeated"] += 1
        row = replace(known.result, etag=photo.etag)
        if photo.url and photo.etag:
            self._known.add([LabelledRow(row, photo.url)])
        self._settle(photo, row)

    def _fail(self, photo: Photo, sha256: str, error: ImageError) -> None:
        row = replace(failed_row(error, sha256, self._classifier.reference), etag=photo.etag)
        if error.fault not in RETRYABLE:
            self._known.add([LabelledRow(row, photo.url)])
        self._settle(photo, row)

    def _label(self) -> None:
        start = time.perf_counter()
        batch, self._batch = self._batch, {}
        scores = self._classifier.score(self._pixels[: len(batch)])
        predictions = self._classifier.decide(scores, self._job.spec.options.top_k)
        seconds = (time.perf_counter() - start) / len(batch)
        done: list[tuple[Photo, RowResult]] = []
        for (sha256, photos), prediction in zip(batch.items(), predictions, strict=True):
            row = labeled_row(prediction, sha256, self._classifier.reference)
            self._open[photos[0].wanted.chunk].effort["inference_s"] += seconds
            rows = [replace(row, etag=photo.etag) if photo.etag else row for photo in photos]
            self._unkept[sha256] = [LabelledRow(row, photo.url) for row, photo in zip(rows, photos, strict=True)]
            done += zip(photos, rows, strict=True)
        if len(self._unkept) >= _KEEP:
            self._keep()
        for photo, row in done:
            self._settle(photo, row)

    def _keep(self) -> None:
        """Let other processes know the new results; one that is killed before has at most ``_KEEP`` to find again."""
        self._known.add(chain.from_iterable(self._unkept.values()))
        self._unkept = {}

    def _settle(self, photo: Photo, result: RowResult) -> None:
        chunk = self._open[photo.wanted.chunk]
        chunk.settle(photo.wanted.row, result)
        self._finish_if_whole(chunk)

    def _finish_if_whole(self, chunk: OpenChunk) -> None:
        if not chunk.is_whole:
            return
        del self._open[chunk.number]
        self._rows -= self._job.rows_in_chunk(chunk.number)
        self._commits.add(self._committer.submit(chunk.commit))

    def _report(self, timeout_s: float) -> None:
        """Tell of the chunks that have their parts by now, or as soon as one has."""
        done, self._commits = wait(self._commits, timeout_s, FIRST_COMPLETED)
        for commit in done:
            self._on_finished(commit.result())


def _decoded(photo: Photo, chunk: OpenChunk, data: bytes) -> Pixels | ImageError:
    start = time.perf_counter()
    chunk.effort["decoded"] += 1
    try:
        return chunk.decoder.decode(photo.wanted, data)
    except ImageError as error:
        return error
    finally:
        chunk.effort["decode_s"] += time.perf_counter() - start


def run_chunks(labeller: Labeller, feed: Feed) -> None:
    """Label the chunks of a feed until it has no more."""
    while True:
        while labeller.wants_more and (chunk := feed.next(wait=not labeller.busy)) is not None:
            labeller.begin(chunk)
        if not labeller.busy:
            return
        labeller.step()
