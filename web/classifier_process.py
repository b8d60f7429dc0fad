"""A process of the web server that labels photos or makes small pictures.

If a photo crashes the process, only this photo fails. The process runs ``python -P -m web.classifier_process MODEL
TIMEOUT_S``. If MODEL is empty, the process only makes pictures. First the process writes a JSON line: its model
(``{"model": {…}}``), or why the model cannot be used (``{"refused": message}``). The process reads batches from stdin.
A batch is a JSON line ``{"asks": [{"size": bytes, …}]}``, then the bytes of its photos. The answer to a batch is a JSON
line ``{"answers": [{…}]}``, in the order of the photos. The process ends when stdin closes.
"""

import asyncio
import base64
import hashlib
import io
import json
import resource
import signal
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NotRequired, Self, TypedDict, cast

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from models.classifier import Classifier
from models.decision import Scores
from models.errors import HangtagError, ImageError, ImageFault, InputError
from models.preprocess import Pixels, opened, preprocess, small_rgb
from models.process import python_command, python_environment, reuse_memory
from models.reference import ModelReference
from web.heat_map import covered_pixels
from worker.job.model import load_verified
from worker.job.parts import Status
from worker.labelling.chunk import MEMORY_BYTES
from worker.labelling.process_pool import take_streams

_START_S: Final = 120.0
_LATE_S: Final = 30.0
"""A process that does not answer is killed this many seconds after the time limit of its photos."""
_LONGEST_LINE: Final = 64 * 1024 * 1024
_RULES_KEPT: Final = 32
_QUALITY: Final = 85


@dataclass(frozen=True)
class ServedModel:
    """The model that a process has loaded.

    Attributes:
        name: the display name: ``shop@3``, or a path.
        path: the bundle, or a single ``.onnx`` file.
        reference: ``name/version/variant@digest``.
        digest: SHA-256 of the bundle's manifest, or of the file.
        size: side of the square for photos, in pixels.
        precision: the promised precision, or None.
        rule: a sentence that says which photos need no review.
        unknown_limit: photos with a higher out-of-distribution score go to review. None: no limit.
    """

    name: str
    path: Path
    reference: str
    variant: str
    digest: str
    labels: tuple[str, ...]
    size: int
    precision: float | None
    rule: str
    unknown_limit: float | None


class Likely(BaseModel):
    """A likely class, with its probability."""

    label: str
    confidence: float


class ClassifiedPhoto(BaseModel, frozen=True):
    """The answer for one photo. See the columns of a result in docs/formats.md."""

    photo: str = Field(default="", description="The file's name, or the URL.")
    sha256: str | None = Field(default=None, description="SHA-256 of the photo's bytes; null for unreadable bytes.")
    model: str | None = Field(default=None, description="name/version/variant@digest of the model.")
    status: Status = Field(default=Status.FAILED, description="labeled, review or failed.")
    label: str | None = None
    confidence: float | None = None
    label_level: int | None = Field(default=None, description="Class-tree levels below the label: 0 for a class.")
    leaf_guess: str | None = Field(default=None, description="The likeliest class. Null without a tree.")
    reason: str | None = Field(default=None, description="Why the photo goes to review: threshold or unknown.")
    threshold: float | None = Field(
        default=None, description="The lowest confidence at which this label needs no review."
    )
    unknown: float | None = Field(default=None, description="The out-of-distribution score, or null.")
    top_k: list[Likely] | None = None
    error: ImageFault | None = None
    error_message: str | None = None
    decode_ms: float = 0.0
    inference_ms: float = 0.0


class Ask(TypedDict):
    """A request for a heat map (with ``cells``), a picture (with ``side``) or a label."""

    top_k: NotRequired[int]
    precision: NotRequired[float | None]
    threshold: NotRequired[float | None]
    cells: NotRequired[list[int]]
    label: NotRequired[str]
    side: NotRequired[int]


_Answers = Callable[[list[Ask], list[bytes]], list[dict[str, Any]]]


class ProcessDied(Exception):
    """A process died. ``status``: see :attr:`subprocess.Popen.returncode`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ClassifierProcess:
    """Starts and calls a process that labels photos or makes pictures.

    Args:
        reference: the model to load. None: only make pictures.
        decode_s: timeout for decoding a photo, in seconds.

    Attributes:
        model: the loaded model, after the start.
    """

    model: ServedModel

    def __init__(self, process: Process, reference: ModelReference | None, decode_s: float) -> None:
        self._process, self._reference, self._decode_s = process, reference, decode_s
        self._stdin, self._stdout = (
            cast(asyncio.StreamWriter, process.stdin),
            cast(asyncio.StreamReader, process.stdout),
        )

    @classmethod
    async def start(cls, reference: ModelReference | None, decode_s: float) -> Self:
        """Start a process, and wait until the model is loaded. Raises HangtagError."""
        model = str(reference.path.resolve()) if reference else ""
        process = await asyncio.create_subprocess_exec(
            *python_command("web.classifier_process", model, str(decode_s)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=python_environment(),
            limit=_LONGEST_LINE,
        )
        started = cls(process, reference, decode_s)
        try:
            await started._load()
        except BaseException:
            await started.end()
            raise
        return started

    async def _load(self) -> None:
        try:
            reply = await self._reply(_START_S)
        except ProcessDied as died:
            msg = f"A labelling process ended during its start (status {died.status}); see the server's output."
            raise HangtagError(msg) from died
        if "refused" in reply:
            raise HangtagError(str(reply["refused"]))
        if self._reference:
            fields = {**reply["model"], "labels": tuple(reply["model"]["labels"])}
            self.model = ServedModel(name=self._reference.name, path=self._reference.path, **fields)

    async def ask(self, asks: Sequence[Ask], photos: Sequence[bytes]) -> list[dict[str, Any]]:
        """An answer for each photo of a batch, in order. Raises ProcessDied."""
        sized = [{"size": len(photo), **ask} for ask, photo in zip(asks, photos, strict=True)]
        self._stdin.writelines([json.dumps({"asks": sized}).encode() + b"\n", *photos])
        return cast("list[dict[str, Any]]", (await self._reply(self._decode_s * len(photos) + _LATE_S))["answers"])

    async def _reply(self, timeout_s: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._stdout.readline()
        except TimeoutError:
            await self.end()
            raise ProcessDied(-signal.SIGALRM) from None
        if not line.endswith(b"\n"):
            raise ProcessDied(await self._process.wait())
        return cast("dict[str, Any]", json.loads(line))

    async def end(self) -> None:
        """Kill the process, and wait for its end."""
        if self._process.returncode is None:
            self._process.kill()
        self._stdin.close()
        await self._process.wait()


def drawn_picture(data: bytes, side: int) -> bytes:
    """The photo as an upright sRGB JPEG that fits into ``side`` × ``side`` pixels. Raises ImageError."""
    buffer = io.BytesIO()
    with opened(data) as image:
        small_rgb(image, side, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _pictures(timeout_s: float, asks: list[Ask], photos: list[bytes]) -> list[dict[str, Any]]:
    return [_picture(timeout_s, ask["side"], photo) for ask, photo in zip(asks, photos, strict=True)]


def _picture(timeout_s: float, side: int, photo: bytes) -> dict[str, Any]:
    try:
        with _ends_after(timeout_s):
            return {"picture": base64.b64encode(drawn_picture(photo, side)).decode()}
    except ImageError as error:
        return {"error": error.fault, "error_message": str(error)}


@contextmanager
def _ends_after(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Labeller:
    """Runs one model on batches of photos. ``timeout_s``: after this decoding time, SIGALRM ends the process."""

    def __init__(self, classifier: Classifier, timeout_s: float) -> None:
        self._classifier = classifier
        self._timeout_s = timeout_s
        self._with_rule = lru_cache(_RULES_KEPT)(classifier.asking)

    def answers(self, asks: list[Ask], photos: list[bytes]) -> list[dict[str, Any]]:
        answers = [self._opened(ask, photo) for ask, photo in zip(asks, photos, strict=True)]
        whole = [
            (ask, answer, answer.pop("pixels")) for ask, answer in zip(asks, answers, strict=True) if "pixels" in answer
        ]
        if not whole:
            return answers
        start = time.perf_counter()
        scores = self._classifier.score(np.concatenate([pixels for *_, pixels in whole]))
        inference_ms = _ms_since(start) / len(whole)
        first = 0
        for ask, answer, pixels in whole:
            own = slice(first, first := first + len(pixels))
            unknown = None if scores.unknown is None else scores.unknown[own]
            answer |= {"inference_ms": inference_ms, **self._decided(ask, Scores(scores.probabilities[own], unknown))}
        return answers

    def _opened(self, ask: Ask, photo: bytes) -> dict[str, Any]:
        start = time.perf_counter()
        answer: dict[str, Any] = {"sha256": hashlib.sha256(photo).hexdigest(), "model": self._classifier.reference}
        try:
            with _ends_after(self._timeout_s):
                answer["pixels"] = self._pixels(ask, photo)
        except ImageError as error:
            answer |= {"status": Status.FAILED, "error": error.fault, "error_message": str(error)}
        return {**answer, "decode_ms": _ms_since(start)}

    def _pixels(self, ask: Ask, photo: bytes) -> Pixels:
        if not photo:
            msg = "Expected a photo, got no bytes; check that the upload is complete."
            raise ImageError(msg, ImageFault.UNREADABLE)
        spec = self._classifier.metadata.preprocess
        return covered_pixels(photo, ask["cells"], spec) if "cells" in ask else preprocess(photo, spec)[np.newaxis]

    def _decided(self, ask: Ask, scores: Scores) -> dict[str, Any]:
        if "cells" in ask:
            place = self._classifier.labels.index(ask["label"]) if ask["label"] in self._classifier.labels else None
            return {"confidences": None if place is None else scores.probabilities[:, place].tolist()}
        try:
            classifier = self._with_rule(ask["precision"], ask["threshold"])
        except InputError as error:
            return {"refused": str(error).replace("--", "")}  # names of API fields have no --
        prediction = classifier.decide(scores, ask["top_k"])[0]
        return {
            "status": Status.REVIEW if prediction.review else Status.LABELED,
            "label": prediction.label,
            "confidence": prediction.confidence,
            "label_level": prediction.label_level,
            "leaf_guess": prediction.leaf_guess,
            "reason": prediction.reason,
            "threshold": classifier.threshold_of(prediction.label),
            "unknown": prediction.unknown,
            "top_k": [{"label": label, "confidence": confidence} for label, confidence in prediction.top_k],
        }


def _ms_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def _described(classifier: Classifier) -> dict[str, Any]:
    metadata = classifier.metadata
    return {
        "reference": classifier.reference,
        "variant": metadata.variant,
        "digest": classifier.digest,
        "labels": classifier.labels,
        "size": metadata.preprocess.size,
        "precision": classifier.precision,
        "rule": classifier.rule,
        "unknown_limit": metadata.unknown.limit if metadata.unknown else None,
    }


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        sys.exit(0)  # the server ended during a batch
    return data


def main(model: str, timeout_s: str) -> None:
    """Load and verify the model. Answer batches until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at Ctrl-C, the server ends its processes
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a Python handler would wait for the GIL
    reuse_memory()
    with take_streams() as replies:
        answers: _Answers = partial(_pictures, float(timeout_s))
        described = None
        try:
            if model:
                classifier = load_verified(Path(model))
                answers, described = _Labeller(classifier, float(timeout_s)).answers, _described(classifier)
            else:
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        except HangtagError as error:
            replies.write(json.dumps({"refused": str(error)}) + "\n")
            return
        replies.write(json.dumps({"model": described}) + "\n")
        stdin = sys.stdin.buffer
        while line := stdin.readline():
            asks = json.loads(line)["asks"]
            photos = [_read(stdin, ask["size"]) for ask in asks]
            replies.write(json.dumps({"answers": answers(asks, photos)}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
