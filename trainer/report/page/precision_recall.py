"""How much of each class is found, and how often rightly, at every threshold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.text import number_of
from pages.text import isolated
from trainer.judging.evaluate import Judged
from trainer.report.material import ReportMaterial, judged_of, shown_split
from trainer.report.page.chart import Axis, Chart
from trainer.report.page.data import LONGEST_LABEL
from worker.page.sections import section

__all__ = ["average_precision", "precision_recall_section"]

_FEW: Final = 12
_WORST: Final = 10
_RECALLS: Final = np.linspace(0.0, 1.0, 101)
_HALVES: Final = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class _Curve:
    """A class, its average precision, and the best precision at each recall of ``_RECALLS`` or a higher one."""

    name: str
    photos: int
    average: float
    precisions: NDArray[np.float64]


def precision_recall_section(material: ReportMaterial) -> str:
    """A small chart a class, the worst first; of many classes the worst ten; and the mean of all."""
    curves = sorted(_curves(judged_of(material), material.args.classes), key=lambda curve: curve.average)
    if not curves:
        return ""
    shown = curves if len(curves) <= _FEW else curves[:_WORST]
    mean = float(np.mean([curve.average for curve in curves]))
    charts = _small("all classes", f"mean {mean:.3f}", np.mean([curve.precisions for curve in curves], axis=0))
    for curve in shown:
        detail = f"{curve.average:.3f} · {number_of(curve.photos, 'photo', 'photos')}"
        charts += _small(isolated(curve.name, LONGEST_LABEL), detail, curve.precisions)
    title = f'Precision and recall <span class="faint">· {shown_split(material).word}</span>'
    body = _note(len(curves), len(shown)) + f'<div class="small">{charts}</div>'
    return section(title, body, "", "precision-recall")


def _curves(judged: Judged, classes: Sequence[str]) -> Iterator[_Curve]:
    """Those of the classes that have photos."""
    for place, name in enumerate(classes):
        members = judged.labels == place
        if members.any():
            yield _Curve(name, int(members.sum()), *average_precision(judged.probabilities[:, place], members))


def average_precision(scores: NDArray[Any], members: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    """The mean of the precisions at every recall, not interpolated, as scikit-learn has it, but in a tenth of its time.

    Args:
        scores: of a class ``(n,)``.
        members: whether each belongs to it; one does at least.

    Returns:
        The average precision, and the best precision at each hundredth of recall, from 0 to 1, or above it.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of scores that are alike
    found = members[order].cumsum()[ends]
    precisions, recalls = found / (ends + 1), found / found[-1]
    best = np.maximum.accumulate(precisions[::-1])[::-1]
    average = float(np.sum(np.diff(recalls, prepend=0.0) * precisions))
    return average, best[np.searchsorted(recalls, _RECALLS - 1e-9)]


def _note(classes: int, shown: int) -> str:
    which = "The worst first" if shown == classes else f"The worst {shown:,} of {classes:,} classes"
    return (
        '<p class="faint">Across: the share of a class that is found. Upwards: how often what is found is right. '
        f"{which}, with their average precision.</p>"
    )


def _small(title: str, detail: str, precisions: NDArray[np.float64]) -> str:
    axis = Axis(0.0, 1.0, _HALVES)
    chart = Chart("Precision by recall", axis, axis, 200, 150)
    recalls, heights = _RECALLS.tolist(), precisions.tolist()
    drawn = chart.drawn(chart.area(recalls, heights) + chart.line(recalls, heights, "val"))
    return f'<figure><figcaption><b>{title}</b><span class="faint">{detail}</span></figcaption>{drawn}</figure>'
