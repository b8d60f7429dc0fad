"""Labels photos of requests in a pool of processes, one a core: a bounded queue, and batches of whatever waits in it.

    answers = await state.classifier.classify([photo, …], top_k=5)

A thread feeds each process. A photo that ends its process is given once more, alone; if that ends, too, it alone fails.
"""

import asyncio
import json
import logging
import math
import os
import select
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Event, Lock, Thread
from typing import IO, Any, Final, cast

from models.bundle import read_manifest
from models.classifier import BATCH
from models.decision import Prediction, ReviewReason
from models.errors import HangtagError, ImageFault, InputError
from models.process import python_command, python_environment, usable_cores
from models.reference import ModelReference, resolve_model
from models.registry.registry import open_registry
from models.registry.state import CHAMPION
from models.text import number_of
from web.problems import Problem
from worker.events import log_event
from worker.results import Status

__all__ = ["Answer", "ClassifierPool", "Limits", "NoModelError", "PoolFigures", "ServedModel"]

_START_S: Final = 120.0
_LATE_S: Final = 30.0
"""How much longer than its photos may take a process may stay silent before it is killed."""
_DEATHS: Final = 2
_BATCH_BYTES: Final = 64 * 1024 * 1024
_AGAIN_S: Final = 60.0
"""After this time a model that was refused is tried again."""
_SMOOTHING: Final = 0.1


@dataclass(frozen=True)
class Limits:
    """What the pool takes.

    Attributes:
        photos: that may wait at once, of all requests together.
        bytes: that they may have.
        decode_s: seconds that decoding one photo may take.
        wait_s: seconds after which a request is given up.
        look_s: seconds between two looks at which version the model's alias means.
    """

    photos: int = 512
    bytes: int = 512 * 1024 * 1024
    decode_s: float = 10.0
    wait_s: float = 120.0
    look_s: float = 3.0


@dataclass(frozen=True)
class ServedModel:
    """The model that answers.

    Attributes:
        name: as people read it: ``shop@3``, or a path.
        path: its bundle, or a lone ``.onnx`` file.
        reference: ``name/version/variant@digest``.
        digest: SHA-256 of the bundle's manifest, or of the lone file.
        labels: class names.
        size: side of the square that photos are fitted into, in pixels.
        precision: that it promises of photos that need no review, if any.
        precisions: those that may be asked for.
        rule: what decides which photos need no review, in a sentence.
        unknown_limit: a photo whose out-of-distribution score is above goes to review; none without such a score.
    """

    name: str
    path: Path
    reference: str
    digest: str
    labels: tuple[str, ...]
    size: int
    precision: float | None
    precisions: tuple[float, ...]
    rule: str
    unknown_limit: float | None


@dataclass(frozen=True)
class Answer:
    """What became of one photo: a prediction, or a fault.

    Attributes:
        sha256: of its bytes; empty where it was not looked at.
        model: the reference of the model that was asked.
        prediction: none if it could not be read.
        fault: why it could not; none if it could.
        message: the same in a sentence.
        threshold: the confidence from which its label needs no review; None if that class always needs one.
        rule: what decides which photos need no review, in a sentence.
        decode_ms: milliseconds of decoding it.
        inference_ms: its share of the milliseconds of its batch.
    """

    sha256: str
    model: str
    prediction: Prediction | None
    fault: ImageFault | None = None
    message: str | None = None
    threshold: float | None = None
    rule: str | None = None
    decode_ms: float = 0.0
    inference_ms: float = 0.0

    @property
    def status(self) -> Status:
        """As in results."""
        if self.prediction is None:
            return Status.FAILED
        return Status.REVIEW if self.prediction.review else Status.LABELED


class NoModelError(InputError):
    """No model is named, and the registry does not have just one."""


class PoolFigures:
    """What a pool has done since it started.

    Attributes:
        photos: by status and fault.
        batches: by how many photos they had.
        deaths: processes that ended with photos in hand.
        decode_s: seconds of decoding, of all processes.
        inference_s: seconds of running the network.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.photos: Counter[tuple[str, str]] = Counter()
        self.batches: Counter[int] = Counter()
        self.deaths = 0
        self.decode_s = 0.0
        self.inference_s = 0.0

    def note(self, photos: int, answers: list[dict[str, Any]]) -> None:
        """A batch is done."""
        with self._lock:
            self.batches[photos] += 1
            for answer in answers:
                self.photos[_outcome(answer)] += 1
                self.decode_s += answer["decode_ms"] / 1000
                self.inference_s += answer.get("inference_ms", 0.0) / 1000

    def note_death(self) -> None:
        """A process has ended with photos in hand."""
        with self._lock:
            self.deaths += 1

    def note_lost(self, fault: ImageFault) -> None:
        """A photo has ended its process twice."""
        with self._lock:
            self.photos[Status.FAILED, fault] += 1


def _outcome(answer: dict[str, Any]) -> tuple[str, str]:
    if "fault" in answer:
        return Status.FAILED, answer["fault"]
    return (Status.REVIEW if answer.get("reason") else Status.LABELED), ""


@dataclass(frozen=True)
class _Ask:
    """What is asked of a photo."""

    top_k: int
    precision: float | None
    threshold: float | None


class _Request:
    """The photos of one call, answered when the last of them is."""

    def __init__(self, photos: int) -> None:
        self.future: Future[list[Answer]] = Future()
        self._answers: list[Answer | None] = [None] * photos
        self._left = photos
        self._lock = Lock()

    def answer(self, place: int, answer: Answer) -> None:
        with self._lock:
            self._answers[place] = answer
            self._left -= 1
            whole = not self._left
        if whole:
            with suppress(InvalidStateError):  # given up meanwhile
                self.future.set_result(cast("list[Answer]", self._answers))

    def fail(self, error: Exception) -> None:
        with suppress(InvalidStateError):
            self.future.set_exception(error)


@dataclass(eq=False)
class _Waiting:
    """A photo that waits for a process."""

    photo: bytes
    ask: _Ask
    request: _Request
    place: int
    deaths: int = 0


class _Queue:
    """Photos that wait, and who takes them; it never grows beyond its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._photos: deque[_Waiting] = deque()
        self._bytes = 0
        self._takers = 0
        self._changed = Condition()
        self._closed = False
        self.rate = 0.0
        """Photos a second, of late."""

    def __len__(self) -> int:
        return len(self._photos)

    def put(self, photos: list[_Waiting]) -> None:
        """Let all of them wait, or none.

        Raises:
            Problem: 413 where they are more than ever fit, 429 while they do not fit, 503 once it is closed.
        """
        size = sum(len(waiting.photo) for waiting in photos)
        if len(photos) > self._limits.photos or size > self._limits.bytes:
            raise Problem(413, f"Expected at most {self._limits.photos} photos at once, got {len(photos)}; send fewer.")
        with self._changed:
            if self._closed:
                raise _ended()
            full = len(self._photos) + len(photos) > self._limits.photos or self._bytes + size > self._limits.bytes
            if full:
                seconds = min(60, math.ceil(len(self._photos) / self.rate)) if self.rate else 1
                message = f"Too many photos wait ({len(self._photos)}); try again in {number_of(seconds, 'second')}."
                raise Problem(429, message, {"retry-after": str(max(1, seconds))})
            self._photos.extend(photos)
            self._bytes += size
            self._changed.notify_all()

    def give_back(self, photos: list[_Waiting]) -> None:
        """Put photos whose process died in front of all others."""
        with self._changed:
            self._photos.extendleft(reversed(photos))
            self._bytes += sum(len(waiting.photo) for waiting in photos)
            self._changed.notify_all()

    def take(self) -> list[_Waiting]:
        """The next batch: a fair part of what waits, and a photo alone that was in hand at a death; none at the end."""
        with self._changed:
            self._takers += 1
            while not self._photos and not self._closed:
                self._changed.wait()
            most = min(BATCH, math.ceil(len(self._photos) / self._takers))
            self._takers -= 1
            return [] if self._closed else self._batch(most)

    def _batch(self, most: int) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._photos and len(batch) < most and not (batch and (size > _BATCH_BYTES or self._photos[0].deaths)):
            waiting = self._photos.popleft()
            self._bytes -= len(waiting.photo)
            if waiting.request.future.cancelled():
                continue
            batch.append(waiting)
            size += len(waiting.photo)
            if waiting.deaths:
                break
        return batch

    def fail_all(self, error: Exception, *, close: bool = False) -> None:
        """Answer all that wait with an error."""
        with self._changed:
            photos, self._photos, self._bytes = self._photos, deque(), 0
            self._closed = self._closed or close
            self._changed.notify_all()
        for waiting in photos:
            waiting.request.fail(error)


class _Died(Exception):
    """A process ended; ``status`` as :class:`subprocess.Popen` says it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Child:
    """A process that labels photos with one model."""

    def __init__(self, found: ModelReference, decode_s: float) -> None:
        command = python_command("web.classify_process", str(found.path.resolve()), str(decode_s))
        pipe = subprocess.PIPE
        self._decode_s = decode_s
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=python_environment())
        self._input = cast("IO[bytes]", self._process.stdin)
        self._replies = cast("IO[bytes]", self._process.stdout)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self._found = found

    def ready(self) -> ServedModel:
        """Wait until it has loaded the model.

        Raises:
            HangtagError: it cannot.
        """
        try:
            said = self._reply(_START_S)
        except _Died as died:
            msg = f"A process that labels photos ended as it started (status {died.status}); see the server's output."
            raise HangtagError(msg) from died
        if "refused" in said:
            self.end()
            raise HangtagError(str(said["refused"]))
        model: dict[str, Any] = said["model"]
        model |= {name: tuple(model[name]) for name in ("labels", "precisions")}
        self.model = ServedModel(name=self._found.said, path=self._found.path, **model)
        return self.model

    def ask(self, batch: list[_Waiting]) -> list[dict[str, Any]]:
        """One answer for each photo; _Died where it ended with the batch in hand."""
        asks = [{"size": len(waiting.photo), **vars(waiting.ask)} for waiting in batch]
        try:
            with suppress(BrokenPipeError):  # that it has died is noticed below
                self._input.write(json.dumps({"asks": asks}).encode() + b"\n")
                for waiting in batch:
                    self._input.write(waiting.photo)
                self._input.flush()
            answers: list[dict[str, Any]] = self._reply(self._decode_s * len(batch) + _LATE_S)["answers"]
        except ValueError as error:  # its pipes are closed, since the server is ending
            raise _Died(self._process.wait()) from error
        return answers

    def _reply(self, timeout_s: float) -> dict[str, Any]:
        """The next line; it writes each at once, so a line that has begun soon ends."""
        line = self._replies.readline() if self._poll.poll(timeout_s * 1000) else None
        if line and line.endswith(b"\n"):
            return cast("dict[str, Any]", json.loads(line))
        status = self._process.wait() if line is not None else -signal.SIGALRM
        self.end()
        raise _Died(status)

    def end(self) -> None:
        """Kill it if it still runs, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._replies.close()
        with suppress(BrokenPipeError):
            self._input.close()


@dataclass
class _Slot:
    """A place of the pool: the process there, and the one that is to follow it."""

    thread: Thread | None = None
    child: _Child | None = None
    next: _Child | None = None
    lock: Lock = field(default_factory=Lock)

    def current(self) -> _Child | None:
        """The process to ask: the one that follows, once there is one."""
        with self.lock:
            if self.next:
                before, self.child, self.next = self.child, self.next, None
                if before:
                    before.end()
            return self.child

    def follow(self, child: _Child) -> None:
        """Let another process follow."""
        with self.lock:
            before, self.next = self.next, child
            if before:
                before.end()

    def end(self) -> None:
        """End both processes."""
        with self.lock:
            for child in (self.child, self.next):
                if child:
                    child.end()
            self.child = self.next = None


class ClassifierPool:
    """Labels photos of requests. It starts with the first of them, or with :meth:`start`.

    Args:
        model: a path, or a name of the registry; without it the champion of the registry's only model.
        registry: where names are looked up.
        limits: what it takes.
        processes: how many; one a core where it is not given.

    Attributes:
        model: that answers; none until it is loaded.
        trouble: why the model that is meant cannot be loaded; the one before goes on answering.
        absent: whether the trouble is that no model is meant.
        figures: what it has done.
    """

    def __init__(
        self, model: str | None, registry: str, limits: Limits | None = None, processes: int | None = None
    ) -> None:
        self._model = model
        self._registry = registry
        self.limits = limits or Limits()
        self._queue = _Queue(self.limits)
        self._slots = [_Slot() for _ in range(processes or usable_cores())]
        self._starting = Lock()
        self._started = False
        self._ended = Event()
        self._seen: tuple[str, str] | None = None
        self._refused: tuple[tuple[str, str], float, HangtagError] | None = None
        self.model: ServedModel | None = None
        self.trouble: str | None = None
        self.absent = False
        self.figures = PoolFigures()

    @property
    def loading(self) -> bool:
        """Whether no model answers yet, and nothing is known to stand in its way."""
        return self.model is None and self.trouble is None

    @property
    def waiting(self) -> int:
        """Photos that wait."""
        return len(self._queue)

    @property
    def processes(self) -> int:
        """How many processes label photos."""
        return len(self._slots)

    def start(self) -> None:
        """Begin to load the model, in threads of their own; a second call does nothing."""
        with self._starting:
            if self._started:
                return
            self._started = True
        Thread(target=self._watch, name="classify-model", daemon=True).start()

    def close(self) -> None:
        """End all processes; what waits gets an error."""
        self._ended.set()
        self._queue.fail_all(_ended(), close=True)
        for slot in self._slots:
            slot.end()

    async def classify(
        self, photos: Sequence[bytes], top_k: int = 3, precision: float | None = None, threshold: float | None = None
    ) -> list[Answer]:
        """Label photos. A photo that cannot be read fails no other.

        Args:
            photos: the bytes of their files.
            top_k: how many classes to name, best first.
            precision: how often photos that need no review must be right: one of the model's table; the model's own
                choice where it is not given.
            threshold: the confidence from which photos of any class need no review, in place of a precision.

        Returns:
            An answer for each photo, in order.

        Raises:
            Problem: 413 for more photos than the queue holds, 429 while it is full, 503 without a model.
            InputError: the model has no such precision, or the threshold is none.
        """
        if not photos:
            return []
        self.start()
        if self.trouble and not self.model:
            raise _no_model(self.trouble)
        request, ask = _Request(len(photos)), _Ask(top_k, precision, threshold)
        self._queue.put([_Waiting(photo, ask, request, place) for place, photo in enumerate(photos)])
        try:
            async with asyncio.timeout(self.limits.wait_s):
                return await asyncio.wrap_future(request.future)
        except TimeoutError:
            msg = f"No answer came within {self.limits.wait_s:g} s; send fewer photos at once, or try again later."
            raise Problem(503, msg, {"retry-after": "10"}) from None

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self._look()
                self.trouble = None
            except Exception as error:  # noqa: BLE001 - said in answers and at /readyz; the next look may be better
                self._note_trouble(error)
            self._ended.wait(self.limits.look_s)

    def _note_trouble(self, error: Exception) -> None:
        said = str(error) if isinstance(error, HangtagError) else f"{type(error).__name__}: {error}"
        if said != self.trouble:
            log_event("model_refused", logging.WARNING, error=said)
        self.trouble, self.absent = said, isinstance(error, NoModelError)
        if not self.model:
            self._queue.fail_all(_no_model(said))

    def _look(self) -> None:
        """Load the model that is meant now, if it is another one than before; the earlier one answers until then."""
        found = resolve_model(self.meant(), self._registry)
        seen = (found.said, _fingerprint(found.path))
        if seen == self._seen:
            return
        if self._refused and self._refused[0] == seen and time.monotonic() < self._refused[1] + _AGAIN_S:
            raise self._refused[2]
        try:
            self._serve_model(found)
        except HangtagError as error:
            self._refused = (seen, time.monotonic(), error)
            raise
        self._seen = seen

    def _serve_model(self, found: ModelReference) -> None:
        """Start a process a slot with a model, and let them follow those of before once all are ready."""
        children: list[_Child] = []
        try:
            children.extend(_Child(found, self.limits.decode_s) for _ in self._slots)
            models = {child.ready() for child in children}
            if len(models) > 1:
                msg = f"{found.said} was replaced while it was loaded; it is loaded again."
                raise HangtagError(msg)
        except BaseException:
            for child in children:
                child.end()
            raise
        self._found, self.model = found, models.pop()
        for slot, child in zip(self._slots, children, strict=True):
            slot.follow(child)
            if slot.thread is None:
                slot.thread = Thread(target=self._work, args=(slot,), name="classify", daemon=True)
                slot.thread.start()
        if self._ended.is_set():
            self.close()

    def meant(self) -> str:
        """The model that is meant: the one that was named, or the champion of the registry's only model.

        Raises:
            NoModelError: none was named, and the registry does not have just one.
        """
        if self._model:
            return self._model
        names = open_registry(self._registry).names()
        if len(names) != 1:
            found = ", ".join(names) or "none"
            msg = f"Expected one model in the registry {self._registry}, found {found}; name a model with --model."
            raise NoModelError(msg)
        return f"{names[0]}@{CHAMPION}"

    def _work(self, slot: _Slot) -> None:
        """Feed one process after another, until the queue is closed."""
        while not self._ended.is_set():
            batch = self._queue.take()
            child = slot.current()
            if not batch:
                continue
            if child is None:  # the server is ending
                self._queue.give_back(batch)
                return
            try:
                self._serve(child, batch)
            except _Died as died:
                self._bury(slot, batch, died.status)

    def _serve(self, child: _Child, batch: list[_Waiting]) -> None:
        start = time.monotonic()
        answers = child.ask(batch)
        self.figures.note(len(batch), answers)
        rate = len(self._slots) * len(batch) / max(time.monotonic() - start, 1e-6)
        self._queue.rate += _SMOOTHING * (rate - self._queue.rate) if self._queue.rate else rate
        for waiting, said in zip(batch, answers, strict=True):
            if "refused" in said:
                waiting.request.fail(InputError(said["refused"]))
            else:
                waiting.request.answer(waiting.place, _answer(child.model.reference, said))

    def _bury(self, slot: _Slot, batch: list[_Waiting], status: int) -> None:
        """Give the photos of a dead process to others, but for one that was alone in hand, at its second death."""
        if self._ended.is_set():
            for waiting in batch:
                waiting.request.fail(_ended())
            return
        self.figures.note_death()
        log_event("process_died", logging.WARNING, status=status, photos=len(batch))
        for waiting in batch:
            waiting.deaths += 1
        if len(batch) == 1 and batch[0].deaths >= _DEATHS:
            fault, message = _verdict(status, self.limits.decode_s)
            model = self.model.reference if self.model else ""
            self.figures.note_lost(fault)
            batch[0].request.answer(batch[0].place, Answer("", model, None, fault, message))
        else:
            self._queue.give_back(batch)
        self._replace(slot)

    def _replace(self, slot: _Slot) -> None:
        """Start another process; while none starts, others take the photos."""
        while not self._ended.is_set():
            child = _Child(self._found, self.limits.decode_s)
            try:
                child.ready()
            except HangtagError as error:
                log_event("process_not_started", logging.WARNING, error=str(error))
                self._ended.wait(self.limits.look_s)
                continue
            slot.follow(child)
            break
        if self._ended.is_set():
            slot.end()


def _fingerprint(model: Path) -> str:
    """What tells a model that was replaced from what it was, without reading it."""
    if model.is_dir():
        return read_manifest(model).digest
    status = os.stat(model)  # noqa: PTH116 - says more in its error
    return f"{status.st_mtime_ns} {status.st_size}"


def _answer(model: str, said: dict[str, Any]) -> Answer:
    sha256, decode_ms = said["sha256"], said["decode_ms"]
    if "fault" in said:
        return Answer(sha256, model, None, ImageFault(said["fault"]), said["message"], decode_ms=decode_ms)
    reason = ReviewReason(said["reason"]) if said["reason"] else None
    best = tuple((label, probability) for label, probability in said["top_k"])
    prediction = Prediction(said["label"], said["confidence"], reason, best, said["unknown"])
    rule = {"threshold": said["threshold"], "rule": said["rule"]}
    return Answer(sha256, model, prediction, **rule, decode_ms=decode_ms, inference_ms=said["inference_ms"])


def _verdict(status: int, decode_s: float) -> tuple[ImageFault, str]:
    if status == -signal.SIGALRM:
        return ImageFault.TIMEOUT, f"Decoding took longer than {decode_s:g} s; re-save the photo."
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return ImageFault.CRASHED, f"Decoding brought its process down ({name}); re-save the photo."


def _no_model(trouble: str) -> Problem:
    return Problem(503, f"No model can answer: {trouble}", {"retry-after": "5"})


def _ended() -> Problem:
    return Problem(503, "The server is ending; try again once it is back.", {"retry-after": "5"})
