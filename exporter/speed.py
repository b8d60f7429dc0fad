"""How many times as fast one ONNX model is as another, on this machine."""

import statistics
import time
from typing import Final

import numpy as np
import onnxruntime as ort

from models.preprocess import Pixels
from models.session import open_session

__all__ = ["speed_gain"]

_PHOTOS: Final = 32
_ROUNDS: Final = 9


def speed_gain(reference: bytes, other: bytes, pixels: Pixels, rounds: int = _ROUNDS) -> float:
    """Run two models in turns, on one thread each, and compare.

    Args:
        reference: an ONNX file.
        other: another that takes the same photos.
        pixels: ``uint8 (n, S, S, 3)``, at least one photo; they are repeated to a batch of 32.
        rounds: how many turns, after one that does not count.

    Returns:
        The median of the ratios of their times; above 1 where the other is faster.
    """
    batch = np.resize(pixels, (_PHOTOS, *pixels.shape[1:]))
    sessions = [open_session(model, "the model", threads=1) for model in (reference, other)]
    pairs = [[_seconds(session, batch) for session in sessions] for _ in range(rounds + 1)]
    return statistics.median(slow / quick for slow, quick in pairs[1:])


def _seconds(session: ort.InferenceSession, batch: Pixels) -> float:
    start = time.perf_counter()
    session.run(None, {"image": batch})
    return time.perf_counter() - start
