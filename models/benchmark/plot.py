"""A picture of accuracy against speed. Matplotlib is imported only to draw: devices lack it."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.benchmark.record import BenchmarkRecord
from models.errors import InputError, MissingExtraError
from models.text import number_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS: Final = {"float32": "#1f77b4", "int8": "#d62728", "float16": "#2ca02c"}
_OTHER: Final = "#555555"
_ABOVE_ALL: Final = 1.0001


def check_matplotlib() -> None:
    """Raise MissingExtraError if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        msg = "Drawing with --plot needs matplotlib; pip install 'hangtag[train]'."
        raise MissingExtraError(msg)


def plot_record(record: BenchmarkRecord, output: Path) -> None:
    """Save :func:`draw_record`'s picture as a PNG."""
    figure = draw_record(record)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # letters that the font lacks become boxes
        figure.savefig(output, dpi=figure.dpi, format="png")


def draw_record(record: BenchmarkRecord) -> "Figure":
    """Accuracy against images a second of one core, a point a file that takes batches; the legend has its figures.

    InputError if no accuracy is known, MissingExtraError without matplotlib.
    """
    check_matplotlib()
    accuracy = {row.file: row.accuracy for row in record.judging.files} if record.judging else {}
    found = ((row, row.speeds[0].images_per_s, accuracy.get(row.file)) for row in record.measured)
    points = [(row, speed, right) for row, speed, right in found if speed is not None and right is not None]
    if not points:
        msg = "Expected models of known accuracy to draw, found none; name class folders with --images."
        raise InputError(msg)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), dpi=110, layout="constrained")
    axes = figure.subplots()
    for row, speed, right in points:
        words = f"{row.variant}: {right:.1%}, {speed:,.0f} images/s, {row.bytes / 1e6:.1f} MB"
        axes.plot(speed, right, "o", markersize=9, color=_COLOURS.get(row.variant, _OTHER), label=_plain(words))
    _frame(axes, record, [speed for _, speed, _ in points], [right for _, _, right in points])
    return figure


def _frame(axes: "Axes", record: BenchmarkRecord, speeds: list[float], accuracies: list[float]) -> None:
    middle = (min(accuracies) + max(accuracies)) / 2
    reach = max(0.02, 0.9 * (max(accuracies) - min(accuracies)))
    axes.set_xlim(0, 1.25 * max(speeds))
    axes.set_ylim(middle - reach, middle + reach)
    axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:.1%}" if rate < _ABOVE_ALL else "")
    axes.set_xlabel(f"images/s, one thread, batches of {record.batch}")
    judging, machine = record.judging, record.machine
    on_images = judging is not None and judging.accuracy_on == "images"
    photos = number_of(judging.photos, "photo") if judging and on_images else "validation photos, at export"
    axes.set_ylabel(f"accuracy on {photos}")
    instructions = f"\n{', '.join(machine.instructions)}" if machine.instructions else ""
    runtime = f"{machine.cpu}, onnxruntime {machine.onnxruntime}{instructions}"
    axes.set_title(_plain(f"{record.name} {record.version}\n{runtime}"))
    axes.grid(alpha=0.3)
    axes.figure.legend(loc="outside lower center")


def _plain(text: str) -> str:
    """The text with its dollar signs escaped, which would otherwise begin a formula."""
    return text.replace("$", r"\$")
