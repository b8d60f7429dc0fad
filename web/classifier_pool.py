"""Labels the photos of requests in one process per core. Waiting photos are batched.

    photos = await state.classifier.classify([photo, …], top_k=5)

Everything runs in the event loop, except model look-ups. A photo that kills its process is tried once more, alone in a
batch. If that process also dies, the photo fails.
"""

import asyncio
import logging
import math
import signal
from asyncio import Future, Task
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.bundle import read_manifest
from models.classifier import BATCH
from models.errors import HangtagError, ImageFault, InputError
from models.events import log_event
from models.process import usable_cores
from models.reference import ModelReference, resolve_model
from models.registry.history import CHAMPION
from models.registry.registry import open_registry
from web.classifier_process import Ask, ClassifiedPhoto, ClassifierProcess, ProcessDied, ServedModel
from web.heat_map import GRID, HeatMap
from web.metrics import WebMetrics
from web.responses import Problem

_MOST_DEATHS: Final = 2
_FULL_S: Final = 2
_REFUSED_LOOKS: Final = 10
"""After each failed load, the pause before the next load grows by this factor."""


class NoModelError(InputError):
    """No model is set, and the registry has no model or several models."""


@dataclass(frozen=True)
class Limits:
    """Limits of a classifier pool.

    Attributes:
        photos: largest number of waiting photos, over all requests.
        decode_s: timeout for decoding a photo, in seconds.
        wait_s: seconds after which a request fails.
        look_s: seconds between two look-ups of the model's alias.
    """

    photos: int = 512
    decode_s: float = 10.0
    wait_s: float = 120.0
    look_s: float = 3.0


@dataclass(eq=False)
class _WaitingPhoto:
    photo: bytes
    ask: Ask
    answer: Future[dict[str, Any]]
    deaths: int = 0


class ClassifierPool:
    """Labels photos of requests.

    Args:
        model: a path, or a name in the registry. None: the champion of the registry's only model.
        processes: number of labelling processes. Default: one per core.

    Attributes:
        model: the current model. None until a model is loaded.
        trouble: why the newest model cannot be loaded. Meanwhile, the previous model answers.
        absent: whether no model is set, and the registry has none or several.
    """

    def __init__(
        self,
        model: str | None,
        registry: str,
        metrics: WebMetrics,
        limits: Limits | None = None,
        processes: int | None = None,
    ) -> None:
        self._named, self._registry, self._metrics = model, registry, metrics
        self._limits = limits or Limits()
        self._processes = processes or usable_cores()
        metrics.waiting.set_function(lambda: self.waiting)
        metrics.waiting_limit.set(self._limits.photos)
        metrics.processes.set(self._processes)
        self._photos: deque[_WaitingPhoto] = deque()
        self._changed = asyncio.Event()
        self._idle = 0
        self._watching: Task[None] | None = None
        self._serving: set[Task[None]] = set()
        self._current: ModelReference | None = None
        self._loaded: tuple[str, str] | None = None
        self._ended = False
        self._map_in_work = False
        self.model: ServedModel | None = None
        self.trouble: str | None = None
        self.absent = False

    @property
    def waiting(self) -> int:
        """The number of waiting photos."""
        return len(self._photos)

    def start(self) -> None:
        """Begin to load the model. A second call does nothing. Call this on the event loop."""
        if self._watching is None and not self._ended:
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End all processes. Waiting requests get an error."""
        self._ended, self._current = True, None
        self._fail_all(_ending())
        tasks = [*filter(None, [self._watching]), *self._serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def classify(
        self, photos: Sequence[bytes], top_k: int = 3, precision: float | None = None, threshold: float | None = None
    ) -> list[ClassifiedPhoto]:
        """Label photos. An unreadable photo does not affect other photos. Raises Problem or InputError.

        Args:
            photos: the bytes of the photos' files.
            top_k: number of classes in the answer, best first.
            precision: required precision of the labels that need no review. Default: the model's.
            threshold: the lowest confidence at which photos need no review; replaces ``precision``.

        Returns:
            An answer for each photo, in order.
        """
        ask: Ask = {"top_k": top_k, "precision": precision, "threshold": threshold}
        return [ClassifiedPhoto(**answer) for answer in await self._ask(photos, ask)]

    async def heat_map(self, photo: bytes) -> HeatMap:
        """The heat map of a photo's likeliest class. Other requests run between the map's batches.

        Raises:
            Problem: 422 for an unreadable photo. 429 if another heat map is being made, or the queue is full. 503 if no
                model is loaded.
        """
        if self._map_in_work:
            raise Problem(429, "Another heat map is being made; try again in 1 second.", {"retry-after": "1"})
        self._map_in_work = True
        try:
            (answer,) = await self.classify([photo], 1)
            if not answer.top_k:
                raise Problem(422, answer.error_message or "Expected a photo that can be read.")
            label = answer.top_k[0].label
            (whole,) = await self._confidences(photo, label, [-1])
            cells = range(GRID * GRID)
            batches = [list(cells[start : start + BATCH]) for start in cells[::BATCH]]
            drops = [whole - covered for batch in batches for covered in await self._confidences(photo, label, batch)]
        finally:
            self._map_in_work = False
        return HeatMap(label, whole, tuple(tuple(drops[start : start + GRID]) for start in cells[::GRID]))

    async def _confidences(self, photo: bytes, label: str, cells: list[int]) -> list[float]:
        (answer,) = await self._ask([photo], {"cells": cells, "label": label})
        if not answer.get("confidences"):
            words = answer.get("error_message") or "The model was replaced during the request; try again."
            raise Problem(503, words, {"retry-after": "1"})
        confidences: list[float] = answer["confidences"]
        return confidences

    async def _ask(self, photos: Sequence[bytes], ask: Ask) -> list[dict[str, Any]]:
        if self._ended:
            raise _ending()
        self.start()
        if self.trouble and not self.model:
            raise _no_model(self.trouble)
        loop = asyncio.get_running_loop()
        waiting = [_WaitingPhoto(photo, ask, loop.create_future()) for photo in photos]
        self._put(waiting)
        try:
            async with asyncio.timeout(self._limits.wait_s):
                return await asyncio.gather(*(one.answer for one in waiting))
        except TimeoutError:
            msg = f"No answer within {self._limits.wait_s:g} s; send fewer photos at once, or try again later."
            raise Problem(503, msg, {"retry-after": "10"}) from None

    def _put(self, photos: Sequence[_WaitingPhoto]) -> None:
        most = self._limits.photos
        if len(photos) > most:
            raise Problem(413, f"Expected at most {most} photos at once, got {len(photos)}; send fewer.")
        if self.waiting + len(photos) > most:
            message = f"Too many photos wait ({self.waiting}); try again in {_FULL_S} seconds."
            raise Problem(429, message, {"retry-after": str(_FULL_S)})
        self._photos.extend(photos)
        self._changed.set()

    async def _serve(self, process: ClassifierProcess, reference: ModelReference) -> None:
        batch: list[_WaitingPhoto] = []
        try:
            while batch := await self._next_batch(reference):
                try:
                    answers = await process.ask([one.ask for one in batch], [one.photo for one in batch])
                except ProcessDied as died:
                    self._blame(batch, died.status, process.model.reference)
                    process = await self._restarted(process, reference)
                else:
                    self._answer(batch, answers)
        finally:
            for one in batch:
                _fail(one, _ending())
            await process.end()

    async def _next_batch(self, reference: ModelReference) -> list[_WaitingPhoto]:
        self._idle += 1
        try:
            while self._current is reference:
                if batch := self._take(math.ceil(self.waiting / self._idle)):
                    return batch
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._idle -= 1
        return []

    def _take(self, most: int) -> list[_WaitingPhoto]:
        """Take a batch of photos from the front of the queue."""
        batch: list[_WaitingPhoto] = []
        while self._photos and len(batch) < min(BATCH, most) and not (batch and self._photos[0].deaths):
            one = self._photos.popleft()
            if not one.answer.done():  # done: its request has ended
                batch.append(one)
                if one.deaths:
                    break
        return batch

    def _answer(self, batch: Sequence[_WaitingPhoto], answers: Sequence[dict[str, Any]]) -> None:
        self._measure(answers)
        for one, answer in zip(batch, answers, strict=True):
            if "refused" in answer:
                _fail(one, InputError(answer["refused"]))
            elif not one.answer.done():
                one.answer.set_result(answer)

    def _measure(self, answers: Sequence[dict[str, Any]]) -> None:
        decode_s = sum(answer["decode_ms"] for answer in answers) / 1000
        inference_s = sum(answer.get("inference_ms", 0.0) for answer in answers) / 1000
        self._metrics.decode_s.inc(decode_s)
        self._metrics.inference_s.inc(inference_s)
        self._metrics.batches.observe(len(answers))
        for answer in answers:
            if "status" in answer:
                self._metrics.photos.labels(answer["status"], answer.get("error", "")).inc()

    def _blame(self, batch: Sequence[_WaitingPhoto], status: int, model: str) -> None:
        """Requeue the photos of a dead process."""
        self._metrics.deaths.inc()
        log_event("process_died", logging.WARNING, status=status, photos=len(batch))
        for one in batch:
            one.deaths += 1
        if len(batch) > 1 or batch[0].deaths < _MOST_DEATHS:
            self._photos.extendleft(reversed(batch))
            self._changed.set()
            return
        error, words = fault_of_death(status, self._limits.decode_s)
        failed = {"status": "failed", "model": model, "error": error, "error_message": words, "decode_ms": 0.0}
        self._metrics.photos.labels("failed", error).inc()
        if not batch[0].answer.done():
            batch[0].answer.set_result(failed)

    async def _restarted(self, dead: ClassifierProcess, reference: ModelReference) -> ClassifierProcess:
        while self._current is reference:
            try:
                return await ClassifierProcess.start(reference, self._limits.decode_s)
            except HangtagError as error:
                log_event("process_not_started", logging.WARNING, error=str(error))
                await asyncio.sleep(self._limits.look_s)
        return dead

    async def _watch(self) -> None:
        while True:
            pause_s = self._limits.look_s
            try:
                await self._look()
                self.trouble = None
            except NoModelError as error:
                self._note_trouble(error)
            except Exception as error:  # noqa: BLE001 - answers and /readyz give the reason
                self._note_trouble(error)
                pause_s *= _REFUSED_LOOKS
            await asyncio.sleep(pause_s)

    def _note_trouble(self, error: Exception) -> None:
        trouble = str(error) if isinstance(error, HangtagError) else f"{type(error).__name__}: {error}"
        if trouble != self.trouble:
            log_event("model_refused", logging.WARNING, error=trouble)
        self.trouble, self.absent = trouble, isinstance(error, NoModelError)
        if not self.model:
            self._fail_all(_no_model(trouble))

    async def _look(self) -> None:
        reference, fingerprint = await asyncio.to_thread(self._find)
        if (reference.name, fingerprint) != self._loaded:
            await self._load(reference)
            self._loaded = (reference.name, fingerprint)

    def _find(self) -> tuple[ModelReference, str]:
        reference = resolve_model(self.model_name(), self._registry)
        return reference, _fingerprint(reference.path)

    async def _load(self, reference: ModelReference) -> None:
        starts = (ClassifierProcess.start(reference, self._limits.decode_s) for _ in range(self._processes))
        started = await asyncio.gather(*starts, return_exceptions=True)
        processes = [one for one in started if isinstance(one, ClassifierProcess)]
        errors = [one for one in started if isinstance(one, BaseException)]
        if not errors and len({process.model for process in processes}) > 1:
            errors = [HangtagError(f"{reference.name} was replaced during loading; it is loaded again.")]
        if errors:
            for process in processes:
                await process.end()
            raise errors[0]
        self._current, self.model = reference, processes[0].model
        self._metrics.model.clear()
        self._metrics.model.labels(self.model.reference, self.model.digest).set(1)
        for process in processes:
            task = asyncio.create_task(self._serve(process, reference))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        self._changed.set()

    def model_name(self) -> str:
        """The name of the current model: the name in the settings, or the champion of the registry's only model.

        Raises:
            NoModelError: the settings have no model, and the registry has none or several.
        """
        if self._named:
            return self._named
        names = open_registry(self._registry).names()
        if len(names) != 1:
            found = ", ".join(names) or "none"
            msg = f"Expected one model in the registry at {self._registry}, found {found}; choose a model with --model."
            raise NoModelError(msg)
        return f"{names[0]}@{CHAMPION}"

    def _fail_all(self, error: Exception) -> None:
        while self._photos:
            _fail(self._photos.popleft(), error)


def _fail(waiting: _WaitingPhoto, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)


def _fingerprint(model: Path) -> str:
    """A text that changes if the model is replaced. Does not read the whole model file."""
    if not model.is_file():
        return read_manifest(model).digest
    status = model.stat()
    return f"{status.st_mtime_ns} {status.st_size}"


def fault_of_death(status: int, decode_s: float) -> tuple[ImageFault, str]:
    """The fault and the error message of a photo whose process ended with ``status``."""
    if status == -signal.SIGALRM:
        return ImageFault.TIMEOUT, f"Decoding took longer than {decode_s:g} s; re-save the photo."
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return ImageFault.CRASHED, f"Decoding crashed the process ({name}); re-save the photo."


def _no_model(trouble: str) -> Problem:
    return Problem(503, f"No model is available: {trouble}", {"retry-after": "5"})


def _ending() -> Problem:
    return Problem(503, "The server is stopping; try again after its restart.", {"retry-after": "5"})
