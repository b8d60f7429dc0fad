"""``results.csv``: a row an epoch."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import InputError
from trainer.data.csv_file import write_rows

__all__ = ["EpochFigures", "best_of", "goodness", "read_history", "write_history"]


@dataclass(frozen=True)
class EpochFigures:
    """One row of ``results.csv``.

    Attributes:
        epoch: from 1.
        train_loss, train_accuracy, val_loss, val_accuracy: of the epoch.
        lr: learning rate at its end.
        size: side of its training photos in pixels.
        seconds: of the whole epoch, validation included.
        waiting: share of the time of its steps in which the network waited for photos.
        images_per_s: training photos a second, validation left out.
        best: whether no earlier epoch was better.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    size: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    images_per_s: float = 0.0
    best: bool = False


_COLUMNS = {
    "epoch": "epoch",
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
    "lr": "lr",
    "size": "size",
    "seconds": "seconds",
    "waiting": "waiting",
    "images_per_s": "images_per_s",
}


def best_of(history: Sequence[EpochFigures]) -> EpochFigures:
    """The epoch behind ``best.keras``: the highest validation accuracy, then the lowest loss, then the first."""
    return max(history, key=goodness)


def goodness(figures: EpochFigures) -> tuple[bool, float, float, int]:
    """What the best epoch has most of."""
    return (math.isfinite(figures.val_loss), figures.val_accuracy, -figures.val_loss, -figures.epoch)


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
        size=int(row["size"]),
        seconds=float(row["seconds"]),
        waiting=float(row["waiting"]),
        images_per_s=float(row["images_per_s"]),
    )


def write_history(path: Path, history: Sequence[EpochFigures]) -> None:
    """Write ``results.csv``, whole."""
    write_rows(path, tuple(_COLUMNS), ([getattr(row, field) for field in _COLUMNS.values()] for row in history))
