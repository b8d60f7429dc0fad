"""All that is known of a training when it ends: what its page and its model card are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.preprocess import Pixels
from models.statistics.confidence import Confidence
from trainer.data.dataset import Exclusion, Split
from trainer.judging.evaluate import Evaluation
from trainer.judging.judged import Judged
from trainer.judging.label_issues import LabelIssue
from trainer.learning.history import EpochFigures
from trainer.run import RunArgs

__all__ = ["ReportMaterial", "Speed"]


@dataclass(frozen=True)
class Speed:
    """What a training and its network took.

    Attributes:
        parameters: of the network.
        model_bytes: of its file.
        images_per_s: photos that the network judges in a second, decoding not counted.
        threads: that it judged them on.
        train_seconds: of the whole training.
        waiting: share of that time in which the network waited for data.
    """

    parameters: int
    model_bytes: int
    images_per_s: float
    threads: int
    train_seconds: float
    waiting: float


@dataclass(frozen=True)
class ReportMaterial:
    """A training that has ended with one whole epoch or more.

    Attributes:
        args: what decided it.
        prepared_counts: split → class → photos that were used.
        notes: what a person should know of the data, a line each.
        excluded: files that were set aside.
        history: its epochs.
        judged: validation, and test where there is one.
        confidence: how sure the network is.
        evaluation: its figures.
        issues: photos whose label is likely wrong, the likeliest first.
        speed: what it took.
        train_batch: JPEG of what the network saw while it learned.
        pixels: SHA-256s of used photos → ``uint8 (n, S, S, 3)``, as the network sees them.
        heat: pixels and class indices → heat maps ``float32 (n, S, S)`` in 0..1.
    """

    args: RunArgs
    prepared_counts: Mapping[Split, Mapping[str, int]]
    notes: tuple[str, ...]
    excluded: Sequence[Exclusion]
    history: Sequence[EpochFigures]
    judged: Mapping[Split, Judged]
    confidence: Confidence
    evaluation: Evaluation
    issues: Sequence[LabelIssue]
    speed: Speed
    train_batch: bytes
    pixels: Callable[[Sequence[str]], Pixels]
    heat: Callable[[Pixels, Sequence[int]], NDArray[np.float32]]
