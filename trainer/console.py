"""How training looks on a terminal."""

import json
import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic_core import to_jsonable_python
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from exporter.load_tensorflow import load_tensorflow
from models.errors import ExitCode, MissingExtraError, StoppedError
from models.process import default_cache
from models.terminal import Console, print_table
from models.text import number_of
from pages.text import rough_duration
from trainer.data.dataset import Split, read_dataset
from trainer.data.taxonomy import taxonomy_of
from trainer.figures_console import accuracy_text, figures_table, show_evaluation, show_outliers
from trainer.networks.choice import check_signature, parse_weights
from trainer.request import USUAL_COLUMNS, NetworkOptions, TableOptions, TrainRequest
from trainer.run import check_free

if TYPE_CHECKING:
    from trainer.judging.measure import Measurement
    from trainer.networks.build import Start
    from trainer.run import EpochFigures, RunArgs
    from trainer.splits.prepare import Prepared
    from trainer.train import TrainResult

_MOST_NAMED: Final = 3
_TIMED: Final = 2
"""Epochs after which the time of all networks is told: the first also compiles the network."""
_LONG_S: Final = 10.0
"""A step that lasts longer is named in a line where no bar shows it."""
_PAIR: Final = f"{'loss':>5} {'right':>5}"
_HEADINGS: Final = (
    f"{'':16}{'training':>11}  {'validation':>11}\n"
    f"{'epoch':>6}  {'size':>6}  {_PAIR}  {_PAIR}   {'speed':>12} {'wait':>4} {'left':>8}"
)


class TrainingScreen:
    """A bar for decoding and for the running epoch, and a line for each epoch that is done."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, refresh_per_second=4)
        self._task: TaskID | None = None
        self._what = ""
        self._since = math.inf
        self._seconds: list[float] = []
        self._epochs_done = 0
        self._args: RunArgs | None = None
        self._best = 0
        self._noted = False

    def __enter__(self) -> Self:
        if self._console.is_interactive:  # elsewhere a bar is an empty line
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, what: str, done: int, total: int) -> None:
        """Show how far a piece of work has come; a long one is a line where there is no bar."""
        self._show(what, done, total)
        if not self._console.is_interactive and self._clock() - self._since > _LONG_S:
            self._since = math.inf
            self._console.print(f"{what} …", style="dim", highlight=False)

    def _show(self, what: str, done: int, total: int) -> None:
        if self._task is None or what != self._what:  # a new bar: its time left is not that of the step before
            self._clear()
            self._task, self._what = self._progress.add_task(what, total=total), what
            self._since = self._clock()
        self._progress.update(self._task, completed=done, total=total)

    def prepared(self, prepared: "Prepared", args: "RunArgs") -> None:
        """What the data is."""
        self._clear()
        sizes = {split: len(prepared.of(split)) for split in Split}
        counts = ", ".join(f"{size:,} {split}" for split, size in sizes.items() if size)
        photos = number_of(sum(sizes.values()), "photo")
        self._console.print(f"[bold]{photos}[/bold], {len(args.classes)} classes: {counts}")
        for note in prepared.notes:
            self._console.print(f"  {escape(note)}", style="yellow", highlight=False)
        self._console.print(_plan(args), highlight=False)
        own = f", without its {args.folds} folds" if args.folds else ""
        legend = f"★ best on validation so far; left: time for this network{own}"
        self._console.print(legend, style="dim", highlight=False)
        self._console.print(_HEADINGS, style="dim", highlight=False)
        self._args, self._epochs_done, self._best = args, args.epochs_done, args.epochs_done

    def note(self, text: str) -> None:
        """Something that a person should know at once, such as that folds are given up."""
        self._clear()
        self._noted = True
        self._console.print(escape(text), style="yellow", highlight=False)

    def step(self, done: int, total: int) -> None:
        """Steps of the running epoch."""
        self._show(f"Epoch {self._epochs_done + 1}", done, total)

    def epoch(self, figures: "EpochFigures", epochs: int) -> None:
        """A line for an epoch that is done."""
        self._clear()
        self._epochs_done = figures.epoch
        self._seconds.append(figures.seconds)
        minutes, seconds = divmod(int(mean(self._seconds[-5:]) * (epochs - figures.epoch)), 60)
        self._console.print(
            f"{figures.epoch:>3}/{epochs:<3} {figures.size:>3} px  "
            f"{_loss(figures.train_loss)} {figures.train_accuracy:.3f}  "
            f"{_loss(figures.val_loss)} [bold]{figures.val_accuracy:.3f}[/bold] "
            f"{'[green]★[/green]' if figures.best else ' '} "
            f"[dim]{figures.images_per_s:>6,.0f} img/s {figures.waiting:>4.0%} {minutes:>5}:{seconds:02d}",
            highlight=False,
        )
        self._best = figures.epoch if figures.best else self._best
        args = self._args
        if args and args.folds and not self._noted and len(self._seconds) == _TIMED and epochs > figures.epoch:
            self._say_total(args, min(self._seconds) * epochs)
        if args and figures.epoch == epochs < args.epochs and epochs - self._best >= args.patience:
            self._console.print(
                f"Ended after {epochs} of {args.epochs} epochs: the last {epochs - self._best} were no better "
                f"(--patience {args.patience})",
                style="dim",
                highlight=False,
            )

    def _say_total(self, args: "RunArgs", own: float) -> None:
        from trainer.judging.folds import seconds_of_all

        share = "a little less" if args.cv else "a third of that"
        networks = f"This network takes about {rough_duration(own)}, its {args.folds} folds {share} each"
        whole = seconds_of_all(args, own)
        if args.time_limit_s is None or whole <= args.time_limit_s:
            self._console.print(f"{networks}, {rough_duration(whole)} in all", style="dim", highlight=False)

    def _clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None


def choose_and_show(
    options: NetworkOptions,
    data: Path,
    asked: TableOptions,
    parents: Mapping[str, str] | None,
    run: Path,
    *,
    as_json: bool,
) -> "Start":
    """Choose the network for a training, and say in a line which and why where Hangtag chose its architecture.

    Nothing is downloaded for a run that exists already, or for data that nothing can be learned from.
    """
    check_free(run)
    if options.weights:
        check_signature(parse_weights(options.weights))
    if options.arch is None:
        taxonomy_of(read_dataset(data, asked), parents)
    console = Console(stderr=as_json)
    _load(console)
    from trainer.networks.build import choose_start, weights_file

    columns = (TextColumn("Downloading weights"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    seen = console.is_interactive
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not seen) as progress:
        bar = progress.add_task("", visible=False, total=None)

        def downloaded(done: int, total: int | None) -> None:
            progress.update(bar, completed=done, total=total, visible=True)

        start = choose_start(options, lambda choice: weights_file(choice, downloaded))
    if start.why:
        console.print(escape(start.why), highlight=False, soft_wrap=True)
    return start


def train_and_show(request: TrainRequest, *, as_json: bool = False) -> ExitCode:
    """Train, show the figures, say what to do next; or all of that on stderr, and the figures as JSON on stdout."""
    console = Console(stderr=as_json)
    _load(console)
    from trainer.train import train

    with _resumable(request.run), TrainingScreen(console) as screen:
        result = train(request, screen)
    if as_json:
        print(json.dumps(_result_record(result), indent=1))
    return _show_result(result, console)


def resume_and_show(path: Path, *, as_json: bool) -> ExitCode:
    """Go on with a run, show the figures, say what to do next; with JSON as :func:`train_and_show`."""
    console = Console(stderr=as_json)
    _load(console)
    from trainer.run import RunState, open_run
    from trainer.train import resume

    run = open_run(path)
    args = run.args()
    if args.state is RunState.COMPLETE:
        epochs = f"{args.epochs_done} of at most {number_of(args.epochs, 'epoch')}, patience {args.patience}"
        if args.ended_by_time:
            epochs = f"{number_of(args.epochs_done, 'epoch')}, as its time limit allowed"
        console.print(f"The run is complete: {epochs}.")
    with _resumable(path), TrainingScreen(console) as screen:
        result = resume(run, default_cache(), screen)
    if as_json:
        print(json.dumps(_result_record(result), indent=1))
    return _show_result(result, console)


@contextmanager
def _resumable(run: Path) -> Iterator[None]:
    """Say how to resume, if Ctrl-C stops the block."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not run.exists():
            msg = "Stopped before the training began; only the cache was written."
            raise StoppedError(msg) from stopped
        so_far = "before all was written" if (run / "weights" / "state.npz").is_file() else "before an epoch had ended"
        msg = f"Stopped {so_far}; go on with: hangtag train --resume {shlex.quote(str(run))}"
        raise StoppedError(msg) from stopped


def _load(console: Console) -> None:
    with console.status("Loading TensorFlow"):
        load_tensorflow()


def _show_result(result: "TrainResult", console: Console) -> ExitCode:
    run, quoted = result.run, escape(shlex.quote(str(result.run.path)))
    lines = [f"Run: [bold]{escape(str(run.path))}[/bold]"]
    if result.evaluation:
        missing = sum(not run.fold(number).answers.is_file() for number in range(1, result.args.folds + 1))
        show_evaluation(result.evaluation, result.args, console, missing if result.interrupted else 0)
        lines.append(f"Look at: {escape(str(run.report))}")
    if result.self_training:
        colour = "green" if result.self_training.kept and not result.self_training.unproven else "yellow"
        lines.insert(0, f"[{colour}]{escape(result.self_training.sentence)}[/{colour}]")
    if result.interrupted:
        lines.append(f"[yellow]Interrupted. Go on with it: hangtag train --resume {quoted}[/yellow]")
    else:
        lines.append(f"[dim]Next: hangtag export {quoted}[/dim]")
    for line in lines:  # each in one piece, however long its path is: it is there to be copied
        console.print(line, highlight=False, soft_wrap=True)
    return ExitCode.INTERRUPTED if result.interrupted else ExitCode.OK


def _result_record(result: "TrainResult") -> dict[str, Any]:
    run, args = result.run, result.args
    found = {
        "run": run.path,
        "state": args.state,
        "arch": args.arch,
        "epochs": args.epochs_done,
        "best_epoch": args.best_epoch,
        "report": run.report if result.evaluation else None,
        "evaluation": result.evaluation,
        "self_training": result.self_training,
    }
    shown: dict[str, Any] = to_jsonable_python(found, inf_nan_mode="null")
    return shown


def _plan(args: "RunArgs") -> str:
    """In a line: what will be trained."""
    size = args.preprocess.size
    began = {"none": "random weights", "imagenet": "ImageNet weights"}.get(args.weights, f"weights of {args.weights}")
    width = f" {args.alpha:g}" if args.alpha else ""
    limit = (
        f"{rough_duration(args.time_limit_s)} in all"
        if args.time_limit_s
        else f"at most {number_of(args.epochs, 'epoch')}"
    )
    folds = f", {args.folds}-fold cross-validation" if args.cv else f", {args.folds} folds" if args.folds else ""
    number = "bfloat16" if args.bfloat16 else "float32"
    quicker = f", in {number}, which is faster here" if args.photos_per_s else ""
    return f"{args.arch}{width} at {size}×{size} px, {escape(began)}, {limit}, batch {args.batch}{folds}{quicker}"


def _loss(loss: float) -> str:
    """In five characters: ``2.360``, ``12.36``, ``  nan``."""
    return f"{loss:.3f}"[:5].rstrip(".").rjust(5)


def measure_and_show(model: Path, data: Path, asked: TableOptions = USUAL_COLUMNS, *, as_json: bool) -> "Measurement":
    """Measure, and print a table or JSON on stdout."""
    try:
        from trainer.judging.figures import achieved_text, distances_text, levels_text
        from trainer.judging.measure import measure
    except ImportError as error:
        msg = f"Evaluating needs SciPy ({error}); pip install 'hangtag[train]'."
        raise MissingExtraError(msg) from error

    with TrainingScreen(Console(stderr=True)) as screen:
        measurement = measure(model, data, default_cache(), asked, screen.advance)
    if as_json:
        print(json.dumps(_as_json(measurement), indent=1))
        return measurement
    console, figures = Console(), measurement.figures
    for note in measurement.table.notes if measurement.table else ():
        console.print(escape(note), style="dim", highlight=False)
    print_table(figures_table(figures, escape(f"{model} on {number_of(figures.n, 'photo')} of {data}")), console)
    console.print(accuracy_text(figures), highlight=False)
    if measurement.precision is not None and measurement.achieved:
        console.say(achieved_text(measurement.precision, measurement.achieved))
    for precision, achieved in measurement.coverage_at_precision.items():
        console.print(f"{precision}: {levels_text(achieved)}", highlight=False)
    if measurement.distances:
        console.print(distances_text(measurement.distances), highlight=False)
    if measurement.outliers:
        show_outliers(measurement.outliers, console)
    _show_left_out(measurement, console)
    if measurement.whole and measurement.learned_from is None:
        console.print(
            "All photos were used; if the model has learned from some of them, the figures flatter it", style="yellow"
        )
    return measurement


def _as_json(measurement: "Measurement") -> dict[str, Any]:
    """The figures; where there are any, photos of no product, how a table was read, and what was left out."""
    found = measurement.figures.model_dump(mode="json")
    if measurement.achieved:
        found["achieved"] = {"asked": measurement.precision, **measurement.achieved.model_dump(mode="json")}
    if measurement.outliers:
        found["outliers"] = measurement.outliers.model_dump(mode="json")
    if measurement.distances:
        achieved = measurement.coverage_at_precision.items()
        found["coverage_at_precision"] = {precision: one.model_dump(mode="json") for precision, one in achieved}
        found["distances"] = dict(measurement.distances)
    if measurement.table:
        found["table"] = asdict(measurement.table)
    if measurement.left_out:
        found["excluded"] = [
            {"image": str(one.path), "reason": one.reason, "message": one.message} for one in measurement.left_out
        ]
    return found


def _show_left_out(measurement: "Measurement", console: Console) -> None:
    left_out = ((measurement.unread, "could not be read"), (measurement.learned_from, "the run has learned from"))
    for count, why in left_out:
        if count:
            console.print(f"Not counted: {number_of(count, 'photo')} that {why}", style="yellow")
    for one in measurement.left_out[:_MOST_NAMED]:
        console.print(f"  {escape(one.message)}", style="yellow", highlight=False)
