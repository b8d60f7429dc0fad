"""A picture of accuracy against speed. Matplotlib is imported when it is drawn: a device has none."""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.benchmark.record import BenchmarkRecord
from models.errors import InputError, MissingExtraError
from models.text import number_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure

__all__ = ["Point", "check_matplotlib", "draw_record", "plot_record", "points_of"]

_PLACES: Final = ((0, 14), (0, -46), (0, 52), (0, -84), (0, 90), (0, -122))
"""Where a point's words may stand, in 1/72 inch above it, the best first."""
_COLOURS: Final = {"float32": "#1f77b4", "int8": "#d62728", "float16": "#2ca02c"}
_OTHER: Final = "#555555"
_ABOVE_ALL: Final = 1.0001


@dataclass(frozen=True)
class Point:
    """One variant in the picture; ``images_per_s`` is in batches, with one thread."""

    variant: str
    images_per_s: float
    accuracy: float
    megabytes: float


def check_matplotlib() -> None:
    """Raise MissingExtraError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        msg = "Drawing with --plot needs matplotlib; pip install 'hangtag[train]'."
        raise MissingExtraError(msg)


def points_of(record: BenchmarkRecord) -> tuple[Point, ...]:
    """A point for each file that takes batches and whose accuracy is known."""
    judged = record.judging.files if record.judging else ()
    accuracy = {row.file: row.accuracy for row in judged}
    found = ((row, row.speeds[0].images_per_s, accuracy.get(row.file)) for row in record.measured)
    return tuple(
        Point(row.variant, speed, right, row.bytes / 1e6)
        for row, speed, right in found
        if speed is not None and right is not None
    )


def plot_record(record: BenchmarkRecord, output: Path) -> None:
    """Save :func:`draw_record`'s picture as a PNG."""
    figure = draw_record(record)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # letters that the font lacks become boxes
        figure.savefig(output, dpi=figure.dpi, format="png")


def draw_record(record: BenchmarkRecord) -> "Figure":
    """Draw accuracy against images a second of one core, a labelled point a variant.

    Raises:
        InputError: no accuracy is known.
        MissingExtraError: there is no matplotlib.
    """
    check_matplotlib()
    points = points_of(record)
    if not points:
        msg = "Expected models of known accuracy to draw, found none; name class folders with --images."
        raise InputError(msg)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), dpi=110, layout="constrained")
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.subplots()
    _frame(axes, record, points)
    for point in points:
        axes.plot(point.images_per_s, point.accuracy, "o", markersize=9, color=_colour(point))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # letters that the font lacks become boxes
        figure.draw_without_rendering()
        _name_points(axes, points, renderer)
    return figure


def _frame(axes: "Axes", record: BenchmarkRecord, points: tuple[Point, ...]) -> None:
    accuracies = [point.accuracy for point in points]
    middle = (min(accuracies) + max(accuracies)) / 2
    reach = max(0.02, 0.9 * (max(accuracies) - min(accuracies)))
    axes.set_xlim(0, 1.25 * max(point.images_per_s for point in points))
    axes.set_ylim(middle - reach, middle + reach)
    axes.yaxis.set_major_formatter(lambda rate, _: f"{100 * rate:.1f}%" if rate < _ABOVE_ALL else "")
    axes.set_xlabel(f"images/s, one thread, batches of {record.batch}")
    judging, machine = record.judging, record.machine
    on_images = judging is not None and judging.accuracy_on == "images"
    photos = number_of(judging.photos, "photo") if judging and on_images else "validation photos, at export"
    axes.set_ylabel(f"accuracy on {photos}")
    instructions = f"\n{', '.join(machine.instructions)}" if machine.instructions else ""
    runtime = f"{machine.cpu}, onnxruntime {machine.onnxruntime}{instructions}"
    axes.set_title(_plain(f"{record.name} {record.version}\n{runtime}"))
    axes.grid(alpha=0.3)


def _name_points(axes: "Axes", points: tuple[Point, ...], renderer: "RendererAgg") -> None:
    """Each point's words where they cover neither another's nor a point."""
    from matplotlib.text import Text

    dots = [axes.transData.transform((point.images_per_s, point.accuracy)) for point in points]
    taken: list[Any] = []
    for point in sorted(points, key=lambda point: -point.accuracy):
        for place in _PLACES:
            words = _words(axes, point, place)
            words.update_positions(renderer)
            box: Any = Text.get_window_extent(words)  # in pixels, without the line to the point
            free = not any(box.overlaps(other) for other in taken) and not any(box.contains(*dot) for dot in dots)
            if free or place == _PLACES[-1]:
                taken.append(box)
                break
            words.remove()


def _words(axes: "Axes", point: Point, place: tuple[int, int]) -> Any:  # noqa: ANN401 - matplotlib has no types here
    figures = f"{100 * point.accuracy:.1f}%, {point.images_per_s:,.0f} images/s, {point.megabytes:.1f} MB"
    return axes.annotate(
        _plain(f"{point.variant}\n{figures}"),
        (point.images_per_s, point.accuracy),
        xytext=place,
        textcoords="offset points",
        ha="center",
        color=_colour(point),
        arrowprops={"arrowstyle": "-", "color": _colour(point), "alpha": 0.5},
    )


def _colour(point: Point) -> str:
    return _COLOURS.get(point.variant, _OTHER)


def _plain(text: str) -> str:
    """Dollar signs begin no formula."""
    return text.replace("$", r"\$")
