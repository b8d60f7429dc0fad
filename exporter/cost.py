"""What a lighter variant costs in accuracy, how sure that is, and what it gains in speed on this machine."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx

from exporter.training_run import TrainingRun
from models.decision import Scores
from models.errors import ImageError
from models.preprocess import Pixels, PreprocessSpec, preprocess
from models.session import open_session
from models.statistics.intervals import Interval, difference_interval

__all__ = ["Drop", "Float32", "drop", "speed_gain", "whole_gain"]

_PHOTOS: Final = 32
_ROUNDS: Final = 9
_WHOLE_ROUNDS: Final = 3
"""Fewer rounds, since decoding large photos takes seconds, the same for both models."""
_PRIOR_CHANGES: Final = 10
_PRIOR_LOST: Final = 1
"""Changed labels, and labels lost among them, that count before any is seen. Measured (docs/measurements.md): a changed
label costs -0.15 to 0.27 of a label in networks that were quantized well, 0.33 in one that lost ten points."""
_CHEAPEST: Final = 0.05
"""The least that a changed label is taken to cost."""


@dataclass(frozen=True)
class Drop:
    """How much less often a variant is right than float32 is, on the same photos.

    Attributes:
        photos: how many of them have a known label.
        accuracy, reference: share of these that the variant labels right, and that float32 does.
        points: how much accuracy is lost on them, in hundredths; negative if it is gained.
        points_95: the 95% interval of that.
        compared: how many photos there are, those without a known label included.
        agreement: share of all of them to which both give the same label, right or wrong.
        estimate: points of accuracy that the variant is expected to lose; see :func:`drop`.
    """

    photos: int
    accuracy: float
    reference: float
    points: float
    points_95: Interval
    compared: int
    agreement: float
    estimate: float

    def too_much(self, allowed: float) -> str | None:
        """What it loses and may lose, in words; None if it loses no more than ``allowed`` points."""
        if self.estimate <= allowed:
            return None
        low, high = self.points_95
        return (
            f"it loses about {self.estimate:.2f} points of accuracy, and {allowed:g} are allowed ({self.points:.2f} on "
            f"{self.photos} validation photos, 95%: {low:.2f} to {high:.2f}; of {self.compared} photos "
            f"{1 - self.agreement:.1%} change their label)"
        )


@dataclass(frozen=True)
class Float32:
    """The float32 model, from which lighter variants are made, and what they are compared with it on.

    Attributes:
        model: ends in ``logits``.
        photos: the run's validation photos, then others, ``uint8 (n + m, S, S, 3)``; see
            :meth:`exporter.training_run.TrainingRun.compared_pixels`.
        scores: its scores of these photos, with logits in place of probabilities.
        run: the training that it was converted from.
        version: the bundle's version.
    """

    model: onnx.ModelProto
    photos: Pixels
    scores: Scores
    run: TrainingRun
    version: str

    def drop(self, variant: Scores) -> Drop:
        """What a variant loses, by its scores of the photos."""
        return drop(self.scores.probabilities, variant.probabilities, self.run.labels)


def drop(reference: npt.NDArray[np.floating], got: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> Drop:
    """Compare a variant with float32.

    The points lost on 30 photos are chance: one photo is 3.3. So the estimate is a product: the share of labels that
    change, times what a change costs. The share needs no true labels, and is counted on all photos. The cost is counted
    on photos with a known label, as if ten more labels had changed and one of them been lost. It is a twentieth of a
    label at least, so that no luck lets a variant pass that changes many. On thousands of photos the estimate is close
    to the points that are measured.

    Args:
        reference: float32's probabilities or logits, ``(n + m, classes)``; n is at least one.
        got: the variant's, of the same photos.
        labels: class indices ``(n,)``; those of the m photos behind them are not known.
    """
    before, after = reference.argmax(axis=1), got.argmax(axis=1)
    known, changed = len(labels), before != after
    right_before, right_after = before[:known] == labels, after[:known] == labels
    lost, won = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
    low, high = difference_interval(lost, won, known)
    price = (lost - won + _PRIOR_LOST) / (int(changed[:known].sum()) + _PRIOR_CHANGES)
    return Drop(
        photos=known,
        accuracy=float(right_after.mean()),
        reference=float(right_before.mean()),
        points=100 * (lost - won) / known,
        points_95=(100 * low, 100 * high),
        compared=len(before),
        agreement=float(1 - changed.mean()),
        estimate=float(100 * changed.mean() * max(price, _CHEAPEST)),
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
