"""Whether a confidence is what it says: of what is 0.9 sure, nine in ten should be right."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from trainer.report.material import Judged, ReportMaterial
from trainer.report.page.chart import Chart, unit_axis
from trainer.report.shown import judged_of, of_split, shown_figures, shown_split
from worker.page.sections import section
from worker.page.text import number_of

__all__ = ["reliability_section"]

_BINS: Final = 15


def reliability_section(material: ReportMaterial) -> str:
    """The diagram before and after the temperature."""
    judged, figures = judged_of(material), shown_figures(material)
    before = of_split(material.evaluation.ece_before, shown_split(material))
    charts = (
        _diagram("Before", softmax(judged.logits, axis=1), judged, before),
        _diagram("After", judged.probabilities, judged, figures.ece if figures else None),
    )
    title = f'Calibration <span class="faint">· temperature {material.evaluation.temperature:.2f}'
    body = f'<div class="charts two">{"".join(charts)}</div>{_note(material)}'
    return section(f"{title}, {shown_split(material).word}</span>", body, "", "calibration")


def _note(material: ReportMaterial) -> str:
    dots = number_of(min(_BINS, len(judged_of(material).labels)), "dot", "dots")
    return (
        f'<p class="faint">Each of the {dots} stands for about equally many photos. On the line, a confidence is what '
        "it says; below it the network is surer than it is right, above it less sure. ECE is the mean distance.</p>"
    )


def _diagram(title: str, probabilities: NDArray[Any], judged: Judged, ece: float | None) -> str:
    chart = Chart(f"Accuracy by confidence, {title.lower()}", unit_axis("confidence"), unit_axis("right"), 380, 300)
    right = probabilities.argmax(axis=1) == judged.labels
    marks = chart.line((0.0, 1.0), (0.0, 1.0), "ideal")
    for confidence, accuracy, count in _binned(probabilities.max(axis=1), right):
        said = f"{number_of(count, 'photo', 'photos')}: {confidence:.2f} sure, {accuracy:.2f} right"
        marks += chart.line((confidence, confidence), (confidence, accuracy), "gap")
        marks += chart.dot(confidence, accuracy, "bin", said)
    shown = f' <span class="faint">· ECE {ece:.3f}</span>' if ece is not None else ""
    return f"<figure><figcaption>{title}{shown}</figcaption>{chart.drawn(marks)}</figure>"


def _binned(confidences: NDArray[Any], right: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and photos of bins with as many photos each."""
    order = np.argsort(confidences, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    return [(float(confidences[one].mean()), float(right[one].mean()), len(one)) for one in bins]
