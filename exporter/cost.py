"""What a lighter variant costs in accuracy, how sure that is, and what it gains in speed on this machine."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import ImageError
from models.preprocess import Pixels, PreprocessSpec, preprocess
from models.session import open_session
from models.statistics.intervals import Interval, difference_interval

__all__ = ["Drop", "drop", "speed_gain", "whole_gain"]

_PHOTOS: Final = 32
_ROUNDS: Final = 9
_WHOLE_ROUNDS: Final = 3
"""Fewer rounds, since decoding large photos takes seconds, the same for both models."""


@dataclass(frozen=True)
class Drop:
    """How much less often a variant is right than float32 is, on the same photos.

    Attributes:
        photos: how many.
        accuracy, reference: share of photos that the variant labels right, and that float32 does.
        points: how much accuracy is lost, in hundredths; negative if it is gained.
        points_95: the 95% interval of that.
        agreement: share of photos to which both give the same label, right or wrong.
    """

    photos: int
    accuracy: float
    reference: float
    points: float
    points_95: Interval
    agreement: float


def drop(reference: npt.NDArray[np.floating], got: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> Drop:
    """Compare a variant with float32.

    Args:
        reference: float32's probabilities or logits, ``(n, classes)``, of at least one photo.
        got: the variant's, of the same photos.
        labels: class indices ``(n,)``.
    """
    before, after = reference.argmax(axis=1), got.argmax(axis=1)
    right_before, right_after = before == labels, after == labels
    lost, won = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
    low, high = difference_interval(lost, won, len(labels))
    return Drop(
        photos=len(labels),
        accuracy=float(right_after.mean()),
        reference=float(right_before.mean()),
        points=100 * (lost - won) / len(labels),
        points_95=(100 * low, 100 * high),
        agreement=float((before == after).mean()),
    )


def speed_gain(reference: bytes, other: bytes, pixels: Pixels, rounds: int = _ROUNDS) -> float:
    """Run two ONNX files in turns on one thread each, ``rounds`` times after one that does not count.

    They take ``pixels``, ``uint8 (n, S, S, 3)``, at least one photo, repeated to a batch of 32.

    Returns:
        The median of the ratios of their times; above 1 if the other is faster.
    """
    batch = np.resize(pixels, (_PHOTOS, *pixels.shape[1:]))
    return _gain(reference, other, lambda: batch, rounds)


def whole_gain(
    reference: bytes, other: bytes, photos: Iterable[bytes], spec: PreprocessSpec, rounds: int = _WHOLE_ROUNDS
) -> float | None:
    """:func:`speed_gain` from the bytes of files to their labels: each turn decodes once, for both models.

    The first 32 image files that can be decoded are used; None if there are none.
    """
    some = list(islice((data for data in photos if _decodes(data, spec)), _PHOTOS))
    if not some:
        return None
    return _gain(reference, other, lambda: np.stack([preprocess(data, spec) for data in some]), rounds)


def _gain(reference: bytes, other: bytes, photos: Callable[[], Pixels], rounds: int) -> float:
    """The time in which ``photos`` makes a batch counts for both models."""
    sessions = [open_session(model, "the model", threads=1) for model in (reference, other)]
    ratios = []
    for _ in range(rounds + 1):
        times = [time.perf_counter()]
        batch = photos()
        times.append(time.perf_counter())
        for session in sessions:
            session.run(None, {"image": batch})
            times.append(time.perf_counter())
        making, slow, quick = np.diff(times)
        ratios.append((making + slow) / (making + quick))
    return float(np.median(ratios[1:]))


def _decodes(data: bytes, spec: PreprocessSpec) -> bool:
    try:
        preprocess(data, spec)
    except ImageError:
        return False
    return True
