"""The training loop: epochs until they are over, the time is, or nothing gets better."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, count, pairwise
from pathlib import Path
from statistics import mean
from types import FrameType
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from models.arrays import read_arrays, write_arrays
from models.errors import DataError
from models.statistics.calibration import class_logits
from trainer.learning.batches import Batches
from trainer.learning.recipe import Recipe, epochs_left_in, has_fallen, mean_cost, rate_at, scale_at
from trainer.learning.training_step import Learner, save_network
from trainer.run import EpochFigures, Run, best_of, epoch_rank, read_history, write_history

_REHEARSED: Final = 4
_STOPPING: Final = "Stopping; the running epoch is not kept. Press Ctrl-C again to quit without a report."
_HELD_CHUNK: Final = 1024
_MULTIPLE: Final = 16
"""Sides of smaller photos are multiples of this, so that no stride leaves a remainder."""
_SMALLEST: Final = 32
"""Smaller photos do not show what a product is: networks that began with 16 px learned next to nothing in 10 epochs."""
_SCALAR: Final = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
)
"""Marks a number as a curve for TensorBoard; ``tf.summary.scalar`` would need TensorBoard installed."""


@dataclass(frozen=True)
class Limits:
    """When a training ends: after ``epochs``, at the deadline, or once ``patience`` epochs brought no better one.

    Patience counts once a cosine's rate has fallen: before, a plateau says little.

    The deadline is a time of the clock, in seconds; the schedule is planned so that the last epoch ends before it.
    If fewer than ``fewest`` epochs fit, by a few steps or by the first epoch, ``lacks`` is told how many seconds these
    would take, and the ``latest`` deadline counts instead; without one, the training ends.
    """

    epochs: int
    patience: int
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic
    fewest: int = 0
    latest: float | None = None
    lacks: Callable[[float], None] = lambda seconds: None


@dataclass(frozen=True)
class ValidationPhotos:
    """Validation photos, on which the network is judged after each epoch, and their class indices ``(n,)``.

    ``pixels(start, end)`` returns a slice of them, ``uint8 (end - start, S, S, 3)``.
    """

    pixels: Callable[[int, int], npt.NDArray[np.uint8]]
    labels: npt.NDArray[np.intp]


@dataclass(frozen=True)
class FitOutcome:
    """How a training ended.

    Attributes:
        last_is_best: no epoch was chosen by validation.
        lacked_time: fewer than the fewest epochs fitted before the first deadline.
    """

    history: list[EpochFigures]
    interrupted: bool
    last_is_best: bool = False
    lacked_time: bool = False

    @property
    def best_epoch(self) -> int | None:
        """The number of the best epoch, from 1; None before any epoch has ended."""
        if not self.history:
            return None
        return self.history[-1].epoch if self.last_is_best else best_of(self.history).epoch


class FitView(Protocol):
    """Shows the progress of a training."""

    def step(self, done: int, total: int) -> None:
        """A step of the running epoch is done."""

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """An epoch is done; ``epochs`` is how many there will be, as far as one can tell."""

    def note(self, text: str) -> None:
        """Something that a person should know at once."""


class TensorBoardView:
    """Passes everything to another view, and writes each epoch's figures for ``tensorboard --logdir``."""

    def __init__(self, view: FitView, folder: Path) -> None:
        self._view = view
        self._writer = tf.summary.create_file_writer(str(folder))

    def step(self, done: int, total: int) -> None:
        """A step of the running epoch is done."""
        self._view.step(done, total)

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """An epoch is done."""
        scalars = {
            "loss/train": figures.train_loss,
            "accuracy/train": figures.train_accuracy,
            "loss/val": figures.val_loss,
            "accuracy/val": figures.val_accuracy,
            "learning_rate": figures.lr,
            "images_per_s": figures.images_per_s,
            "waiting": figures.waiting,
        }
        with self._writer.as_default(step=figures.epoch):
            for name, value in scalars.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)
        self._writer.flush()
        self._view.epoch(figures, epochs)

    def note(self, text: str) -> None:
        """Something that a person should know at once."""
        self._view.note(text)


def fit(
    learner: Learner, recipe: Recipe, batches: Batches, held: ValidationPhotos, run: Run, limits: Limits, view: FitView
) -> FitOutcome:
    """Train until the epochs are over, the time is, patience has run out, or somebody presses Ctrl-C.

    What an earlier run has learned is read from disk. After each epoch ``weights/state.npz``, ``results.csv`` and,
    where it is the best so far, ``weights/best.keras`` are whole on disk, so that a kill costs one epoch at most. In
    the end the network has the average of its weights after the last whole epoch. Where the rate has fallen to nothing
    by then, that epoch is the best: validation chooses by chance, and flatters what it has chosen.
    """
    loop = _Loop(learner, recipe, batches, held, run, limits, view)
    with _ctrl_c(loop.interrupt):
        loop.go()
    learner.use_average()
    if loop.history:
        save_network(learner.network, run.last)
    return FitOutcome(loop.history, loop.interrupted, loop.is_through(), loop.lacks_time)


@dataclass
class _Loop:
    learner: Learner
    recipe: Recipe
    batches: Batches
    held: ValidationPhotos
    run: Run
    limits: Limits
    view: FitView
    history: list[EpochFigures] = field(default_factory=list)
    interrupted: bool = False
    lacks_time: bool = False
    progress: float = 0.0
    """Of the whole training, from 0 to 1."""
    full_epoch_s: float = 0.0
    """Seconds that the steps of an epoch with photos of full size take."""
    rests: list[float] = field(default_factory=list)
    """Seconds that each epoch takes after its steps: to validate, and to write what was learned; first the rehearsal's.
    """
    compile_s: float = 0.0
    """Seconds to compile the network for another size of photos."""
    compiled: float = 1.0
    """The scale of the photos that it was last compiled for."""

    def __post_init__(self) -> None:
        self.clock = self.limits.clock
        self.stages = [replace(stage, scale=_whole(stage.scale, self.batches.size)) for stage in self.recipe.stages]
        self.restore()

    def interrupt(self) -> None:
        """Stop after the running step; the running epoch is not kept."""
        self.interrupted = True
        self.view.note(_STOPPING)

    def go(self) -> None:
        if self.limits.deadline is not None and not self.ended():
            self.rehearse()
            self.check_time()
        timed = self.limits.deadline is None
        while not self.ended():
            figures = self.epoch()
            if figures is None:
                self.restore()  # not the steps since
                return
            self.keep(figures)
            if not timed and not self.ended():
                self.check_time()
            timed = True
            self.view.epoch(figures, len(self.history) + (0 if self.ended() else self.epochs_left()))

    def restore(self) -> None:
        """Continue from the state that an earlier run left; epochs that are not in it are trained again."""
        if not self.run.state.is_file():
            return
        state = read_arrays(self.run.state, "the state of a training")
        self.learner.restore(state)
        self.progress = float(state["progress"])
        self.history = [row for row in read_history(self.run.history) if row.epoch <= int(state["epoch"])]

    def ended(self) -> bool:
        over = self.progress >= 1.0 or len(self.history) >= self.limits.epochs
        waited = self.history[-1].epoch - best_of(self.history).epoch if self.history else 0
        impatient = waited >= self.limits.patience and has_fallen(self.progress, self.recipe)
        given_up = self.lacks_time and self.limits.latest is None
        return over or self.interrupted or impatient or given_up

    def is_through(self) -> bool:
        """Whether the rate has fallen to nothing."""
        return self.recipe.cosine and self.progress >= 1.0

    def epochs_left(self) -> int:
        left = self.limits.epochs - len(self.history)
        if self.limits.deadline is None:
            return left
        seconds = self.limits.deadline - self.clock() - self.compile_s * self.sizes_left()
        return min(left, epochs_left_in(seconds, self.progress, self.full_epoch_s, self.stages, self.rest_s))

    def sizes_left(self) -> int:
        """How many times the network is still to be compiled for another size of photos."""
        later = (stage.scale for stage in self.stages if stage.until > self.progress)
        return sum(one != other for one, other in pairwise([self.compiled, *later, 1.0]))

    @property
    def rest_s(self) -> float:
        return mean(self.rests[1:] or self.rests)

    def rehearse(self) -> None:
        """A few steps to see how fast they are, which leave nothing behind."""
        state, size, seconds = self.learner.state(), self.size(), []
        batches = chain.from_iterable(self.batches.epoch(len(self.history), size) for _ in count())
        for _ in range(_REHEARSED):
            begin = self.clock()
            pixels, targets = next(batches)
            loss, _ = self.learner.step(pixels, targets, 0.0, 0.0)
            float(loss)  # waits for it
            seconds.append(self.clock() - begin)
        self.learner.restore(state)
        self.compile_s, self.compiled = seconds[0] - min(seconds), scale_at(self.progress, self.stages)
        self.full_epoch_s = min(seconds) * self.batches.steps / self.share_of_full(size)
        self.validate(_HELD_CHUNK)  # compiles
        begin = self.clock()
        self.validate(_HELD_CHUNK)
        held = len(self.held.labels)
        self.rests = [(self.clock() - begin) * held / min(held, _HELD_CHUNK)]

    def check_time(self) -> None:
        """Go by the latest deadline if too few epochs fit before the first."""
        if self.lacks_time or len(self.history) + self.epochs_left() >= self.limits.fewest:
            return
        self.lacks_time = True
        epoch_s = self.full_epoch_s * mean_cost(0.0, self.stages) + self.rest_s
        self.limits.lacks(self.limits.fewest * epoch_s + self.compile_s * (self.sizes_left() + 1))
        self.limits = replace(self.limits, deadline=self.limits.latest)

    def size(self) -> int:
        """Side of the photos of the next epoch."""
        return round(self.batches.size * scale_at(self.progress, self.stages))

    def share_of_full(self, size: int) -> float:
        return (size / self.batches.size) ** 2

    def epoch(self) -> EpochFigures | None:
        """None where somebody stopped it."""
        begin, size, left = self.clock(), self.size(), self.epochs_left()
        end = 1.0 if left == 1 else self.progress + (1.0 - self.progress) / left
        steps = self.steps(size, end)
        if steps is None:
            return None
        self.compiled, self.progress = scale_at(self.progress, self.stages), end
        trained = self.clock() - begin
        val_loss, val_accuracy = self.validate()
        seconds = self.clock() - begin
        self.full_epoch_s = steps.steady_s / self.share_of_full(size)
        self.rests.append(seconds - trained)
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
        )
        best = self.is_through() or all(epoch_rank(figures) > epoch_rank(row) for row in self.history)
        return replace(figures, best=best)

    def steps(self, size: int, end: float) -> "_Steps | None":
        """The steps of an epoch that takes the training to ``end``; None if somebody stopped it."""
        begin, total, taken = self.progress, self.batches.steps, _Steps()
        batches = iter(self.batches.epoch(len(self.history), size))
        for done in range(1, total + 1):
            asked = self.clock()
            pixels, targets = next(batches)
            taken.waited_s += self.clock() - asked
            rate = rate_at(begin + (end - begin) * done / total, self.recipe)
            loss, right = (float(one) for one in self.learner.step(pixels, targets, rate, (end - begin) / total))
            if not math.isfinite(loss):
                raise DataError(_diverged(len(self.history) + 1, self.run))
            taken.losses.append(loss)
            taken.rights.append(right)
            taken.seconds.append(self.clock() - asked)
            self.view.step(done, total)
            if self.interrupted:
                return None
        return taken

    def validate(self, most: int | None = None) -> tuple[float, float]:
        """Cross-entropy and accuracy of the averaged network on the photos that are held back, or the first of them."""
        labels, losses, right = self.held.labels[:most], 0.0, 0
        with self.learner.averaged():
            for start in range(0, len(labels), _HELD_CHUNK):
                truth = labels[start : start + _HELD_CHUNK]
                logits = class_logits(self.learner.logits(self.held.pixels(start, start + len(truth))))
                highest = logits.max(axis=1, keepdims=True)
                norm = highest[:, 0] + np.log(np.exp(logits - highest).sum(axis=1))
                losses += float((norm - logits[np.arange(len(truth)), truth]).sum())
                right += int((logits.argmax(axis=1) == truth).sum())
        return losses / len(labels), right / len(labels)

    def keep(self, figures: EpochFigures) -> None:
        begin = self.clock()
        self.history.append(figures)
        if figures.best:
            self.run.forget_judgement()
            with self.learner.averaged():
                save_network(self.learner.network, self.run.best)
        write_history(self.run.history, self.history)
        state = {**self.learner.state(), "progress": np.array(self.progress), "epoch": np.array(figures.epoch)}
        write_arrays(self.run.state, **state)  # comes last: what is not in it is trained again
        self.rests[-1] += self.clock() - begin


@dataclass
class _Steps:
    """The result of an epoch's steps."""

    losses: list[float] = field(default_factory=list)
    rights: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    waited_s: float = 0.0

    @property
    def steady_s(self) -> float:
        """Seconds that the steps would take, did the first one not have to compile the network for a new size."""
        others = self.seconds[1:] or self.seconds
        return sum(others) / len(others) * len(self.seconds)


def _diverged(epoch: int, run: Run) -> str:
    kept = f"the weights of earlier epochs are in {run.path}" if epoch > 1 else "there is no earlier epoch"
    return (
        f"Expected a finite loss, got none in epoch {epoch}; {kept}. Train again with another --seed, a larger "
        "--batch-size, or other --weights."
    )


def _whole(scale: float, full: int) -> float:
    """The scale nearby at which the side is a multiple of 16, 32 at least."""
    return min(1.0, max(_SMALLEST, round(scale * full / _MULTIPLE) * _MULTIPLE) / full)


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
