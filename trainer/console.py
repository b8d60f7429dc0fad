"""How training looks on a terminal."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from exporter.load_tensorflow import load_tensorflow
from models.errors import ExitCode, MissingExtraError, StoppedError
from trainer.cache import default_cache
from trainer.dataset import Split
from trainer.request import TrainRequest

if TYPE_CHECKING:
    from trainer.evaluate import Figures
    from trainer.fit import EpochFigures
    from trainer.prepare import Prepared
    from trainer.run import RunArgs
    from trainer.train import TrainResult

__all__ = ["TrainingScreen", "measure_and_show", "resume_and_show", "train_and_show"]


class TrainingScreen:
    """A bar for decoding and for the running epoch, and a line for each epoch that is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, refresh_per_second=4)
        self._task: TaskID | None = None
        self._what = ""
        self._seconds: list[float] = []
        self._epochs_done = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, what: str, done: int, total: int) -> None:
        """So much of one step of preparing the data is done."""
        self._show(what, done, total)

    def prepared(self, prepared: "Prepared", args: "RunArgs") -> None:
        """What the data is."""
        self._clear()
        sizes = {split: len(prepared.of(split)) for split in Split}
        counts = ", ".join(f"{size:,} {split}" for split, size in sizes.items() if size)
        self._console.print(f"[bold]{sum(sizes.values()):,} photos[/bold], {len(args.classes)} classes: {counts}")
        for note in prepared.notes:
            self._console.print(f"  {escape(note)}", style="yellow", highlight=False)
        size = args.preprocess.size
        self._console.print(f"{args.arch} at {size}×{size} px, at most {args.epochs} epochs, batch {args.batch}")
        self._console.print("epoch    loss and accuracy of train and of validation; ★ the best so far", style="dim")
        self._epochs_done = args.epochs_done

    def step(self, done: int, total: int) -> None:
        """Steps of the running epoch."""
        self._show(f"Epoch {self._epochs_done + 1}", done, total)

    def epoch(self, figures: "EpochFigures", epochs: int) -> None:
        """A line for an epoch that is done."""
        self._clear()
        self._epochs_done = figures.epoch
        self._seconds.append(figures.seconds)
        left = sum(self._seconds[-5:]) / len(self._seconds[-5:]) * (epochs - figures.epoch)
        minutes, seconds = divmod(int(left), 60)
        self._console.print(
            f"{figures.epoch:>3}/{epochs}  train {figures.train_loss:.3f} {figures.train_accuracy:.3f}  "
            f"val {figures.val_loss:.3f} [bold]{figures.val_accuracy:.3f}[/bold] "
            f"{'[green]★[/green]' if figures.best else ' '} "
            f"[dim]lr {figures.lr:.1e} {figures.images_per_s:>5,.0f} img/s {minutes:>3}:{seconds:02d} left",
            highlight=False,
        )

    def _show(self, what: str, done: int, total: int) -> None:
        if self._task is None or what != self._what:  # a new bar: its time left is not that of the step before
            self._clear()
            self._task, self._what = self._progress.add_task(what, total=total), what
        self._progress.update(self._task, completed=done, total=total)

    def _clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None


def train_and_show(request: TrainRequest) -> ExitCode:
    """Train, show the figures, say what to do next."""
    console = Console()
    _load(console)
    from trainer.train import train

    with _resumable(request.run), TrainingScreen(console) as screen:
        result = train(request, screen)
    return _show_result(result, console)


def resume_and_show(path: Path) -> ExitCode:
    """Go on with a run, show the figures, say what to do next."""
    console = Console()
    _load(console)
    from trainer.run import RunState, open_run
    from trainer.train import resume

    run = open_run(path)
    args = run.args()
    if args.state is RunState.COMPLETE:
        console.print(
            f"The run is complete: {args.epochs_done} of at most {args.epochs} epochs, patience {args.patience}."
        )
    with _resumable(path), TrainingScreen(console) as screen:
        result = resume(run, default_cache(), screen)
    return _show_result(result, console)


@contextmanager
def _resumable(run: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not run.exists():
            msg = "Stopped before the training began; nothing was written but the cache."
            raise StoppedError(msg) from stopped
        msg = f"Stopped before an epoch had ended; go on with: hangtag train --resume {shlex.quote(str(run))}"
        raise StoppedError(msg) from stopped


def _load(console: Console) -> None:
    with console.status("Loading TensorFlow"):
        load_tensorflow()


def _show_result(result: "TrainResult", console: Console) -> ExitCode:
    path = escape(str(result.run.path))
    quoted = escape(shlex.quote(str(result.run.path)))
    figures, split = (result.test, "test") if result.test else (result.val, "validation")
    if figures:
        console.print(_figures_table(figures, f"Epoch {result.args.best_epoch}, on {figures.n:,} {split} photos"))
        console.print(f"{split} accuracy [bold]{figures.accuracy:.4f}[/bold]", highlight=False)
    console.print(f"Run: [bold]{path}[/bold]", highlight=False)
    if result.interrupted:
        console.print(f"Interrupted. Go on with it: hangtag train --resume {quoted}", style="yellow", highlight=False)
        return ExitCode.INTERRUPTED
    console.print(f"Next: hangtag export {quoted}", style="dim", highlight=False)
    return ExitCode.OK


def _figures_table(figures: "Figures", title: str) -> Table:
    """A row a class, and one for all."""
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    for heading in ("precision", "recall", "F1", "photos"):
        table.add_column(heading, justify="right")
    for name, row in figures.classes.items():
        table.add_row(escape(name), f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", f"{row.support:,}")
    table.add_section()
    table.add_row(
        "mean", f"{figures.precision:.3f}", f"{figures.recall:.3f}", f"{figures.f1:.3f}", f"{figures.n:,}", style="bold"
    )
    return table


def measure_and_show(model: Path, data: Path, *, as_json: bool) -> None:
    """Measure, and print a table or JSON on stdout."""
    try:
        from trainer.measure import measure
    except ImportError as error:
        msg = f"Evaluating needs scikit-learn ({error}); pip install 'hangtag[train]'."
        raise MissingExtraError(msg) from error

    with Console(stderr=True).status("Measuring"):
        measurement = measure(model, data, default_cache(), lambda done, total: None)
    figures = measurement.figures
    if as_json:
        print(figures.model_dump_json(indent=1))
        return
    console = Console()
    console.print(_figures_table(figures, escape(f"{model} on {figures.n:,} photos of {data}")))
    console.print(f"accuracy [bold]{figures.accuracy:.4f}[/bold]", highlight=False)
    if measurement.unread:
        console.print(f"{measurement.unread} photos could not be read and do not count", style="yellow")
    if measurement.learned_from:
        console.print(f"{measurement.learned_from} photos that the run has learned from do not count", style="yellow")
    if measurement.whole and measurement.learned_from is None:
        console.print("These are all the photos; if some trained this model, the figures flatter it", style="yellow")
