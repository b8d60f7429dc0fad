"""Shows training and evaluation on a terminal."""

import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic_core import to_jsonable_python
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from exporter.options import load_tensorflow
from models.errors import ExitCode, MissingExtraError, StoppedError
from models.photo import NONE
from models.process import default_cache
from models.terminal import Console, print_table
from models.text import number_of
from pages.text import rough_duration, rounded
from trainer.data.dataset import Split
from trainer.request import USUAL_COLUMNS, Preset, TableOptions, TrainRequest
from trainer.run import RunState, check_free, open_run

if TYPE_CHECKING:
    from trainer.judging.evaluate import Evaluation, Judged
    from trainer.judging.figures import ClassFigures, Figures, OutlierFigures
    from trainer.judging.measure import Measurement
    from trainer.run import EpochFigures, Run, RunArgs
    from trainer.splits.prepare import Prepared
    from trainer.train import TrainResult

_MOST_CLASSES: Final = 12
_MOST_NAMED: Final = 3
_LONG_S: Final = 10.0
"""Without a progress bar, a step prints a line if it lasts longer than this many seconds."""
_PAIR: Final = f"{'loss':>5} {'right':>5}"
_HEADINGS: Final = (
    f"{'':16}{'training':>11}  {'validation':>11}\n"
    f"{'epoch':>6}  {'size':>6}  {_PAIR}  {_PAIR}   {'speed':>12} {'wait':>4} {'left':>8}"
)


class TrainingScreen:
    """A progress bar for decoding and for the current epoch, and a line for each finished epoch."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, refresh_per_second=4)
        self._task: TaskID | None = None
        self._what = ""
        self._since = math.inf
        self._seconds: list[float] = []
        self._epochs_done = 0
        self._folds = 0.0

    def __enter__(self) -> Self:
        if self._console.is_interactive:  # without a terminal, the bar would be an empty line
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, what: str, done: int, total: int) -> None:
        """Show the progress of a step. Without a progress bar, a long step prints a line."""
        self._show(what, done, total)
        if not self._console.is_interactive and self._clock() - self._since > _LONG_S:
            self._since = math.inf
            self._console.print(f"{what} …", style="dim", highlight=False)

    def _show(self, what: str, done: int, total: int) -> None:
        if self._task is None or what != self._what:  # a new bar resets the time estimate
            self._clear()
            self._task, self._what = self._progress.add_task(what, total=total), what
            self._since = self._clock()
        self._progress.update(self._task, completed=done, total=total)

    def prepared(self, prepared: "Prepared", args: "RunArgs") -> None:
        """Show the splits."""
        self._clear()
        sizes = {split: len(prepared.of(split)) for split in Split}
        counts = ", ".join(f"{size:,} {split}" for split, size in sizes.items() if size)
        photos = number_of(sum(sizes.values()), "photo")
        self._console.print(f"[bold]{photos}[/bold], {len(args.classes)} classes: {counts}")
        for note in prepared.notes:
            self._console.print(f"  {escape(note)}", style="yellow", highlight=False)
        self._console.print(_plan(args), highlight=False)
        if not args.is_frozen:
            self._show_headings(args)

    def goes_on(self, evaluation: "Evaluation", run: "Run", args: "RunArgs", seconds: float | None) -> None:
        """Show the figures of the head before fine-tuning."""
        self._clear()
        figures = evaluation.of(evaluation.shown)
        if figures:
            accuracy = _accuracy_text(figures, f"{number_of(figures.n, f'{evaluation.shown.word} photo')}:")
            self._console.print(f"Without fine-tuning, {accuracy}: {escape(str(run.report))}", highlight=False)
        work = number_of(args.epochs, "epoch") + (f" ({args.epochs_done} done)" if args.epochs_done else "")
        work += f" and {args.folds} folds" if args.folds else ""
        work += f", about {rough_duration(seconds)}" if seconds else ""
        self._console.print(
            f"Now fine-tuning: {work}; this may improve the figures. Ctrl-C keeps the head.", highlight=False
        )
        self._show_headings(args)

    def _show_headings(self, args: "RunArgs") -> None:
        folds = ", folds included" if args.folds else ""
        self._console.print(f"★ best on validation so far; left: remaining time{folds}", style="dim", highlight=False)
        self._console.print(_HEADINGS, style="dim", highlight=False)
        self._folds, self._epochs_done = args.cost_of_folds, args.epochs_done

    def note(self, text: str) -> None:
        """Print a note."""
        self._clear()
        self._console.print(escape(text), style="yellow", highlight=False, soft_wrap=True)

    def step(self, done: int, total: int) -> None:
        """Update the progress bar."""
        self._show(f"Epoch {self._epochs_done + 1}", done, total)

    def epoch(self, figures: "EpochFigures", epochs: int) -> None:
        """Print a line for a finished epoch."""
        self._clear()
        self._epochs_done = figures.epoch
        self._seconds.append(figures.seconds - figures.compile_s)
        left = epochs * (1 + self._folds) - figures.epoch
        minutes, seconds = divmod(int(mean(self._seconds[-5:]) * left), 60)
        self._console.print(
            f"{figures.epoch:>3}/{epochs:<3} {figures.size:>3} px  {_loss(figures.train_loss)} "
            f"{figures.train_accuracy:.3f}  {_loss(figures.val_loss)} [bold]{figures.val_accuracy:.3f}[/bold] "
            f"{'[green]★[/green]' if figures.best else ' '} [dim]{figures.images_per_s:>6,.0f} img/s "
            f"{figures.waiting:>4.0%} {minutes:>5}:{seconds:02d}",
            highlight=False,
        )

    def _clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None


def _plan(args: "RunArgs") -> str:
    size = args.preprocess.size
    began = {"none": "random weights", "imagenet": "ImageNet weights"}.get(args.weights, f"weights of {args.weights}")
    width = f" {args.alpha:g}" if args.alpha else ""
    limit = f" in at most {rough_duration(args.time_limit_s)}" if args.time_limit_s else ""
    folds = f", {args.folds}-fold cross-validation" if args.cv else f", {args.folds} folds" if args.folds else ""
    network = f"{args.arch}{width} at {size}×{size} px, {escape(began)}"
    if args.is_frozen:
        return f"{network}: a head on its features{folds}"
    return f"{network}, {number_of(args.epochs, 'epoch')}{limit}, batch {args.batch}{folds}"


def _loss(loss: float) -> str:
    return f"{loss:.3f}"[:5].rstrip(".").rjust(5)


def train_and_show(request: TrainRequest, run: Path, *, as_json: bool = False) -> ExitCode:
    """Train a network, and show the figures and the next command. ``as_json``: only JSON goes to stdout."""
    check_free(run)
    console = Console(stderr=as_json)
    _load(console)
    from trainer.train import train

    with _resumable(run), TrainingScreen(console) as screen:
        result = train(request, run, default_cache(), screen)
    return _show_result(result, console, as_json=as_json)


def resume_and_show(path: Path, *, as_json: bool) -> ExitCode:
    """Continue a run, with the output of :func:`train_and_show`."""
    console = Console(stderr=as_json)
    _load(console)
    from trainer.train import resume

    run = open_run(path)
    args = run.args()
    if args.state is RunState.COMPLETE:
        what = "a head on pretrained features" if args.is_frozen else number_of(args.epochs_done, "epoch")
        console.print(f"The run is complete: {what}.")
    with _resumable(path), TrainingScreen(console) as screen:
        result = resume(run, default_cache(), screen)
    return _show_result(result, console, as_json=as_json)


@contextmanager
def _resumable(run: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not run.exists():
            msg = "Stopped before the training began; only the cache was written."
            raise StoppedError(msg) from stopped
        so_far = (
            "before all files were written" if (run / "weights" / "state.npz").is_file() else "before the first result"
        )
        if (run / "finetuning").is_dir() and (run / "confidence.json").is_file():
            so_far = "during fine-tuning; the head is kept"
        msg = f"Stopped {so_far}; continue with: hangtag train --resume {shlex.quote(str(run))}"
        raise StoppedError(msg) from stopped


def _load(console: Console) -> None:
    with console.status("Loading TensorFlow"):
        load_tensorflow()


def _show_result(result: "TrainResult", console: Console, *, as_json: bool) -> ExitCode:
    run, quoted = result.run, escape(shlex.quote(str(result.run.path)))
    lines = [f"Run: [bold]{escape(str(run.path))}[/bold]"]
    if as_json:
        print(json.dumps(_result_record(result), indent=1))
    if result.evaluation:
        show_evaluation(result.evaluation, result.args, console)
        lines.append(f"Look at: {escape(str(run.report))}")
    if result.interrupted:
        lines.append(f"[yellow]Interrupted. Continue with: hangtag train --resume {quoted}[/yellow]")
    if result.evaluation and not (result.interrupted and not result.args.is_frozen):
        lines.append(f"[dim]Next: hangtag export {quoted}[/dim]")
    if result.args.is_frozen and result.args.preset is Preset.QUICK:
        name = f"--name {escape(shlex.quote(f'{run.path.name}-good'))}"
        same = f"--preset good --image-size {result.args.image_size} {name}"
        lines.append(f"[dim]To fine-tune the network from these features: the same command with {same}[/dim]")
    for line in lines:  # no wrapping: people copy the command
        console.print(line, highlight=False, soft_wrap=True)
    return ExitCode.INTERRUPTED if result.interrupted else ExitCode.OK


def _result_record(result: "TrainResult") -> dict[str, Any]:
    run, args = result.run, result.args
    record = {
        "run": run.path,
        "state": args.state,
        "arch": args.arch,
        "epochs": args.epochs_done,
        "best_epoch": args.best_epoch,
        "report": run.report if result.evaluation else None,
        "evaluation": result.evaluation,
    }
    shown: dict[str, Any] = to_jsonable_python(record, inf_nan_mode="null")
    return shown


def show_evaluation(evaluation: "Evaluation", args: "RunArgs", console: Console) -> None:
    """Show the figures of a training."""
    from trainer.judging.evaluate import Judged
    from trainer.judging.figures import distances_text, levels_text

    split = evaluation.shown
    figures = evaluation.of(split)
    if figures is None:
        return
    network = "The head" if args.is_frozen else f"Epoch {args.best_epoch}"
    network = f"{args.folds} folds" if figures is evaluation.cv else network
    print_table(figures_table(figures, f"{network}, on {number_of(figures.n, f'{split.word} photo')}"), console)
    console.print()
    _show_precisions(evaluation, args, split, console)
    tested = Judged.TEST if evaluation.test else split
    for target in evaluation.thresholds:
        achieved = evaluation.coverage_at_precision[f"{target.precision:.2f}"].of(tested)
        if achieved and achieved.levels and target.coverage:
            console.print(f"{target.precision:.2f} on {tested.word}: {levels_text(achieved)}", highlight=False)
    if evaluation.distances and (away := evaluation.distances.of(tested)):
        console.print(distances_text(away), highlight=False)
    console.print()
    _show_accuracy(evaluation, args, split, figures, console)
    if evaluation.unknown and (outliers := evaluation.unknown.outliers):
        _show_outliers(outliers, console)
    if evaluation.unlisted:
        console.print(f"No list of likely label errors: {evaluation.unlisted}", highlight=False)
    elif evaluation.label_issues:
        issues = number_of(evaluation.label_issues, "likely label error")
        console.print(f"{issues}: check label_issues.csv, and correct wrong labels", highlight=False)


def figures_table(figures: "Figures", title: str) -> Table:
    """A table with a row per class and a row of means. Of many classes, only those with the lowest F1 are shown."""
    table = Table("class", title=title, title_justify="left")
    for heading in ("precision", "recall", "F1", "photos"):
        table.add_column(heading, justify="right")

    def cells(row: "Figures | ClassFigures") -> tuple[str, str, str]:
        return f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}"

    shown, others = list(figures.classes.items()), []
    if len(shown) > _MOST_CLASSES + 1:
        shown.sort(key=lambda one: one[1].f1 if one[1].support else 1.0)
        shown, others = shown[:_MOST_CLASSES], shown[_MOST_CLASSES:]
    for name, row in shown:
        table.add_row(escape(name), *(cells(row) if row.support else ("–",) * 3), f"{row.support:,}")
    if others:
        table.add_row(f"{len(others):,} better", *("–",) * 3, f"{sum(row.support for _, row in others):,}")
    table.add_section()
    table.add_row("mean", *cells(figures), f"{figures.n:,}", style="bold")
    return table


def _show_precisions(evaluation: "Evaluation", args: "RunArgs", split: "Judged", console: Console) -> None:
    from models.statistics.thresholds import default_precision
    from trainer.judging.evaluate import Judged
    from trainer.judging.figures import advice_for_promise

    if not any(target.coverage for target in evaluation.thresholds):
        why, *others = evaluation.unpromised(pooled=args.pools_folds)
        unless = "Every photo goes to review; use --threshold to label photos without a promised precision."
        advice = advice_for_promise(args, folds_may_prove=evaluation.folds_may_prove)
        for sentence in (why, unless, *others, advice):
            console.print(escape(sentence), highlight=False)
        return
    split = Judged.TEST if evaluation.test else split
    ruling = default_precision(evaluation.thresholds)
    table = Table(title="Share of photos without review", title_justify="left")
    for heading in ("--precision", "expected", f"on {split.word}", "right", "95%", "wrong"):
        table.add_column(heading, justify="right")
    for target in evaluation.thresholds:
        achieved = evaluation.coverage_at_precision[f"{target.precision:.2f}"].of(split)
        cells = [rounded(achieved.coverage) if achieved else "–", "–", "–", "–"]
        if achieved and achieved.precision is not None:
            low, high = achieved.precision_95
            cells[1:] = f"{achieved.precision:.3f}", f"{low:.3f}–{high:.3f}", f"{achieved.wrong:,}"
        style = "bold" if target.precision == ruling else None
        table.add_row(f"{target.precision:.2f}", rounded(target.coverage), *cells, style=style)
    default = "every photo goes to review" if ruling is None else f"{ruling:.2f}"
    achieved = evaluation.coverage_at_precision[default].of(split) if ruling else None
    if ruling and achieved and achieved.misses(ruling):
        default += f", but significantly fewer labels are right on {split.word} photos: train with more photos"
    reasons = (f"{one:.2f} {why}" for one, why in evaluation.unproved(pooled=args.pools_folds).items())
    table.caption = "\n".join((f"Default: {default}", *reasons))
    table.caption_justify = "left"
    print_table(table, console)


def _show_accuracy(
    evaluation: "Evaluation", args: "RunArgs", split: "Judged", figures: "Figures", console: Console
) -> None:
    before = evaluation.ece_before.of(split)
    was = "" if before is None else f"{before:.3f} → "
    console.print(f"{_accuracy_text(figures, split.word)}, calibration error {was}{figures.ece:.3f}", highlight=False)
    if evaluation.test and figures is not evaluation.test:
        photos = number_of(evaluation.test.n, "photo")
        console.print(f"{_accuracy_text(evaluation.test, 'test')}, {photos}", highlight=False)
        console.print(f"(the accuracy on {figures.n:,} photos is more reliable)", style="dim")
    if args.is_frozen:
        console.print("Result: a head on the pretrained features", highlight=False)
        return
    last = ", the last" if args.best_epoch == args.epochs_done else ""
    console.print(f"Result: epoch {args.best_epoch}{last}, with averaged weights", highlight=False)
    if last and args.epochs_done > 1:
        console.print(
            "(the last epoch has the lowest learning rate; an earlier ★ is better only by chance)", style="dim"
        )


def _accuracy_text(figures: "Figures", of: str = "") -> str:
    low, high = figures.accuracy_95
    return f"{of}{' ' if of else ''}accuracy [bold]{figures.accuracy:.4f}[/bold] (95%: {low:.3f}–{high:.3f})"


def _show_outliers(outliers: "OutlierFigures", console: Console) -> None:
    low, high = outliers.caught_95
    console.print(
        f"{number_of(outliers.n, 'photo')} without a product ({NONE}): [bold]{outliers.caught:.0%}[/bold] are "
        f"detected as unknown (95%: {low:.3f}–{high:.3f}) and go to review",
        highlight=False,
    )


def measure_and_show(model: Path, data: Path, table: TableOptions = USUAL_COLUMNS, *, as_json: bool) -> "Measurement":
    """Measure a model, and print a table or JSON on stdout."""
    try:
        from trainer.judging.figures import achieved_text, distances_text, levels_text
        from trainer.judging.measure import measure
    except ImportError as error:
        msg = f"Evaluating needs SciPy ({error}); pip install 'hangtag[train]'."
        raise MissingExtraError(msg) from error

    with TrainingScreen(Console(stderr=True)) as screen:
        measurement = measure(model, data, default_cache(), table, screen.advance)
    if as_json:
        print(json.dumps(_as_json(measurement), indent=1))
        return measurement
    console, figures = Console(), measurement.figures
    for note in measurement.table.notes if measurement.table else ():
        console.print(escape(note), style="dim", highlight=False)
    print_table(figures_table(figures, escape(f"{model} on {number_of(figures.n, 'photo')} of {data}")), console)
    console.print(_accuracy_text(figures), highlight=False)
    if measurement.precision is not None and measurement.achieved:
        console.say(achieved_text(measurement.precision, measurement.achieved))
    for precision, achieved in measurement.coverage_at_precision.items():
        console.print(f"{precision}: {levels_text(achieved)}", highlight=False)
    if measurement.distances:
        console.print(distances_text(measurement.distances), highlight=False)
    if measurement.outliers:
        _show_outliers(measurement.outliers, console)
    _show_left_out(measurement, console)
    if measurement.whole and measurement.learned_from is None:
        console.print(
            "All photos were used. If the model was trained on some of these photos, the figures are too high",
            style="yellow",
        )
    return measurement


def _as_json(measurement: "Measurement") -> dict[str, Any]:
    record = measurement.figures.model_dump(mode="json")
    if measurement.achieved:
        record["achieved"] = {"asked": measurement.precision, **measurement.achieved.model_dump(mode="json")}
    if measurement.outliers:
        record["outliers"] = measurement.outliers.model_dump(mode="json")
    if measurement.distances:
        achieved = measurement.coverage_at_precision.items()
        record["coverage_at_precision"] = {precision: one.model_dump(mode="json") for precision, one in achieved}
        record["distances"] = dict(measurement.distances)
    if measurement.table:
        record["table"] = asdict(measurement.table)
    if measurement.left_out:
        record["excluded"] = [
            {"image": str(one.path), "reason": one.reason, "message": one.message} for one in measurement.left_out
        ]
    return record


def _show_left_out(measurement: "Measurement", console: Console) -> None:
    left_out = (
        (len(measurement.left_out), "could not be read"),
        (measurement.learned_from, "the run was trained on"),
    )
    for count, why in left_out:
        if count:
            console.print(f"Not counted: {number_of(count, 'photo')} that {why}", style="yellow")
    for one in measurement.left_out[:_MOST_NAMED]:
        console.print(f"  {escape(one.message)}", style="yellow", highlight=False)
