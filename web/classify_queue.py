"""The photos of requests that wait to be labelled, and what became of them."""

import asyncio
import math
from asyncio import Future
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from models.decision import Prediction
from models.errors import ImageFault
from models.text import number_of
from web.problems import Problem
from worker.job.parts import Status

_BATCH_BYTES: Final = 64 * 1024 * 1024


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


class AskedPhotos:
    """The photos of one call, answered when the last of them is."""

    def __init__(self, photos: int) -> None:
        self.done: Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._answers: list[Answer | None] = [None] * photos
        self._left = photos

    def answer(self, place: int, answer: Answer) -> None:
        """Keep the answer of one photo; with the last one, the call gets all."""
        self._answers[place] = answer
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(cast("list[Answer]", self._answers))

    def fail(self, error: Exception) -> None:
        """Answer the whole call with an error."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(eq=False)
class WaitingPhoto:
    """A photo that waits for a process."""

    photo: bytes
    ask: dict[str, Any]
    request: AskedPhotos
    place: int
    deaths: int = 0


class PhotoQueue:
    """Photos that wait; it never grows beyond its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._photos: deque[WaitingPhoto] = deque()
        self._bytes = 0
        self.photo_s = 0.0
        """Seconds that a photo takes of all processes together, of late."""

    def __len__(self) -> int:
        return len(self._photos)

    def put(self, photos: list[WaitingPhoto]) -> None:
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

    def give_back(self, photos: list[WaitingPhoto]) -> None:
        """Put photos whose process died in front of all others."""
        self._photos.extendleft(reversed(photos))
        self._bytes += sum(len(waiting.photo) for waiting in photos)

    def take(self, most: int) -> list[WaitingPhoto]:
        """The next batch; a photo that was in hand at a death is alone in it."""
        batch: list[WaitingPhoto] = []
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
