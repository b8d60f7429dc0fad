"""How the learning went, epoch by epoch."""

from collections.abc import Sequence

from trainer.report.material import ReportMaterial
from trainer.report.page.chart import Chart, axis_over, count_axis
from trainer.run import EpochFigures, best_of
from worker.page.sections import section

__all__ = ["curves_section"]

_KEY = (
    '<p class="key"><span><i class="train"></i>training</span><span><i class="val"></i>validation</span>'
    '<span><i class="best"></i>best epoch</span></p>'
)


def curves_section(material: ReportMaterial) -> str:
    """Loss, accuracy and learning rate."""
    rows = material.history
    best = best_of(rows)
    accuracy = [[row.train_accuracy for row in rows], [row.val_accuracy for row in rows]]
    loss = [[row.train_loss for row in rows], [row.val_loss for row in rows]]
    charts = (
        _figure("Accuracy", _pair(accuracy, "Accuracy by epoch", rows, best, best.val_accuracy)),
        _figure("Loss", _pair(loss, "Loss by epoch", rows, best, best.val_loss)),
        _figure("Learning rate", _rate(rows)),
    )
    note = f'<p class="faint">The best epoch, {best.epoch}, is the one that is kept.'
    speed = f" The last epoch took {rows[-1].seconds:,.1f} seconds." if rows[-1].seconds else ""
    return section("Curves", f'{_KEY}<div class="charts">{"".join(charts)}</div>{note}{speed}</p>', "", "curves")


def _figure(title: str, chart: str) -> str:
    return f"<figure><figcaption>{title}</figcaption>{chart}</figure>"


def _pair(
    lines: Sequence[Sequence[float]], title: str, rows: Sequence[EpochFigures], best: EpochFigures, height: float
) -> str:
    epochs = [row.epoch for row in rows]
    chart = Chart(title, count_axis(max(epochs), "epoch"), axis_over([*lines[0], *lines[1]], ""))
    marks = "".join(_marks(chart, epochs, line, kind) for line, kind in zip(lines, ("train", "val"), strict=True))
    return chart.drawn(marks + chart.dot(best.epoch, height, "best", f"epoch {best.epoch}: {height:.3f}"))


def _rate(rows: Sequence[EpochFigures]) -> str:
    epochs, rates = [row.epoch for row in rows], [row.lr for row in rows]
    chart = Chart("Learning rate by epoch", count_axis(max(epochs), "epoch"), axis_over([0.0, *rates], ""))
    return chart.drawn(_marks(chart, epochs, rates, "val"))


def _marks(chart: Chart, epochs: Sequence[int], values: Sequence[float], kind: str) -> str:
    """A line; a point where there is one epoch."""
    if len(epochs) == 1:
        return chart.dot(epochs[0], values[0], kind, f"{values[0]:.3g}")
    return chart.line(epochs, values, kind)
