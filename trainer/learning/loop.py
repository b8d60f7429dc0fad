"""The training loop: epochs until they are over, the time is, or nothing gets better."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from models.errors import DataError
from models.statistics.calibration import class_logits
from trainer.learning.batches import Batches
from trainer.learning.recipe import Recipe, epochs_left_in, rate_at, scale_at
from trainer.learning.training_step import Learner, read_state, save_network, write_state
from trainer.run import EpochFigures, Run, best_of, goodness, read_history, write_history

__all__ = ["FitOutcome", "FitView", "Held", "Limits", "TensorBoardView", "fit"]


_REHEARSED = 4
_MULTIPLE = 16
"""Sides of smaller photos are multiples of this, so that no stride leaves a remainder."""


@dataclass(frozen=True)
class Limits:
    """When a training ends.

    Attributes:
        epochs: at most.
        patience: epochs without a better one before it stops.
        deadline: by the clock, at which the last epoch has ended; the schedule is planned to that. None where time does
            not matter.
        clock: in seconds.
    """

    epochs: int
    patience: int
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Held:
    """Photos that are held back, to see how good the network is.

    Attributes:
        pixels: of the photos from the first number to before the second, ``uint8 (n, S, S, 3)``.
        labels: class indices ``(n,)``.
    """

    pixels: Callable[[int, int], npt.NDArray[np.uint8]]
    labels: npt.NDArray[np.intp]


@dataclass(frozen=True)
class FitOutcome:
    """How a training ended."""

    history: list[EpochFigures]
    interrupted: bool

    @property
    def best_epoch(self) -> int | None:
        """From 1; none when no epoch has ended."""
        return best_of(self.history).epoch if self.history else None


class FitView(Protocol):
    """Who is told how the epochs go."""

    def step(self, done: int, total: int) -> None:
        """A step of the running epoch is done."""

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """An epoch is done; there will be so many, as far as one can tell."""


def fit(
    learner: Learner, recipe: Recipe, batches: Batches, held: Held, run: Run, limits: Limits, view: FitView
) -> FitOutcome:
    """Train until the epochs are over, the time is, patience has run out, or somebody presses Ctrl-C.

    After each epoch ``weights/state.npz``, ``results.csv`` and, where it is the best so far, ``weights/best.keras``
    are whole on disk, so that a kill costs one epoch at most.

    Args:
        learner: as it was built; what an earlier run has learned is taken from disk.
        recipe: rates and sizes.
        batches: to learn from.
        held: to see how good it is.
        run: where to write.
        limits: when it ends.
        view: told of each step and epoch.

    Returns:
        How it ended; the network has the average of its weights after the last whole epoch then.
    """
    training = _Training(learner, recipe, batches, held, run, limits, view)
    with _ctrl_c(training.interrupt):
        training.go()
    learner.settle()
    if training.history:
        save_network(learner.network, run.last)
    return FitOutcome(training.history, training.interrupted)


class _Steps:
    """What the steps of an epoch came to."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rights: list[float] = []
        self.waited_s = 0.0
        self._seconds: list[float] = []

    def add(self, loss: float, right: float, waited_s: float, seconds: float) -> None:
        """One more step."""
        self.losses.append(loss)
        self.rights.append(right)
        self.waited_s += waited_s
        self._seconds.append(seconds)

    @property
    def steady_s(self) -> float:
        """What they take when nothing has to be made ready: the first step after a change of size does much else."""
        others = self._seconds[1:] or self._seconds
        return sum(others) / len(others) * len(self._seconds)


class _Training:
    def __init__(
        self, learner: Learner, recipe: Recipe, batches: Batches, held: Held, run: Run, limits: Limits, view: FitView
    ) -> None:
        self._learner = learner
        self._recipe = recipe
        self._batches = batches
        self._held = held
        self._run = run
        self._limits = limits
        self._view = view
        self._clock = limits.clock
        self._stages = [replace(stage, scale=_whole(stage.scale, batches.size)) for stage in recipe.stages]
        self._progress = 0.0
        self._full_epoch_s = 0.0
        self.history: list[EpochFigures] = []
        self.interrupted = False
        self._take_up()

    def interrupt(self) -> None:
        """Stop after the running step; the running epoch is not kept."""
        self.interrupted = True

    def go(self) -> None:
        """All epochs."""
        if self._limits.deadline is not None and not self._ended():
            self._rehearse()
        while not self._ended():
            figures = self._epoch()
            if figures is None:
                self._take_up()  # not the steps since
                return
            self._keep(figures)
            self._view.epoch(figures, len(self.history) + (0 if self._ended() else self._epochs_left()))

    def _take_up(self) -> None:
        """What an earlier run has left; what is not in its state is trained again."""
        if not self._run.state.is_file():
            return
        state = read_state(self._run.state)
        self._learner.restore(state)
        self._progress = float(state["progress"])
        self.history = [row for row in read_history(self._run.history) if row.epoch <= int(state["epoch"])]

    def _ended(self) -> bool:
        over = self._progress >= 1.0 or len(self.history) >= self._limits.epochs
        return over or self.interrupted or _out_of_patience(self.history, self._limits.patience)

    def _epochs_left(self) -> int:
        left = self._limits.epochs - len(self.history)
        if self._limits.deadline is None:
            return left
        seconds = self._limits.deadline - self._clock()
        return min(left, epochs_left_in(seconds, self._progress, self._full_epoch_s, self._stages))

    def _rehearse(self) -> None:
        """A few steps to see how fast they are, which leave nothing behind."""
        state, size = self._learner.state(), self._size()
        batches = self._over_and_over(size)
        seconds = []
        for _ in range(_REHEARSED):
            begin = self._clock()
            pixels, targets = next(batches)
            loss, _ = self._learner.step(pixels, targets, 0.0, 0.0)
            float(loss)  # waits for it
            seconds.append(self._clock() - begin)
        self._learner.restore(state)
        self._full_epoch_s = min(seconds) * self._batches.steps / self._share_of_full(size)

    def _over_and_over(self, size: int) -> Iterator[Any]:
        while True:
            yield from self._batches.epoch(len(self.history), size)

    def _size(self) -> int:
        """Side of the photos of the next epoch."""
        return round(self._batches.size * scale_at(self._progress, self._stages))

    def _share_of_full(self, size: int) -> float:
        return (size / self._batches.size) ** 2

    def _epoch(self) -> EpochFigures | None:
        begin, size = self._clock(), self._size()
        left = self._epochs_left()
        end = 1.0 if left == 1 else self._progress + (1.0 - self._progress) / left
        steps = self._steps(size, end)
        if steps is None:
            return None
        self._progress = end
        trained = self._clock() - begin
        val_loss, val_accuracy = self._validate()
        seconds = self._clock() - begin
        self._full_epoch_s = (seconds - trained + steps.steady_s) / self._share_of_full(size)
        figures = EpochFigures(
            epoch=len(self.history) + 1,
            train_loss=float(np.mean(steps.losses)),
            train_accuracy=float(np.mean(steps.rights)),
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            lr=rate_at(end, self._recipe),
            size=size,
            seconds=seconds,
            waiting=steps.waited_s / trained,
            images_per_s=self._batches.steps * self._batches.batch / trained,
        )
        return replace(figures, best=all(goodness(figures) > goodness(row) for row in self.history))

    def _steps(self, size: int, end: float) -> "_Steps | None":
        """The steps of an epoch that takes the training as far as ``end``; none where somebody stopped it."""
        begin, total, taken = self._progress, self._batches.steps, _Steps()
        batches = iter(self._batches.epoch(len(self.history), size))
        for done in range(1, total + 1):
            asked = self._clock()
            pixels, targets = next(batches)
            got = self._clock()
            rate = rate_at(begin + (end - begin) * done / total, self._recipe)
            loss, right = (float(one) for one in self._learner.step(pixels, targets, rate, (end - begin) / total))
            if not math.isfinite(loss):
                raise DataError(_diverged(len(self.history) + 1, self._run))
            taken.add(loss, right, got - asked, self._clock() - asked)
            self._view.step(done, total)
            if self.interrupted:
                return None
        return taken

    def _validate(self) -> tuple[float, float]:
        """Cross-entropy and accuracy of the averaged network on the photos that are held back."""
        labels, losses, right = self._held.labels, 0.0, 0
        with self._learner.averaged():
            for start in range(0, len(labels), _HELD_CHUNK):
                truth = labels[start : start + _HELD_CHUNK]
                logits = class_logits(self._learner.logits(self._held.pixels(start, start + len(truth))))
                highest = logits.max(axis=1, keepdims=True)
                norm = highest[:, 0] + np.log(np.exp(logits - highest).sum(axis=1))
                losses += float((norm - logits[np.arange(len(truth)), truth]).sum())
                right += int((logits.argmax(axis=1) == truth).sum())
        return losses / len(labels), right / len(labels)

    def _keep(self, figures: EpochFigures) -> None:
        self.history.append(figures)
        if figures.best:
            self._run.forget_judgement()
            with self._learner.averaged():
                save_network(self._learner.network, self._run.best)
        write_history(self._run.history, self.history)
        state = {**self._learner.state(), "progress": np.array(self._progress), "epoch": np.array(figures.epoch)}
        write_state(self._run.state, state)  # comes last: what is not in it is trained again


_HELD_CHUNK = 1024


def _diverged(epoch: int, run: Run) -> str:
    kept = f"what was learned before is in {run.path}" if epoch > 1 else "nothing was learned before"
    return (
        f"Expected a finite loss, it is none in epoch {epoch}; {kept}. Train anew with another --seed, "
        "a larger --batch, or other --weights."
    )


def _whole(scale: float, full: int) -> float:
    """The scale nearby at which the side is a multiple of 16."""
    return max(_MULTIPLE, round(scale * full / _MULTIPLE) * _MULTIPLE) / full


def _out_of_patience(history: list[EpochFigures], patience: int) -> bool:
    return bool(history) and history[-1].epoch - best_of(history).epoch >= patience


@contextmanager
def _ctrl_c(interrupt: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C stops after the running step; a second one at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        interrupt()
        signal.signal(number, signal.default_int_handler)

    earlier = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)


_SCALAR: Final = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
)
"""Says that a number is to be drawn as a curve; ``tf.summary.scalar`` would want TensorBoard installed to say it."""


class TensorBoardView:
    """Tells another view, and writes each epoch's figures to a folder that ``tensorboard --logdir`` reads.

    Args:
        view: is told all the same.
        folder: for the logs.
    """

    def __init__(self, view: FitView, folder: Path) -> None:
        self._view = view
        self._writer = tf.summary.create_file_writer(str(folder))

    def step(self, done: int, total: int) -> None:
        """A step of the running epoch is done."""
        self._view.step(done, total)

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """An epoch is done."""
        with self._writer.as_default(step=figures.epoch):
            for split in ("train", "val"):
                for what in ("loss", "accuracy"):
                    _write(f"{what}/{split}", getattr(figures, f"{split}_{what}"))
            _write("learning_rate", figures.lr)
            _write("images_per_s", figures.images_per_s)
            _write("waiting", figures.waiting)
        self._writer.flush()
        self._view.epoch(figures, epochs)


def _write(name: str, value: float) -> None:
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)
