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
from asyncio import Task
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from models.bundle import read_manifest
from models.classifier import BATCH
from models.decision import Prediction, ReviewReason
from models.errors import HangtagError, ImageFault, InputError
from models.events import log_event
from models.process import usable_cores
from models.reference import ModelReference, resolve_model
from models.registry.registry import open_registry
from models.registry.state import CHAMPION
from web.classify_process import ClassifierProcess, Died, ServedModel
from web.classify_queue import Answer, AskedPhotos, Limits, PhotoQueue, PoolFigures, WaitingPhoto
from web.problems import Problem

_IN_HAND: Final = 2
"""Batches that a process has at most: one that it labels, and the next."""
_DEATHS: Final = 2
_AGAIN_S: Final = 60.0
"""After this time a model that was refused is tried again."""
_SMOOTHING: Final = 0.1


class NoModelError(InputError):
    """No model is named, and the registry does not have just one."""


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
        self._queue = PhotoQueue(self.limits)
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
        request, ask = AskedPhotos(len(photos)), {"top_k": top_k, "precision": precision, "threshold": threshold}
        self._queue.put([WaitingPhoto(photo, ask, request, place) for place, photo in enumerate(photos)])
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

    async def _serve(self, child: ClassifierProcess, batch: list[WaitingPhoto]) -> None:
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

    def _answer(self, model: str, batch: list[WaitingPhoto], answers: list[dict[str, Any]]) -> None:
        photo_s = self.figures.note(answers) / len(batch) / self.processes
        self._queue.photo_s += _SMOOTHING * (photo_s - self._queue.photo_s) if self._queue.photo_s else photo_s
        for waiting, said in zip(batch, answers, strict=True):
            if "refused" in said:
                waiting.request.fail(InputError(said["refused"]))
            else:
                waiting.request.answer(waiting.place, _answer(model, said))

    def _bury(self, child: ClassifierProcess, batch: list[WaitingPhoto], status: int | None) -> None:
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
