"""The pictures of a run."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from trainer.learning.history import EpochFigures, best_of

__all__ = ["plot_confusion", "plot_history"]

_NAMED_CELLS = 20
_NAMED_CLASSES = 100


def plot_history(history: Sequence[EpochFigures], output: Path) -> None:
    """``results.png``: loss, accuracy and learning rate by epoch, the best epoch marked."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [row.epoch for row in history]
    best = best_of(history)
    loss.plot(epochs, [row.train_loss for row in history], label="train")
    loss.plot(epochs, [row.val_loss for row in history], label="validation")
    accuracy.plot(epochs, [row.train_accuracy for row in history], label="train")
    accuracy.plot(epochs, [row.val_accuracy for row in history], label="validation")
    accuracy.plot(best.epoch, best.val_accuracy, "o", label=f"best: epoch {best.epoch}, {best.val_accuracy:.3f}")
    rate.plot(epochs, [row.lr for row in history])
    for axes, title in ((loss, "Loss"), (accuracy, "Accuracy"), (rate, "Learning rate")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    loss.legend()
    accuracy.legend()
    _save(figure, output)


def plot_confusion(matrix: npt.NDArray[np.int64], classes: Sequence[str], title: str, output: Path) -> None:
    """``confusion_matrix.png``: rows are the truth; shade is the share of the row, numbers are photos."""
    names = [_plain(name) for name in classes]
    side = min(20.0, 3.0 + 0.55 * len(classes))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    axes.set_title(_plain(title))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= _NAMED_CLASSES:
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), names)
    if len(classes) <= _NAMED_CELLS:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"  # noqa: PLR2004 - half-way between
            axes.text(column, row, f"{count}" if count else "", ha="center", va="center", color=colour)
    _save(figure, output)


def _plain(text: str) -> str:
    """Dollar signs begin no formula."""
    return text.replace("$", r"\$")


def _save(figure: Figure, output: Path) -> None:
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # letters that the font lacks become boxes
        figure.savefig(output, dpi=110)
