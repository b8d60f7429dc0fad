"""Runs the queue's tasks: takes leases, labels chunks, releases leases."""

import errno
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Final

from catalogue.photos import Photos
from models.classifier import Classifier
from models.errors import HangtagError, JobError, StorageError, system_words
from models.events import log_event
from models.preprocess import VERSION as PREPROCESS_VERSION
from models.storage.storage import open_storage
from models.text import one_line
from worker.job.job import CANCELLED, Job, ModelPin, photos_of
from worker.job.jobs import BundleStore, Jobs
from worker.job.model import load_pinned
from worker.job.parts import Status
from worker.labelling.chunk import MAX_STRIKES, Finished, attempt_on, earlier_attempts, forget_attempts, is_done
from worker.labelling.earlier_results import EarlierResults, open_earlier_results
from worker.labelling.labeller import Labeller, QuestionModel
from worker.queue.app import BusyProcesses, HangtagCelery
from worker.queue.metrics import count_chunk, count_outcome
from worker.queue.reconciler import send_finish
from worker.queue.redis_state import FINISH, HeldLeases, RedisError, RedisState, connect

_LOOK_S: Final = 1.0
_MODELS_KEPT: Final = 3
_TROUBLE_PAUSE_S: Final = 1.0
MOST_MERGES: Final = 5
"""A job fails after this many failed merges."""
_LASTING: Final = frozenset(
    {None, errno.EACCES, errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EPERM}
)
"""``errno`` values of permanent errors. None: Arrow's errors for damaged files."""
_LONGEST_REASON: Final = 2000
BEGIN_S: Final = 10.0
"""After this many seconds, a task begins no further chunk, so that other jobs can run."""
_LOOKED_AT_ONCE: Final = 16

Finishing = Callable[[], AbstractContextManager[Callable[[Job], bool]]]
"""The type of :func:`worker.results.finish.finishing`."""


def extra_chunks(
    name: str, job: Job, first: int, leases: HeldLeases, state: RedisState, busy: BusyProcesses
) -> Iterator[int]:
    """The chunks of a task: first the queued chunk, then free chunks of the job.

    An error ends the task and all of its chunks. A chunk that killed a process gets a separate task, and so does each
    chunk of a failing job. The search for free chunks begins at a random chunk, so that processes do not compete.
    """
    until, alone = time.monotonic() + BEGIN_S, earlier_attempts(job.storage, first).deaths > 0
    yield first
    if alone or state.failures(name):
        return
    missing = job.missing_chunks()
    start = random.randrange(max(1, len(missing)))  # noqa: S311 - not for security
    chunks = missing[start:] + missing[:start]
    for place in range(0, len(chunks), _LOOKED_AT_ONCE):
        block = chunks[place : place + _LOOKED_AT_ONCE]
        leased = state.leased(name, block)
        for chunk in (chunk for chunk in block if chunk not in leased):
            if busy.stops or time.monotonic() >= until or state.urgent(job.spec.priority):
                return
            if earlier_attempts(job.storage, chunk).deaths or state.is_alone(name, chunk) or not leases.take(chunk):
                continue
            if is_done(job, chunk):
                leases.end(chunk)
            else:
                yield chunk


class Runner:
    """The queue's two tasks: label chunks, and finish a job. The first task connects to Redis and loads models.

    After a failure, a task pauses (``pause``, in seconds), so that other machines take the work.
    """

    def __init__(self, app: HangtagCelery, finishing: Finishing, pause: Callable[[float], None] = time.sleep) -> None:
        self._app = app
        self._finishing = finishing
        self._pause = pause
        self.resources = JobResources()

    @cached_property
    def _redis(self) -> RedisState:
        return RedisState(connect(self._app.settings))

    @cached_property
    def _jobs(self) -> Jobs:
        return Jobs(open_storage(self._app.settings.jobs))

    @cached_property
    def _models(self) -> "LoadedModels":
        return LoadedModels(self._jobs.bundles, _MODELS_KEPT)

    def label_chunk(self, job: str, chunk: int) -> None:
        """Label a chunk, then further chunks of the job for some seconds."""
        with self._task(job, chunk) as leases:
            if leases.take(chunk):
                self._label(job, chunk, leases)

    def _label(self, name: str, chunk: int, leases: HeldLeases) -> None:
        job = self._jobs.find(name)
        _check_usable(job)
        if chunk >= job.spec.chunks or is_done(job, chunk):  # an old message
            return
        _check_deaths(job, chunk)
        models = self._models.of(job)

        def finished(done: Finished) -> None:
            leases.end(done.chunk)
            if done.committed:
                _report_chunk(name, done)
                with suppress(RedisError):
                    self._redis.reset_backoff(name)

        chunks = extra_chunks(name, job, chunk, leases, self._redis, self._app.busy)

        def next_chunk(_wait: bool) -> int | None:
            with suppress(RedisError):  # without Redis, begin no further chunk
                return next(chunks, None)
            return None

        with self.resources.of(job) as (photos, known):
            questions = list(map(QuestionModel, models, known))
            with Labeller(job, questions, photos, finished, _JobCheck(job)) as labeller:
                labeller.run(next_chunk)
        with suppress(HangtagError, OSError, RedisError):  # after an error, the reconciler queues the merge
            send_finish(self._redis, self._app.send, name, job)

    def finish_job(self, job: str) -> None:
        """Finish a job whose chunks are all done."""
        with self._finishing() as finish, self._task(job, FINISH) as leases:
            if leases.take(FINISH):
                self._finish(job, finish)

    def _finish(self, name: str, finish: Callable[[Job], bool]) -> None:
        job = self._jobs.find(name)
        try:
            _check_deaths(job, FINISH)
            with attempt_on(job.storage, FINISH):
                finished = finish(job)
        except Exception as error:
            if not isinstance(error, StorageError) and getattr(error, "errno", None) in _LASTING:
                self._count_failed_merge(name, job, error)
            raise
        forget_attempts(job.storage, FINISH)
        if finished:
            log_event("job_finished", job=name)

    def _count_failed_merge(self, name: str, job: Job, error: Exception) -> None:
        with suppress(RedisError):
            if self._redis.count_failed_merge(name) >= MOST_MERGES:
                reason = one_line(_words(error), _LONGEST_REASON)
                job.storage.commit(CANCELLED, reason.encode())
                log_event("job_failed", logging.ERROR, job=name, error=reason)

    @contextmanager
    def _task(self, job: str, chunk: int) -> Iterator[HeldLeases]:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # SIGALRM ends a process whose decoding hangs
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # Celery sends SIGQUIT after the grace time
        with self._app.busy.taken(), HeldLeases(self._redis, job) as leases:
            try:
                yield leases
            except _CancelledError:
                count_outcome("given_up")
                log_event("chunk_given_up", job=job, chunk=chunk, reason="cancelled")
            except Exception as error:  # noqa: BLE001 - people must see every error
                if chunk != FINISH:
                    count_outcome("failed")
                self._report_trouble(job, sorted({chunk, *leases.chunks}), _words(error))

    def _report_trouble(self, job: str, chunks: list[int], error: str) -> None:
        log_event("chunk_failed", logging.ERROR, job=job, chunk=",".join(map(str, chunks)), error=error)
        with suppress(RedisError):
            self._redis.hold_back(job, chunks)
            self._redis.report_trouble(job, socket.gethostname(), error)
        self._pause(_TROUBLE_PAUSE_S)


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return system_words(error)
    return str(error) if isinstance(error, HangtagError) else f"{type(error).__name__}: {error}"


def _check_deaths(job: Job, chunk: int) -> None:
    """Raise JobError after too many unexplained process deaths in a chunk or a merge."""
    earlier = earlier_attempts(job.storage, chunk)
    if earlier.deaths - len(earlier.rows) >= MAX_STRIKES:
        forget_attempts(job.storage, chunk)
        what, blame = (f"Chunk {chunk}", ", and no photo is the cause") if chunk != FINISH else ("Merging", "")
        msg = (
            f"{what} killed its process {earlier.deaths} times{blame}; "
            "give the worker more memory, or fewer slots (--workers)."
        )
        raise JobError(msg)


def _report_chunk(job: str, done: Finished) -> None:
    photos = done.photos
    count_chunk(done.seconds, done.outcomes, photos)
    log_event(
        "chunk_done",
        job=job,
        chunk=done.chunk,
        rows=done.outcomes.total(),
        failed=sum(count for (status, _), count in done.outcomes.items() if status == Status.FAILED),
        downloaded=photos.downloaded,
        repeated=photos.repeated,
        carried=photos.carried,
        seconds=round(done.seconds, 3),
        download_s=round(photos.download_s, 3),
        decode_s=round(photos.decode_s, 3),
        inference_s=round(photos.inference_s, 3),
    )


class _CancelledError(HangtagError):
    """The job was cancelled while a chunk was in progress."""


class _JobCheck:
    """Calls :func:`_check_usable` at most once a second; with ``at_once``, immediately."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._next = time.monotonic() + _LOOK_S

    def __call__(self, at_once: bool) -> None:
        if at_once or time.monotonic() >= self._next:
            _check_usable(self._job)
            self._next = time.monotonic() + _LOOK_S


def _check_usable(job: Job) -> None:
    """Raise an error if the job is cancelled, or if its labels would differ on this machine."""
    spec, host = job.spec, socket.gethostname()
    if job.cancelled:
        raise _CancelledError
    if spec.preprocess_version != PREPROCESS_VERSION:
        msg = (
            f"The job was submitted with preprocessing version {spec.preprocess_version}, but {host} has version "
            f"{PREPROCESS_VERSION}; install the same Hangtag version on both machines."
        )
        raise JobError(msg)
    if spec.needs_root and not _is_mounted(Path(spec.image_root)):
        msg = (
            f"Expected the job's photos under {spec.image_root}, but {host} has no files there; mount that folder, or "
            "submit with another --image-root."
        )
        raise JobError(msg)


def _is_mounted(folder: Path) -> bool:
    """Whether a folder has entries. The folder of an unmounted share is empty."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return next(entries, None) is not None
    return False


class LoadedModels:
    """Caches at most ``kept`` verified models, but always all models of the last job."""

    def __init__(self, store: BundleStore, kept: int) -> None:
        self._store = store
        self._kept = kept
        self._needed = 0
        self._loaded: dict[tuple[str, str, float | None, float | None], Classifier] = {}

    def of(self, job: Job) -> list[Classifier]:
        """The models of a job's questions."""
        self._needed = len(job.questions)
        return [self.get(question.model) for question in job.questions]

    def get(self, pin: ModelPin) -> Classifier:
        """Return a model from the cache, or load it and drop the least recently used model."""
        key = (pin.digest, pin.variant, pin.precision, pin.threshold)
        model = self._loaded.pop(key, None)
        if model is None:
            start = time.monotonic()
            model = load_pinned(self._store.fetch(pin.digest), pin)
            seconds = round(time.monotonic() - start, 3)
            log_event("model_loaded", model=pin.reference, digest=pin.digest, seconds=seconds)
        self._loaded[key] = model
        while len(self._loaded) > max(self._kept, self._needed):
            del self._loaded[next(iter(self._loaded))]
        return model


class JobResources:
    """Keeps a job's photos and reusable results open between tasks of a process.

    Reopens the photos and results after an error: a broken S3 client, for example, would fail again.
    """

    def __init__(self) -> None:
        self._job = ""
        self._open: tuple[Photos, list[EarlierResults]] | None = None

    @contextmanager
    def of(self, job: Job) -> Iterator[tuple[Photos, list[EarlierResults]]]:
        """Open a job's photos and reusable results; closes the previous job's."""
        if self._open is None or job.spec.id != self._job:
            self.close()
            self._job = job.spec.id
            self._open = (photos_of(job), list(map(open_earlier_results, job.questions)))
        try:
            yield self._open
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close photos and results."""
        resources, self._open = self._open, None
        if resources:
            photos, known = resources
            photos.close()
            for results in known:
                results.close()
