"""Figures of a model on labelled photos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

__all__ = ["ClassFigures", "Figures", "confusion", "score"]


class ClassFigures(BaseModel):
    """Of one class; ``support`` is how many photos it has."""

    model_config = ConfigDict(frozen=True)

    precision: float
    recall: float
    f1: float
    support: int


class Figures(BaseModel):
    """Of one split. Precision, recall and F1 are means over the classes that occur in it."""

    model_config = ConfigDict(frozen=True)

    n: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    classes: dict[str, ClassFigures]


def score(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.intp], classes: Sequence[str]
) -> Figures | None:
    """Compare predictions with the truth.

    Args:
        probabilities: ``float32 (n, classes)``.
        labels: class indices ``(n,)``.
        classes: names, in index order.

    Returns:
        The figures; none where there are no photos.
    """
    if not len(labels):
        return None
    guesses = probabilities.argmax(axis=1)
    every = np.arange(len(classes))
    columns = precision_recall_fscore_support(labels, guesses, labels=every, zero_division=0.0)
    per_class = {
        name: ClassFigures(precision=float(p), recall=float(r), f1=float(f), support=int(n))
        for name, p, r, f, n in zip(classes, *columns, strict=True)
    }
    present = [figures for figures in per_class.values() if figures.support]
    return Figures(
        n=len(labels),
        accuracy=float((guesses == labels).mean()),
        precision=float(np.mean([f.precision for f in present])),
        recall=float(np.mean([f.recall for f in present])),
        f1=float(np.mean([f.f1 for f in present])),
        classes=per_class,
    )


def confusion(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.intp], classes: int
) -> npt.NDArray[np.int64]:
    """Counts ``(classes, classes)``: row, the truth; column, the guess."""
    matrix: Any = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(classes))
    return np.asarray(matrix, np.int64)
