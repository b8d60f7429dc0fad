"""The training loop. It ends after the planned epochs, or at the time limit."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from models.errors import DataError
from models.statistics.calibration import class_logits
from models.whole_file import read_arrays, write_arrays
from trainer.learning.batches import Batches
from trainer.learning.recipe import Recipe, cost_at, mean_cost, rate_at, scale_at
from trainer.learning.training_step import Learner, save_network
from trainer.run import EpochFigures, Run, best_of, epoch_rank, read_history, write_history

_STOPPING: Final = "Stopping. The current epoch is discarded. Press Ctrl-C again to quit at once, without a new report."
_CHUNK: Final = 128
_MULTIPLE: Final = 16
"""The side of reduced photos is a multiple of this number of pixels, so that the network's strides divide it."""
_SMALLEST: Final = 32
"""The smallest side of reduced photos, in pixels. Networks trained at 16 px hardly learned in 10 epochs."""


@dataclass(frozen=True)
class TrainingBudget:
    """The limits of a training: a number of epochs, and a deadline that is compared with ``clock()``.

    If epochs are slower than planned, fewer epochs are run, and the learning rate still falls to 0.
    """

    epochs: int
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class ValidationPhotos:
    """The photos that are predicted after each epoch, and their class indices ``(n,)``.

    ``pixels(start, end)`` returns a slice of the photos, ``uint8 (end - start, S, S, 3)``.
    """

    pixels: Callable[[int, int], npt.NDArray[np.uint8]]
    labels: npt.NDArray[np.intp]


@dataclass(frozen=True)
class FitOutcome:
    """The result of a training. The first epoch is 1. ``best_epoch`` is None if no epoch was completed."""

    history: list[EpochFigures]
    interrupted: bool
    best_epoch: int | None


class FitView(Protocol):
    """Shows the progress of a training."""

    def step(self, done: int, total: int) -> None:
        """Show how many steps of the current epoch are done."""

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """Show a finished epoch. ``epochs`` is the expected total number of epochs."""

    def note(self, text: str) -> None:
        """Show a note."""


def fit(
    learner: Learner,
    recipe: Recipe,
    batches: Batches,
    held: ValidationPhotos,
    run: Run,
    limits: TrainingBudget,
    view: FitView,
) -> FitOutcome:
    """Train until the last epoch, the time limit or Ctrl-C.

    The state is saved after each epoch, so a crash costs at most one epoch. At the end, the network gets its averaged
    weights. If the learning rate has fallen to 0, the last epoch is used: choosing an epoch by its validation accuracy
    would make the reported accuracy too high.
    """
    loop = _Loop(learner, recipe, batches, held, run, limits, view)
    with _ctrl_c(loop.interrupt):
        loop.go()
    learner.use_average()
    if not loop.history:
        return FitOutcome([], loop.interrupted, None)
    save_network(learner.network, run.last)
    best = loop.history[-1] if loop.is_through() else best_of(loop.history)
    return FitOutcome(loop.history, loop.interrupted, best.epoch)


@dataclass
class _Loop:
    learner: Learner
    recipe: Recipe
    batches: Batches
    held: ValidationPhotos
    run: Run
    limits: TrainingBudget
    view: FitView
    history: list[EpochFigures] = field(default_factory=list)
    interrupted: bool = False
    progress: float = 0.0
    """Progress of the whole training, from 0 to 1."""
    full_epoch_s: float | None = None
    """Seconds for the training steps of an epoch with full-size photos. None until measured."""
    rest_s: float = 0.0
    """Seconds that an epoch spends on validation and saving."""

    def __post_init__(self) -> None:
        self.clock = self.limits.clock
        self.stages = [replace(stage, scale=_whole(stage.scale, self.batches.size)) for stage in self.recipe.stages]
        self.restore()

    def interrupt(self) -> None:
        self.interrupted = True
        self.view.note(_STOPPING)

    def go(self) -> None:
        while not self.interrupted and (left := self.epochs_left()):
            figures = self.epoch(left)
            if figures is None:
                self.restore()  # discard the steps since the last epoch
                return
            self.keep(figures)
            self.view.epoch(figures, len(self.history) + self.epochs_left())

    def restore(self) -> None:
        if not self.run.state.is_file():
            return
        state = read_arrays(self.run.state, "the state of a training")
        self.learner.restore(state)
        self.progress = float(state["progress"])
        self.history = [row for row in read_history(self.run.history) if row.epoch <= int(state["epoch"])]
        if self.history:
            self.full_epoch_s = self.history[-1].seconds / cost_at(self.history[-1].size / self.batches.size)

    def is_through(self) -> bool:
        return self.recipe.cosine and self.progress >= 1.0

    def epochs_left(self) -> int:
        left = self.limits.epochs - len(self.history) if self.progress < 1.0 else 0
        if self.limits.deadline is None or self.full_epoch_s is None or not left:
            return left
        epoch_s = self.full_epoch_s * mean_cost(self.progress, self.stages) + self.rest_s
        return max(1, min(left, int((self.limits.deadline - self.clock()) / epoch_s)))

    def epoch(self, left: int) -> EpochFigures | None:
        begin, size = self.clock(), round(self.batches.size * scale_at(self.progress, self.stages))
        end = 1.0 if left == 1 else self.progress + (1.0 - self.progress) / left
        steps = self.steps(size, end)
        if steps is None:
            return None
        self.progress = end
        trained = self.clock() - begin
        val_loss, val_accuracy = self.validate()
        seconds = self.clock() - begin
        self.full_epoch_s, self.rest_s = steps.steady_s / cost_at(size / self.batches.size), seconds - trained
        figures = EpochFigures(
            epoch=len(self.history) + 1,
            train_loss=float(np.mean(steps.losses)),
            train_accuracy=float(np.mean(steps.rights)),
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            lr=rate_at(end, self.recipe),
            size=size,
            seconds=seconds,
            waiting=steps.waited_s / trained,
            images_per_s=self.batches.steps * self.batches.batch / trained,
            compile_s=sum(steps.seconds) - steps.steady_s,
        )
        best = self.is_through() or all(epoch_rank(figures) > epoch_rank(row) for row in self.history)
        return replace(figures, best=best)

    def steps(self, size: int, end: float) -> "_Steps | None":
        begin, total, taken = self.progress, self.batches.steps, _Steps()
        batches = iter(self.batches.epoch(len(self.history), size))
        for done in range(1, total + 1):
            start = self.clock()
            pixels, targets = next(batches)
            taken.waited_s += self.clock() - start
            rate = rate_at(begin + (end - begin) * done / total, self.recipe)
            loss, right = (float(one) for one in self.learner.step(pixels, targets, rate, (end - begin) / total))
            if not math.isfinite(loss):
                raise DataError(_diverged(len(self.history) + 1, self.run))
            taken.losses.append(loss)
            taken.rights.append(right)
            taken.seconds.append(self.clock() - start)
            self.view.step(done, total)
            if self.interrupted:
                return None
        return taken

    def validate(self) -> tuple[float, float]:
        count = len(self.held.labels)
        ends = ((start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))
        with self.learner.averaged():
            logits = np.concatenate([self.learner.logits(self.held.pixels(*some)) for some in ends])
        return loss_and_accuracy(class_logits(logits), self.held.labels)

    def keep(self, figures: EpochFigures) -> None:
        begin = self.clock()
        self.history.append(figures)
        if figures.best:
            self.run.forget_judgement()
            with self.learner.averaged():
                save_network(self.learner.network, self.run.best)
        write_history(self.run.history, self.history)
        state = {**self.learner.state(), "progress": np.array(self.progress), "epoch": np.array(figures.epoch)}
        write_arrays(self.run.state, **state)  # written last, because a resumed training starts from this file
        self.rest_s += self.clock() - begin


@dataclass
class _Steps:
    losses: list[float] = field(default_factory=list)
    rights: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    waited_s: float = 0.0

    @property
    def steady_s(self) -> float:
        """Estimated seconds for all steps of the epoch, without compilation."""
        others = self.seconds[1:] or self.seconds
        return sum(others) / len(others) * len(self.seconds)


def loss_and_accuracy(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.intp]) -> tuple[float, float]:
    """The mean cross-entropy and the accuracy of class logits ``(n, classes)``."""
    double = logits.astype(np.float64)
    losses = logsumexp(double, axis=1) - double[np.arange(len(labels)), labels]
    return float(losses.mean()), float((logits.argmax(axis=1) == labels).mean())


def _diverged(epoch: int, run: Run) -> str:
    kept = f"the weights of earlier epochs are in {run.path}" if epoch > 1 else "there is no earlier epoch"
    return (
        f"Expected a finite loss, got infinity or NaN in epoch {epoch}; {kept}. Train again with another --seed, a "
        "larger --batch-size, or other --weights."
    )


def _whole(scale: float, full: int) -> float:
    return min(1.0, max(_SMALLEST, round(scale * full / _MULTIPLE) * _MULTIPLE) / full)


@contextmanager
def _ctrl_c(interrupt: Callable[[], None]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        interrupt()
        signal.signal(number, signal.default_int_handler)

    earlier = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
