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
from models.statistics.calibration import calibrated
from models.statistics.intervals import Interval, design_effect, difference_interval

_PHOTOS: Final = 32
_ROUNDS: Final = 9
_WHOLE_ROUNDS: Final = 3
"""Fewer rounds, since decoding large photos takes seconds, the same for both models."""
_WORTH: Final = 500
"""How many validation photos the expected loss counts for. One photo lost of 30 must not refuse a variant, nor may luck
on 30 let one pass; on thousands, what is measured counts (benchmarks/int8_judging.py)."""
_CHEAPEST: Final = 0.05
"""The least that a changed label is taken to cost: confidences of a network that has hardly learned all but tie."""
_TELLING: Final = 20.0
"""Points from end to end; a wider interval leaves open what a variant costs."""
_NEAREST: Final = 0.25
_FEWEST: Final = 20
"""The moves that count are those of a quarter of the photos, 20 at least: those with the smallest leads."""


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

    @property
    def words(self) -> str:
        """What it is expected to lose, or to gain."""
        return f"{'gains' if self.estimate < 0 else 'loses'} about {abs(self.estimate):.2f} points of accuracy"

    @property
    def is_telling(self) -> bool:
        """Whether the photos are enough to measure what it costs."""
        low, high = self.points_95
        return high - low <= _TELLING

    @property
    def seen(self) -> str:
        """What it lost, or gained, on the photos."""
        return f"{abs(self.points):.2f} {'gained' if self.points < 0 else 'lost'} on {self.photos} validation photos"

    def too_much(self, allowed: float) -> str | None:
        """What it loses and may lose, in words; None if it loses no more than ``allowed`` points."""
        if self.estimate <= allowed:
            return None
        low, high = self.points_95
        return (
            f"it {self.words}, and {allowed:g} are allowed ({1 - self.agreement:.1%} of {self.compared} photos change "
            f"their label; {self.seen}, 95% interval of the loss: {low:.2f} to {high:.2f})"
        )


@dataclass(frozen=True)
class Float32:
    """The float32 model, from which lighter variants are made, and what they are compared with it on.

    Attributes:
        model: ends in ``logits``.
        photos: ``uint8 (n + m, S, S, 3)``; see :meth:`exporter.training_run.TrainingRun.compared_pixels`.
        scores: its scores of these photos, with logits in place of probabilities.
    """

    model: onnx.ModelProto
    photos: Pixels
    scores: Scores
    run: TrainingRun
    version: str

    def drop(self, variant: Scores) -> Drop:
        """What a variant loses, by its scores of the photos."""
        labels, temperature = self.run.labels, self.run.confidence.temperature
        before, after = self.scores.probabilities / temperature, variant.probabilities / temperature
        return drop(before, after, labels, expected_loss(before, after, before[: len(labels)]), self.run.groups)


def drop(
    reference: npt.NDArray[np.floating],
    got: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    expected: float | None = None,
    groups: npt.NDArray[np.intp] | None = None,
) -> Drop:
    """Compare a variant with float32 by probabilities or logits of the same photos, ``(n + m, classes)``, n above 0.

    The points lost on 30 photos are chance: one photo is 3.3. So the estimate is of these photos and of 500 more, of
    which the share ``expected`` is lost (:func:`expected_loss`; None: the estimate is what these photos say).
    ``labels``, ``(n,)``, are class indices of the first n photos; ``groups``, ``(n,)``, number those of one product.
    """
    before, after = reference.argmax(axis=1), got.argmax(axis=1)
    known = len(labels)
    right_before, right_after = before[:known] == labels, after[:known] == labels
    lost, won = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
    groups = np.arange(known) if groups is None else groups
    effect = design_effect(right_before.astype(np.float64) - right_after, groups)
    low, high = difference_interval(lost / effect, won / effect, known / effect)
    further = 0 if expected is None else _WORTH
    return Drop(
        photos=known,
        accuracy=float(right_after.mean()),
        reference=float(right_before.mean()),
        points=100 * (lost - won) / known,
        points_95=(100 * low, 100 * high),
        compared=len(before),
        agreement=float(np.mean(before == after)),
        estimate=100 * (lost - won + further * (expected or 0.0)) / (known + further),
    )


def expected_loss(
    reference: npt.NDArray[np.floating], got: npt.NDArray[np.floating], unseen: npt.NDArray[np.floating]
) -> float:
    """The share of unseen photos that a variant is expected to lose; it needs no labels.

    A photo's label changes where the variant moves the lead of its likeliest class over the second by more than that
    lead. Training photos have larger leads than others, so that to count their changed labels is to expect too few. But
    the moves are of one size on all photos with a small lead: each unseen photo is given each of these moves, and a
    changed label costs what calibrated confidences say, the likeliest class's less the second's, and 0.05 at least.

    ``reference`` and ``got`` are float32's and the variant's logits of any photos, ``(n, classes)``, divided by the
    temperature; ``unseen`` are float32's of photos that were not learned from, ``(m, classes)``.
    """
    order = np.argsort(-reference, axis=1)[:, :2]
    (first, second), (now_first, now_second) = (np.take_along_axis(rows, order, 1).T for rows in (reference, got))
    lead = first - second
    nearest = np.argsort(lead)[: max(_FEWEST, int(_NEAREST * len(lead)))]
    moves = np.sort((now_first - now_second - lead)[nearest])
    top = np.sort(unseen, axis=1)[:, -2:]
    flipped = np.searchsorted(moves, top[:, 0] - top[:, 1]) / len(moves)
    shares = np.sort(calibrated(unseen, 1.0), axis=1)[:, -2:]
    return float(np.mean(flipped * np.maximum(shares[:, 1] - shares[:, 0], _CHEAPEST)))


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
