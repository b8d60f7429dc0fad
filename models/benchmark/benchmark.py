"""``hangtag benchmark``: a bundle in, a record of its models out, and how that looks on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from rich import box
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.benchmark.judge import Judging, Lineup, PhotoSet, find_photos, golden_photos, judge, open_lineup
from models.benchmark.measure import THOROUGH, Effort, measure
from models.benchmark.plot import check_matplotlib, plot_record
from models.benchmark.record import BenchmarkRecord, dump_record, new_record
from models.errors import InputError
from models.process import usable_cores
from models.terminal import Console, rate_text
from models.text import number_of

Show = Callable[[str, int, int], None]
"""Called with (what is being done, done, of all)."""
_Cells = dict[str, list[str]]
"""Heading → a cell for each file."""
_NONE: Final = "–"
_WIDEST: Final = 1000


def benchmark_and_show(path: Path, images: Path | None, plot: Path | None, *, as_json: bool) -> None:
    """Benchmark with a bar on stderr, then print the record on stdout, as tables or as JSON."""
    if plot is not None:
        check_matplotlib()
    lineup, photos = open_and_find(path, images)
    if plot is not None:
        _check_drawable(lineup, photos, plot)
    with _bar() as show:
        record = benchmark(lineup, photos, show=show)
    if as_json:
        print(dump_record(record).decode())
    else:
        print_record(record, Console())
    if plot is not None:
        plot_record(record, plot)
        Console(stderr=True).print(f"Picture: {escape(str(plot))}", highlight=False)


def open_and_find(path: Path, images: Path | None) -> tuple[Lineup, PhotoSet | None]:
    """Load what is to be compared (a bundle, or a lone ONNX file), and find the photos (a folder) to compare it on.

    Raises:
        BundleError: the bundle is damaged.
        InputError: the folder is not as it should be.
    """
    lineup = open_lineup(path, usable_cores())
    return lineup, None if images is None else find_photos(images, lineup.metadata.labels)


def _check_drawable(lineup: Lineup, photos: PhotoSet | None, plot: Path) -> None:
    """Refuse a plot that cannot be drawn before minutes of measuring, not after."""
    known = any(one.accuracy is not None for one in lineup.contestants)
    if all(one.edge for one in lineup.contestants) or not (known if photos is None else photos.truths):
        msg = "Expected models of known accuracy for --plot; name class folders with --images."
        raise InputError(msg)
    if plot.is_dir() or not plot.parent.is_dir():
        msg = f"Expected --plot to name a file in an existing folder, got {plot}; make the folder, or name another."
        raise InputError(msg)


@contextmanager
def _bar() -> Iterator[Show]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield show


def benchmark(
    lineup: Lineup,
    photos: PhotoSet | None,
    effort: Effort = THOROUGH,
    show: Show = lambda what, done, total: None,
) -> BenchmarkRecord:
    """Judge and measure; without photos, agreement is measured on the golden ones, accuracy is the manifest's.

    Raises:
        BundleError: a model cannot be measured.
        InputError: no photo can be read.
    """
    if photos is None and lineup.bundle is not None:
        photos = golden_photos(lineup.bundle)
    judging = judge(lineup, photos, partial(show, "Looking at photos")) if photos else None
    measured = measure(
        {one.variant: one.path for one in lineup.contestants if not one.edge},
        lineup.metadata.preprocess.size,
        {one.variant: one.path for one in lineup.contestants if one.edge},
        effort,
        on_turn=partial(show, "Measuring"),
    )
    return new_record(lineup.metadata.name, lineup.metadata.version, measured, judging)


def print_record(record: BenchmarkRecord, console: Console) -> None:
    """Print a row a file, in one table, or in two if one is too wide; then what it was measured on."""
    size, speed = _size_cells(record), _speed_cells(record)
    title = f"{record.name} {record.version}"
    whole = _table(title, record, size | speed)
    if console.measure(whole, options=console.options.update(width=_WIDEST)).maximum <= console.width:
        console.print(whole)
    else:
        console.print(_table(title, record, size))
        console.print(_table("", record, speed))
    for line in _notes(record):
        console.print(line, style="dim", highlight=False, markup=False)


def _table(title: str, record: BenchmarkRecord, columns: _Cells) -> Table:
    table = Table(title=escape(title) or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row, *cells in zip(record.measured, *columns.values(), strict=True):
        table.add_row(escape(f"{row.variant}, edge" if row.edge else row.variant), *cells)
    return table


def _size_cells(record: BenchmarkRecord) -> _Cells:
    rows = record.measured
    known = {row.file: row for row in record.judging.files} if record.judging else {}
    return {
        "MB": [f"{row.bytes / 1e6:.2f}" for row in rows],
        "accuracy": [_percent(known[row.file].accuracy if row.file in known else None) for row in rows],
        "agrees": [_percent(known[row.file].agreement if row.file in known else None) for row in rows],
        "load\nms": [rate_text(row.load_ms) for row in rows],
        "memory\nMB": [f"{row.peak_memory_mb:,.0f}" for row in rows],
    }


def _speed_cells(record: BenchmarkRecord) -> _Cells:
    cells: _Cells = {}
    for speeds in zip(*(row.speeds for row in record.measured), strict=True):
        threads = number_of(speeds[0].threads, "thread")
        rates = [speed.images_per_s_per_core for speed in speeds]
        cells[f"{threads}\nms p50"] = [f"{speed.p50_ms:.2f}" for speed in speeds]
        cells[f"{threads}\nms p95"] = [f"{speed.p95_ms:.2f}" for speed in speeds]
        cells[f"{threads}\nimages/s\nper core"] = [_NONE if rate is None else rate_text(rate) for rate in rates]
    return cells


def _percent(rate: float | None) -> str:
    """A percentage that says 100% only if it is exactly that."""
    if rate is None:
        return _NONE
    text = f"{rate:.1%}"
    return ">99.9%" if text == "100.0%" and rate < 1.0 else text


def _notes(record: BenchmarkRecord) -> list[str]:
    height, width = record.edge_photo
    baseline = median(row.baseline_memory_mb for row in record.measured)
    whole = f" Edge graphs: one whole photo of {width}×{height} a call." if any(r.edge for r in record.measured) else ""
    machine = record.machine
    instructions = f" ({', '.join(machine.instructions)})" if machine.instructions else ""
    return [
        *_judging_notes(record.judging),
        f"ms: a call with one photo. images/s: calls with {record.batch}.{whole} Decoding is not in it.",
        f"memory: the most that a bare process with one thread held while it loaded the model and labelled photos one "
        f"by one; {baseline:,.0f} MB of it are Python, NumPy and ONNX Runtime.",
        f"{machine.cpu}, {number_of(machine.cores, 'core')}{instructions}, {machine.system}, Python {machine.python}, "
        f"onnxruntime {machine.onnxruntime}",
    ]


def _judging_notes(judging: Judging | None) -> list[str]:
    if judging is None:
        return ["accuracy, agrees: not known; name photos with --images."]
    images = f"on {number_of(judging.photos, 'photo')} of --images"
    accuracy = {
        "images": images,
        "validation": "on the run's validation photos, at export; name others with --images",
        None: "not known; name class folders with --images",
    }[judging.accuracy_on]
    agrees = {
        "images": f"predicts what float32 predicts, {images}",
        "golden": f"predicts what float32 predicts, on the {judging.photos:,} golden photos",
        None: "unknown, there is no float32 beside it",
    }[judging.agreement_on]
    unread = [f"{judging.unreadable:,} more photos could not be read."] if judging.unreadable else []
    return [f"accuracy: {accuracy}.", f"agrees: {agrees}.", *unread]
