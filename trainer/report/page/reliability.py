"""Whether a confidence is what it says: of what is 0.9 sure, nine in ten should be right."""

from typing import Any

from numpy.typing import NDArray

from models.statistics.calibration import calibrated, reliability
from models.text import number_of
from trainer.judging.evaluate import Judged
from trainer.report.material import ReportMaterial, judged_of, of_split, shown_figures, shown_split
from trainer.report.page.chart import Chart, unit_axis
from worker.page.sections import section

__all__ = ["reliability_section"]


def reliability_section(material: ReportMaterial) -> str:
    """The diagram before and after the temperature."""
    judged, figures = judged_of(material), shown_figures(material)
    before = of_split(material.evaluation.ece_before, shown_split(material))
    charts = (
        _diagram("Before", calibrated(judged.logits, 1.0), judged, before),
        _diagram("After", judged.probabilities, judged, figures.ece if figures else None),
    )
    title = f'Calibration <span class="faint">· temperature {material.evaluation.temperature:.2f}'
    body = f'<div class="charts two">{"".join(charts)}</div>{_note()}'
    return section(f"{title}, {shown_split(material).word}</span>", body, "", "calibration")


def _note() -> str:
    return (
        '<p class="faint">Each dot stands for about equally many photos. On the line, a confidence is what '
        "it says; below it the network is surer than it is right, above it less sure. ECE is the mean distance.</p>"
    )


def _diagram(title: str, probabilities: NDArray[Any], judged: Judged, ece: float | None) -> str:
    chart = Chart(f"Accuracy by confidence, {title.lower()}", unit_axis("confidence"), unit_axis("right"), 380, 300)
    marks = chart.line((0.0, 1.0), (0.0, 1.0), "ideal")
    for one in reliability(probabilities, judged.labels):
        said = f"{number_of(one.count, 'photo', 'photos')}: {one.confidence:.2f} sure, {one.accuracy:.2f} right"
        marks += chart.line((one.confidence, one.confidence), (one.confidence, one.accuracy), "gap")
        marks += chart.dot(one.confidence, one.accuracy, "bin", said)
    shown = f' <span class="faint">· ECE {ece:.3f}</span>' if ece is not None else ""
    return f"<figure><figcaption>{title}{shown}</figcaption>{chart.drawn(marks)}</figure>"
