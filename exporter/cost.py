"""Measures how much accuracy a variant loses, and how much faster it is on this machine."""

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
"""The number of rounds with decoding is small, because decoding large photos takes seconds."""
_WORTH: Final = 500
"""The weight of the expected loss, as a number of validation photos. With 30 photos, the expected loss outweighs
the measured loss. With thousands of photos, it does not (benchmarks/int8_judging.py)."""
_CHEAPEST: Final = 0.05
"""A changed label costs at least this much accuracy, because a barely trained network has almost equal confidences."""
_TELLING: Final = 20.0
"""A loss with a 95% interval wider than 20 points does not count as measured."""
_NEAREST: Final = 0.25
_FEWEST: Final = 20
""":func:`expected_loss` measures the 25% of the photos with the smallest margins, but at least 20 photos."""


@dataclass(frozen=True)
class Drop:
    """The accuracy that a variant loses against float32, on the same photos.

    Attributes:
        photos: number of photos with a known label.
        accuracy, reference: accuracy of the variant and of float32 on these photos.
        points: lost accuracy on these photos, in percentage points. Negative for a gain.
        points_95: the 95% interval of ``points``.
        compared: number of photos, including photos without a known label.
        agreement: share of these photos to which both models give the same label.
        estimate: expected loss in points. See :func:`drop`.
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
        """The expected loss or gain of accuracy, in words."""
        return f"should {'gain' if self.estimate < 0 else 'lose'} about {abs(self.estimate):.2f} points of accuracy"

    @property
    def is_telling(self) -> bool:
        """Whether there are enough photos to measure the lost accuracy."""
        low, high = self.points_95
        return high - low <= _TELLING

    @property
    def seen(self) -> str:
        """The measured loss or gain of accuracy, in words."""
        return f"{abs(self.points):.2f} {'gained' if self.points < 0 else 'lost'} on {self.photos} validation photos"

    def too_much(self, allowed: float) -> str | None:
        """A text with the loss and the limit, or None if the expected loss is at most ``allowed`` points."""
        if self.estimate <= allowed:
            return None
        low, high = self.points_95
        return (
            f"it {self.words}, but only {allowed:g} are allowed ({1 - self.agreement:.1%} of {self.compared} photos "
            f"get another label; {self.seen}, 95% interval of the loss: {low:.2f} to {high:.2f})"
        )


@dataclass(frozen=True)
class Float32:
    """The float32 model, and the photos on which variants are compared with it.

    Attributes:
        model: an ONNX model that ends in ``logits``.
        photos: ``uint8 (n + m, S, S, 3)``; see :meth:`exporter.training_run.TrainingRun.compared_pixels`.
        scores: the model's scores for ``photos``. ``scores.probabilities`` contains logits.
    """

    model: onnx.ModelProto
    photos: Pixels
    scores: Scores
    run: TrainingRun
    version: str

    def drop(self, variant: Scores) -> Drop:
        """Compare a variant's scores for ``photos`` with float32's."""
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

    On 30 photos, one photo is 3.3 points, so the measured loss is mostly chance. So the estimate includes ``expected``
    (:func:`expected_loss`), if not None, with the weight of 500 photos. ``labels``, ``groups``: class and group indices
    of the first n photos, ``(n,)``.
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
    """Estimate a variant's loss of accuracy on unseen photos, as a fraction. Needs no labels.

    A photo's margin is its highest logit minus its second highest. If the margin becomes negative, the label changes.
    Training photos have larger margins than new photos, so fewer of their labels change. But margins change by similar
    amounts on all photos with small margins. So each measured change is applied to the margins of all unseen photos. A
    changed label costs the difference of the two calibrated confidences, at least 0.05.

    ``reference``, ``got``: logits of float32 and of the variant for the same photos, ``(n, classes)``. ``unseen``:
    float32's logits for photos that it was not trained on, ``(m, classes)``. All logits are divided by the temperature.
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
    """Time two ONNX files in turn, each on one thread, ``rounds`` times after a warm-up.

    ``pixels``: at least one photo, ``uint8 (n, S, S, 3)``. The photos are repeated to fill a batch of 32.

    Returns:
        The median ratio of the times, above 1 if the second model is faster.
    """
    batch = np.resize(pixels, (_PHOTOS, *pixels.shape[1:]))
    return _gain(reference, other, lambda: batch, rounds)


def whole_gain(
    reference: bytes, other: bytes, photos: Iterable[bytes], spec: PreprocessSpec, rounds: int = _WHOLE_ROUNDS
) -> float | None:
    """Like :func:`speed_gain`, but with decoding of the files. Each round decodes the photos once, for both models.

    Uses the first 32 decodable photos. Returns None if no photo is decodable.
    """
    some = list(islice((data for data in photos if _decodes(data, spec)), _PHOTOS))
    if not some:
        return None
    return _gain(reference, other, lambda: np.stack([preprocess(data, spec) for data in some]), rounds)


def _gain(reference: bytes, other: bytes, photos: Callable[[], Pixels], rounds: int) -> float:
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
