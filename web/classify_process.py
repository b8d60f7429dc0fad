"""A process that labels photos for the web page: decoding may end it, and then only that photo is lost.

It runs ``python -P -m web.classify_process MODEL TIMEOUT_S``. First it says as a JSON line what it serves
(``{"model": {…}}``) or why it serves nothing (``{"refused": message}``). Then it is given batches, a JSON line
``{"asks": [{"size": bytes, "top_k": 3, …}]}`` and the bytes of those photos, and answers each with the JSON line
``{"answers": [{…}]}``, in the same order. It ends when its stdin closes.
"""

import hashlib
import json
import signal
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from models.classifier import Classifier
from models.decision import Prediction, Scores
from models.errors import HangtagError, ImageError, ImageFault, InputError
from models.preprocess import Pixels, preprocess
from worker.labelling.process_pool import take_streams
from worker.model import load_verified

__all__: list[str] = []

_RULES_KEPT: Final = 32


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
            "threshold": asked.thresholds[asked.labels.index(prediction.label)],
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
    }


def _ms_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def _model(classifier: Classifier) -> dict[str, Any]:
    metadata = classifier.metadata
    return {
        "reference": classifier.reference,
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
    with take_streams() as replies:
        try:
            classifier = load_verified(Path(model))
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
