"""A process that labels photos for the web page: decoding may end it, and then only that photo is lost.

:class:`ClassifierProcess` is the server's end of it; the process runs ``python -P -m web.classify_process MODEL
TIMEOUT_S``. One socket is its stdin and its stdout. First it says as a JSON line what it serves (``{"model": {…}}``) or
why it serves nothing (``{"refused": message}``). Then it is given batches, a JSON line
``{"asks": [{"size": bytes, "top_k": 3, …}]}`` and the bytes of those photos, and answers each with the JSON line
``{"answers": [{…}]}``, in the same order. It ends when its stdin closes.
"""

import asyncio
import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np

from models.classifier import Classifier
from models.decision import Prediction, Scores
from models.errors import HangtagError, ImageError, ImageFault, InputError
from models.preprocess import Pixels, preprocess
from models.process import python_command, python_environment, reuse_memory
from models.reference import ModelReference
from models.text import printable
from worker.job.model import load_verified
from worker.labelling.process_pool import take_streams

_START_S: Final = 120.0
_LATE_S: Final = 30.0
"""How much longer than its photos may take a process may stay silent before it is killed."""
_LONGEST_LINE: Final = 64 * 1024 * 1024
_RULES_KEPT: Final = 32


@dataclass(frozen=True)
class ServedModel:
    """The model that answers.

    Attributes:
        name: as people read it: ``shop@3``, or a path.
        path: its bundle, or a lone ``.onnx`` file.
        reference: ``name/version/variant@digest``.
        variant: of the bundle.
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
    variant: str
    digest: str
    labels: tuple[str, ...]
    size: int
    precision: float | None
    precisions: tuple[float, ...]
    rule: str
    unknown_limit: float | None


class Died(Exception):
    """A process ended.

    Args:
        status: as :class:`subprocess.Popen` says it; None for a batch that it had not begun.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


class ClassifierProcess:
    """The server's end of a process that labels photos with one model.

    Args:
        found: the model.
        decode_s: seconds that decoding one photo may take.

    Attributes:
        found: the same.
        model: that it serves, once it is ready.
        batches: that it has in hand; whoever asks counts.
    """

    def __init__(self, found: ModelReference, decode_s: float) -> None:
        self.found = found
        self.batches = 0
        self._decode_s = decode_s
        self._turn = asyncio.Lock()
        self._socket, theirs = socket.socketpair()
        self._hang_up = self._socket.close
        command = python_command("web.classify_process", str(found.path.resolve()), str(decode_s))
        with theirs as end:
            self._process = subprocess.Popen(command, stdin=end.fileno(), stdout=end.fileno(), env=python_environment())

    async def ready(self) -> ServedModel:
        """Wait until it has loaded the model.

        Raises:
            HangtagError: it cannot.
        """
        self._replies, self._input = await asyncio.open_unix_connection(sock=self._socket, limit=_LONGEST_LINE)
        self._hang_up = self._input.transport.abort
        try:
            said = await self._reply(_START_S)
        except Died as died:
            msg = f"A process that labels photos ended as it started (status {died.status}); see the server's output."
            raise HangtagError(msg) from died
        except BaseException:  # the server is ending
            self.end()
            raise
        if "refused" in said:
            self.end()
            raise HangtagError(str(said["refused"]))
        model: dict[str, Any] = said["model"]
        model |= {name: tuple(model[name]) for name in ("labels", "precisions")}
        self.model = ServedModel(name=self.found.said, path=self.found.path, **model)
        return self.model

    async def ask(self, asks: Sequence[dict[str, Any]], photos: Sequence[bytes]) -> list[dict[str, Any]]:
        """Give it a batch, while it may still be at one before: an answer for each photo, in order.

        Raises:
            Died: it ended, at this batch or before it.
        """
        said = [{"size": len(photo), **ask} for ask, photo in zip(asks, photos, strict=True)]
        self._input.writelines([json.dumps({"asks": said}).encode() + b"\n", *photos])
        async with self._turn:  # those who wait get it in the order in which they came
            if self._process.returncode is not None:
                raise Died(None)
            answers: list[dict[str, Any]] = (await self._reply(self._decode_s * len(photos) + _LATE_S))["answers"]
            return answers

    async def _reply(self, timeout_s: float) -> dict[str, Any]:
        """The next line."""
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._replies.readline()
            if line.endswith(b"\n"):
                return cast("dict[str, Any]", json.loads(line))
            status = await asyncio.to_thread(self._process.wait, _LATE_S)
        except (TimeoutError, subprocess.TimeoutExpired):
            status = -signal.SIGALRM
        except ConnectionError:  # it ended before it had read all that it was given
            status = await asyncio.to_thread(self._process.wait)
        self.end()
        raise Died(status)

    def end(self) -> None:
        """Kill it if it still runs, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._hang_up()


class _Batches:
    """Answers batches with one model.

    Args:
        classifier: the model, verified.
        timeout_s: seconds that decoding one photo may take; more end the process, as SIGALRM does.
    """

    def __init__(self, classifier: Classifier, timeout_s: float) -> None:
        self._classifier = classifier
        self._timeout_s = timeout_s
        self._asking = lru_cache(_RULES_KEPT)(classifier.asking)

    def answer(self, asks: list[dict[str, Any]], photos: list[bytes]) -> list[dict[str, Any]]:
        """One answer for each photo, in order."""
        answers = [self._seen(photo) for photo in photos]
        whole = [(ask, answer) for ask, answer in zip(asks, answers, strict=True) if "pixels" in answer]
        if not whole:
            return answers
        start = time.perf_counter()
        scores = self._classifier.score(np.stack([answer.pop("pixels") for _, answer in whole]))
        inference_ms = _ms_since(start) / len(whole)
        for place, (ask, answer) in enumerate(whole):
            one = slice(place, place + 1)
            unknown = None if scores.unknown is None else scores.unknown[one]
            answer |= {"inference_ms": inference_ms, **self._decided(ask, Scores(scores.probabilities[one], unknown))}
        return answers

    def _seen(self, photo: bytes) -> dict[str, Any]:
        start = time.perf_counter()
        answer: dict[str, Any] = {"sha256": hashlib.sha256(photo).hexdigest()}
        try:
            answer["pixels"] = self._decoded(photo)
        except ImageError as error:
            answer |= {"fault": error.fault, "message": str(error)}
        return {**answer, "decode_ms": _ms_since(start)}

    def _decoded(self, photo: bytes) -> Pixels:
        if not photo:
            msg = "Expected a photo, got no bytes; check that the upload is whole."
            raise ImageError(msg, ImageFault.UNREADABLE)
        signal.setitimer(signal.ITIMER_REAL, self._timeout_s)
        try:
            return preprocess(photo, self._classifier.metadata.preprocess)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _decided(self, ask: dict[str, Any], scores: Scores) -> dict[str, Any]:
        try:
            asked = self._asking(ask["precision"], ask["threshold"])
        except InputError as error:
            return {"refused": _in_request(str(error))}
        prediction = asked.decide(scores, ask["top_k"])[0]
        return {
            **_of_prediction(prediction),
            "threshold": asked.threshold_of(prediction.label),
            "rule": _in_request(asked.rule),
        }


def _in_request(words: str) -> str:
    """A sentence for people at a terminal, for a request: that has fields, not options."""
    return words.replace("--", "")


def _of_prediction(prediction: Prediction) -> dict[str, Any]:
    return {
        "label": prediction.label,
        "confidence": prediction.confidence,
        "reason": prediction.reason,
        "top_k": prediction.top_k,
        "unknown": prediction.unknown,
        "label_level": prediction.label_level,
        "leaf_guess": prediction.leaf_guess,
    }


def _ms_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def _model(classifier: Classifier) -> dict[str, Any]:
    metadata = classifier.metadata
    return {
        "reference": classifier.reference,
        "variant": metadata.variant,
        "digest": classifier.digest,
        "labels": classifier.labels,
        "size": metadata.preprocess.size,
        "precision": classifier.precision,
        "precisions": [target.precision for target in metadata.targets],
        "rule": classifier.rule,
        "unknown_limit": metadata.unknown.limit if metadata.unknown else None,
    }


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        sys.exit(0)  # the server has ended within a batch
    return data


def main(model: str, timeout_s: str) -> None:
    """Load and verify the model, and answer batches until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the server, which ends its processes
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the default action kills even a decode that holds the GIL
    reuse_memory()
    with take_streams() as replies:
        try:
            classifier = load_verified(Path(model), say=lambda words: print(printable(words), file=sys.stderr))
        except HangtagError as error:
            replies.write(json.dumps({"refused": str(error)}) + "\n")
            return
        replies.write(json.dumps({"model": _model(classifier)}) + "\n")
        batches, stdin = _Batches(classifier, float(timeout_s)), sys.stdin.buffer
        while line := stdin.readline():
            asks = json.loads(line)["asks"]
            photos = [_read(stdin, ask["size"]) for ask in asks]
            replies.write(json.dumps({"answers": batches.answer(asks, photos)}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
