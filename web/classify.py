"""Labels photos of requests in a pool of processes, one a core: a bounded queue, and batches of whatever waits in it.

    answers = await state.classifier.classify([photo, …], top_k=5)

All but loading a model happens on the event loop. A process that is busy has its next batch already, so that it never
waits for one. A photo that ends its process is given once more, alone; if that ends, too, it alone fails.
"""

import asyncio
import logging
import math
import signal
import time
from asyncio import Future, Task
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from models.bundle import read_manifest
from models.classifier import BATCH
from models.decision import Prediction, ReviewReason
from models.errors import HangtagError, ImageFault, InputError
from models.process import usable_cores
from models.reference import ModelReference, resolve_model
from models.registry.registry import open_registry
from models.registry.state import CHAMPION
from models.text import number_of
from web.classify_process import ClassifierProcess, Died, ServedModel
from web.problems import Problem
from worker.events import log_event
from worker.results import Status

__all__ = ["Answer", "ClassifierPool", "Limits", "NoModelError", "PoolFigures", "ServedModel"]

_IN_HAND: Final = 2
"""Batches that a process has at most: one that it labels, and the next."""
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
        self.photos: Counter[tuple[str, str]] = Counter()
        self.batches: Counter[int] = Counter()
        self.deaths = 0
        self.decode_s = 0.0
        self.inference_s = 0.0

    def note(self, answers: Sequence[dict[str, Any]]) -> float:
        """A batch is done; the seconds that it took."""
        decode_s: float = sum(answer["decode_ms"] for answer in answers) / 1000
        inference_s: float = sum(answer.get("inference_ms", 0.0) for answer in answers) / 1000
        self.batches[len(answers)] += 1
        self.photos.update(map(_outcome, answers))
        self.decode_s += decode_s
        self.inference_s += inference_s
        return decode_s + inference_s

    def note_lost(self, fault: ImageFault) -> None:
        """A photo has ended its process twice, or has not come."""
        self.photos[Status.FAILED, fault] += 1


def _outcome(answer: dict[str, Any]) -> tuple[str, str]:
    if "fault" in answer:
        return Status.FAILED, answer["fault"]
    return (Status.REVIEW if answer.get("reason") else Status.LABELED), ""


class _Request:
    """The photos of one call, answered when the last of them is."""

    def __init__(self, photos: int) -> None:
        self.done: Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._answers: list[Answer | None] = [None] * photos
        self._left = photos

    def answer(self, place: int, answer: Answer) -> None:
        self._answers[place] = answer
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(cast("list[Answer]", self._answers))

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(eq=False)
class _Waiting:
    """A photo that waits for a process."""

    photo: bytes
    ask: dict[str, Any]
    request: _Request
    place: int
    deaths: int = 0


class _Queue:
    """Photos that wait; it never grows beyond its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._photos: deque[_Waiting] = deque()
        self._bytes = 0
        self.photo_s = 0.0
        """Seconds that a photo takes of all processes together, of late."""

    def __len__(self) -> int:
        return len(self._photos)

    def put(self, photos: list[_Waiting]) -> None:
        """Let all of them wait, or none.

        Raises:
            Problem: 413 where they are more than ever fit, 429 while they do not fit.
        """
        size = sum(len(waiting.photo) for waiting in photos)
        if len(photos) > self._limits.photos or size > self._limits.bytes:
            raise Problem(413, f"Expected at most {self._limits.photos} photos at once, got {len(photos)}; send fewer.")
        if len(self._photos) + len(photos) > self._limits.photos or self._bytes + size > self._limits.bytes:
            seconds = max(1, min(60, math.ceil(len(self._photos) * self.photo_s)))
            message = f"Too many photos wait ({len(self._photos)}); try again in {number_of(seconds, 'second')}."
            raise Problem(429, message, {"retry-after": str(seconds)})
        self._photos.extend(photos)
        self._bytes += size

    def give_back(self, photos: list[_Waiting]) -> None:
        """Put photos whose process died in front of all others."""
        self._photos.extendleft(reversed(photos))
        self._bytes += sum(len(waiting.photo) for waiting in photos)

    def take(self, most: int) -> list[_Waiting]:
        """The next batch; a photo that was in hand at a death is alone in it."""
        batch: list[_Waiting] = []
        size = 0
        while self._photos and len(batch) < most and not (batch and (size > _BATCH_BYTES or self._photos[0].deaths)):
            waiting = self._photos.popleft()
            self._bytes -= len(waiting.photo)
            if waiting.request.done.done():  # given up meanwhile
                continue
            batch.append(waiting)
            size += len(waiting.photo)
            if waiting.deaths:
                break
        return batch

    def fail_all(self, error: Exception) -> None:
        """Answer all that wait with an error."""
        while self._photos:
            self._photos.popleft().request.fail(error)
        self._bytes = 0


class ClassifierPool:
    """Labels photos of requests, on the event loop of whoever asks first.

    Args:
        model: a path, or a name of the registry; without it the champion of the registry's only model.
        registry: where names are looked up.
        limits: what it takes.
        processes: how many; one a core where it is not given.

    Attributes:
        processes: how many label photos.
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
        self.processes = processes or usable_cores()
        self._queue = _Queue(self.limits)
        self._children: list[ClassifierProcess] = []
        self._tasks: set[Task[None]] = set()
        self._hands_out = False
        self._ended = False
        self._current: ModelReference | None = None
        self._seen: tuple[str, str] | None = None
        self._refused: tuple[tuple[str, str], float, HangtagError] | None = None
        self.model: ServedModel | None = None
        self.trouble: str | None = None
        self.absent = False
        self.figures = PoolFigures()

    @property
    def waiting(self) -> int:
        """Photos that wait."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to load the model; a second call does nothing. It is called on the event loop."""
        if not self._tasks and not self._ended:
            self._run(self._watch())

    def close(self) -> None:
        """End all processes; what waits gets an error."""
        self._ended, self._current = True, None
        self._queue.fail_all(_ended())
        for task in self._tasks:
            task.cancel()
        for child in self._children:
            child.end()

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
        if self._ended:
            raise _ended()
        self.start()
        if self.trouble and not self.model:
            raise _no_model(self.trouble)
        request, ask = _Request(len(photos)), {"top_k": top_k, "precision": precision, "threshold": threshold}
        self._queue.put([_Waiting(photo, ask, request, place) for place, photo in enumerate(photos)])
        self._hand_out_soon()
        try:
            async with asyncio.timeout(self.limits.wait_s):
                return await request.done
        except TimeoutError:
            msg = f"No answer came within {self.limits.wait_s:g} s; send fewer photos at once, or try again later."
            raise Problem(503, msg, {"retry-after": "10"}) from None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hand_out_soon(self) -> None:
        """Hand photos out once all that come in this turn of the event loop wait: they share batches."""
        if not self._hands_out:
            self._hands_out = True
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        """Give idle processes a fair part each of what waits, and a busy one a full batch ahead."""
        self._hands_out = False
        while self._children:
            child = min(self._children, key=lambda child: child.batches)
            batch = self._queue.take(self._most(child))
            if not batch:
                break
            child.batches += 1
            self._run(self._serve(child, batch))

    def _most(self, child: ClassifierProcess) -> int:
        """How many photos a process may be given now."""
        waiting = len(self._queue)
        if child.batches:
            return BATCH if child.batches < _IN_HAND and waiting >= BATCH else 0
        idle = sum(not child.batches for child in self._children)
        return min(BATCH, math.ceil(waiting / idle))

    async def _serve(self, child: ClassifierProcess, batch: list[_Waiting]) -> None:
        try:
            answers = await child.ask([waiting.ask for waiting in batch], [waiting.photo for waiting in batch])
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.request.fail(_ended())
            raise
        except Died as died:
            self._bury(child, batch, died.status)
        else:
            self._answer(child.model.reference, batch, answers)
        finally:
            child.batches -= 1
        if child not in self._children and not child.batches:  # another model answers
            child.end()
        self._hand_out_soon()

    def _answer(self, model: str, batch: list[_Waiting], answers: list[dict[str, Any]]) -> None:
        photo_s = self.figures.note(answers) / len(batch) / self.processes
        self._queue.photo_s += _SMOOTHING * (photo_s - self._queue.photo_s) if self._queue.photo_s else photo_s
        for waiting, said in zip(batch, answers, strict=True):
            if "refused" in said:
                waiting.request.fail(InputError(said["refused"]))
            else:
                waiting.request.answer(waiting.place, _answer(model, said))

    def _bury(self, child: ClassifierProcess, batch: list[_Waiting], status: int | None) -> None:
        """Give the photos of a dead process to others, but for one that was alone in a batch, at its second death."""
        if status is None:  # it died at a batch before
            self._queue.give_back(batch)
            return
        self.figures.deaths += 1
        log_event("process_died", logging.WARNING, status=status, photos=len(batch))
        for waiting in batch:
            waiting.deaths += 1
        if len(batch) == 1 and batch[0].deaths >= _DEATHS:
            fault, message = _verdict(status, self.limits.decode_s)
            self.figures.note_lost(fault)
            batch[0].request.answer(batch[0].place, Answer("", child.model.reference, None, fault, message))
        else:
            self._queue.give_back(batch)
        if child in self._children:
            self._children.remove(child)
            self._run(self._replace(child.found))

    async def _replace(self, found: ModelReference) -> None:
        """Start another process with the same model; while none starts, others take the photos."""
        while self._current is found:
            child = ClassifierProcess(found, self.limits.decode_s)
            try:
                await child.ready()
            except HangtagError as error:
                log_event("process_not_started", logging.WARNING, error=str(error))
                await asyncio.sleep(self.limits.look_s)
                continue
            if self._current is not found:  # another model was loaded meanwhile
                child.end()
                return
            self._children.append(child)
            self._hand_out_soon()
            return

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
                self.trouble = None
            except Exception as error:  # noqa: BLE001 - said in answers and at /readyz; the next look may be better
                self._note_trouble(error)
            await asyncio.sleep(self.limits.look_s)

    def _note_trouble(self, error: Exception) -> None:
        said = str(error) if isinstance(error, HangtagError) else f"{type(error).__name__}: {error}"
        if said != self.trouble:
            log_event("model_refused", logging.WARNING, error=said)
        self.trouble, self.absent = said, isinstance(error, NoModelError)
        if not self.model:
            self._queue.fail_all(_no_model(said))

    async def _look(self) -> None:
        """Load the model that is meant now, if it is another one than before; the earlier one answers until then."""
        found, fingerprint = await asyncio.to_thread(self._found)
        seen = (found.said, fingerprint)
        if seen == self._seen:
            return
        if self._refused and self._refused[0] == seen and time.monotonic() < self._refused[1] + _AGAIN_S:
            raise self._refused[2]
        try:
            await self._serve_model(found)
        except HangtagError as error:
            self._refused = (seen, time.monotonic(), error)
            raise
        self._seen = seen

    def _found(self) -> tuple[ModelReference, str]:
        found = resolve_model(self.meant(), self._registry)
        return found, _fingerprint(found.path)

    async def _serve_model(self, found: ModelReference) -> None:
        """Start all processes with a model, and let them follow those of before once all are ready."""
        children = [ClassifierProcess(found, self.limits.decode_s) for _ in range(self.processes)]
        try:
            models = {await child.ready() for child in children}
            if len(models) > 1:
                msg = f"{found.said} was replaced while it was loaded; it is loaded again."
                raise HangtagError(msg)
        except BaseException:
            for child in children:
                child.end()
            raise
        before, self._children = self._children, children
        self._current, self.model = found, models.pop()
        for child in before:
            if not child.batches:
                child.end()
        self._hand_out_soon()

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


def _fingerprint(model: Path) -> str:
    """What tells a model that was replaced from what it was, without reading it."""
    if not model.is_file():
        return read_manifest(model).digest
    status = model.stat()
    return f"{status.st_mtime_ns} {status.st_size}"


def _answer(model: str, said: dict[str, Any]) -> Answer:
    sha256, decode_ms = said["sha256"], said["decode_ms"]
    if "fault" in said:
        return Answer(sha256, model, None, ImageFault(said["fault"]), said["message"], decode_ms=decode_ms)
    reason = ReviewReason(said["reason"]) if said["reason"] else None
    best = tuple((label, probability) for label, probability in said["top_k"])
    tree = said["label_level"], said["leaf_guess"]
    prediction = Prediction(said["label"], said["confidence"], reason, best, said["unknown"], *tree)
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
