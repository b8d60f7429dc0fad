"""The training loop: Keras's ``fit``, with what a person wants around it."""

import csv
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import keras

from models.errors import InputError
from trainer.csv_file import write_rows
from trainer.run import Run

__all__ = ["EpochFigures", "FitOutcome", "best_of", "fit", "read_history"]


@dataclass(frozen=True)
class EpochFigures:
    """One row of ``results.csv``, and how fast it went.

    Attributes:
        epoch: from 1.
        train_loss, train_accuracy, val_loss, val_accuracy: of the epoch.
        lr: learning rate at its end.
        images_per_s: training photos a second.
        seconds: of the whole epoch, validation included.
        best: whether no earlier epoch was better.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    images_per_s: float = 0.0
    seconds: float = 0.0
    best: bool = False


@dataclass(frozen=True)
class FitOutcome:
    """How a training ended."""

    history: list[EpochFigures]
    interrupted: bool

    @property
    def best_epoch(self) -> int | None:
        """From 1; none when no epoch has ended."""
        return best_of(self.history).epoch if self.history else None


def best_of(history: Sequence[EpochFigures]) -> EpochFigures:
    """The epoch behind ``best.keras``: the highest validation accuracy, then the lowest loss, then the first."""
    return max(history, key=_goodness)


def _goodness(figures: EpochFigures) -> tuple[float, float, int]:
    return (figures.val_accuracy, -figures.val_loss, -figures.epoch)


_HEADER = ("epoch", "train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")


def read_history(path: Path) -> list[EpochFigures]:
    """The rows of ``results.csv``; none where it does not exist.

    Raises:
        InputError: it is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="") as file:
            return [_epoch_figures(row) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        msg = f"Expected a row an epoch in {path}, it is damaged ({error}); train anew."
        raise InputError(msg) from error


def _epoch_figures(row: dict[str, str]) -> EpochFigures:
    return EpochFigures(
        epoch=int(row["epoch"]),
        train_loss=float(row["train/loss"]),
        train_accuracy=float(row["train/accuracy"]),
        val_loss=float(row["val/loss"]),
        val_accuracy=float(row["val/accuracy"]),
        lr=float(row["lr"]),
    )


def _write_history(path: Path, history: list[EpochFigures]) -> None:
    write_rows(
        path, _HEADER, ((h.epoch, h.train_loss, h.train_accuracy, h.val_loss, h.val_accuracy, h.lr) for h in history)
    )


def fit(
    network: keras.Model,
    batches: Any,  # noqa: ANN401 - tf.data has no types
    validation: tuple[Any, Any],
    run: Run,
    *,
    steps: int,
    batch: int,
    epochs: int,
    patience: int,
    on_step: Callable[[int, int], None],
    on_epoch: Callable[[EpochFigures], None],
) -> FitOutcome:
    """Train until the epochs are over, patience has run out, or somebody presses Ctrl-C.

    After each epoch ``weights/last.keras``, ``results.csv`` and, where it is the best so far, ``weights/best.keras``
    are whole on disk, so that a kill costs one epoch at most.

    Args:
        network: compiled; with its optimizer's state when resumed.
        batches: a ``tf.data.Dataset`` whose every pass is an epoch.
        validation: pixels ``uint8 (n, S, S, 3)`` and targets.
        run: where to write.
        steps: in an epoch.
        batch: photos in a step.
        epochs: at most, earlier ones included.
        patience: epochs without a better one before it stops.
        on_step: told (step, steps) of the running epoch.
        on_epoch: told each epoch's figures.
    """
    done = int(network.optimizer.iterations) // steps
    history = [figures for figures in read_history(run.history) if figures.epoch <= done]
    keeper = _Keeper(run, history, validation, steps * batch, patience, on_step, on_epoch)
    if done < epochs and not keeper.out_of_patience:
        with _ctrl_c(keeper.interrupt):
            network.fit(batches, initial_epoch=done, epochs=epochs, verbose=0, shuffle=False, callbacks=[keeper])
    return FitOutcome(keeper.history, keeper.interrupted)


class _Keeper(keras.callbacks.Callback):
    """Evaluates, saves and tells after each epoch; stops when asked."""

    def __init__(
        self,
        run: Run,
        history: list[EpochFigures],
        validation: tuple[Any, Any],
        images: int,
        patience: int,
        on_step: Callable[[int, int], None],
        on_epoch: Callable[[EpochFigures], None],
    ) -> None:
        super().__init__()
        self._run = run
        self._validation = validation
        self._images = images
        self._patience = patience
        self._on_step = on_step
        self._on_epoch = on_epoch
        self._start = 0.0
        self.history = history
        self.interrupted = False

    def interrupt(self) -> None:
        """Stop after the running step; the running epoch is not kept."""
        self.interrupted = True

    @property
    def out_of_patience(self) -> bool:
        """Whether the best epoch lies too far back."""
        if not self.history:
            return False
        return self.history[-1].epoch - best_of(self.history).epoch >= self._patience

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Tell how far the epoch is."""
        self._on_step(batch + 1, self.params["steps"] or 0)
        if self.interrupted:
            raise _StopNow

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Evaluate, save, tell."""
        trained = time.monotonic() - self._start
        figures = self._figures(epoch + 1, logs or {}, trained)
        self.history.append(figures)
        if figures.best:
            _save(self.model, self._run.best)
        _write_history(self._run.history, self.history)
        _save(self.model, self._run.last)  # comes last: what is not in it is trained again
        self._on_epoch(figures)
        self.model.stop_training = self.out_of_patience or self.interrupted

    def _figures(self, epoch: int, logs: dict[str, float], trained: float) -> EpochFigures:
        pixels, targets = self._validation
        val_loss, val_accuracy = self.model.evaluate(pixels, targets, batch_size=128, verbose=0)
        figures = EpochFigures(
            epoch=epoch,
            train_loss=logs["loss"],
            train_accuracy=logs["accuracy"],
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            lr=float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            images_per_s=self._images / trained,
            seconds=time.monotonic() - self._start,
        )
        best = all(_goodness(figures) > _goodness(earlier) for earlier in self.history)
        return EpochFigures(**{**asdict(figures), "best": best})


class _StopNow(Exception):
    """Leaves ``fit`` in the middle of an epoch."""


@contextmanager
def _ctrl_c(interrupt: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C stops after the running step; a second one at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        interrupt()
        signal.signal(number, signal.default_int_handler)

    earlier = signal.signal(signal.SIGINT, handle)
    try:
        yield
    except _StopNow:
        return
    finally:
        signal.signal(signal.SIGINT, earlier)


def _save(network: keras.Model, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp.keras")
    network.save(temporary)
    temporary.replace(path)
