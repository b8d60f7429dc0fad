"""How a cycle looks on a terminal."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from rich.markup import escape
from rich.table import Table

from models.errors import ExitCode, StoppedError
from models.terminal import Console
from trainer.console import TrainingScreen
from trainer.retrain.config import MlflowSettings, RetrainConfig, read_config
from trainer.retrain.cycle import CycleWish, retrain
from trainer.retrain.cycle_folder import CycleFolder, CycleStatus, Outcome, exit_code
from trainer.retrain.records import Comparison, Verdict

__all__ = ["CycleScreen", "retrain_and_show", "show_outcome"]


_STEPS: Final = {
    "collect": "What is there to learn from?",
    "train": "The challenger learns",
    "export": "It becomes a bundle, with its proof",
    "compare": "Champion and challenger on the same test photos",
    "catalogue": "Champion and challenger on real rows",
    "gate": "The gate",
    "publish": "Into the registry",
    "decide": "The decision",
    "report": "The report",
    "log": "To the tracking server",
    "end": "The outcome",
}


class CycleScreen:
    """A line a step, with what happens in it below."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, line: str) -> None:
        """A line that a person should not miss."""
        self._console.print(escape(line), style="yellow", highlight=False)

    @contextmanager
    def step(self, name: str) -> Iterator[TrainingScreen]:
        """A line, and a bar below while it lasts."""
        self._console.print(f"[bold]{name}[/bold]  [dim]{_STEPS[name]}[/dim]", highlight=False)
        began = time.monotonic()
        with TrainingScreen(self._console) as screen:
            yield screen
        self._console.print(f"  [green]✓[/green] [dim]{time.monotonic() - began:.0f} s[/dim]", highlight=False)


def show_outcome(outcome: Outcome, config: RetrainConfig, console: Console) -> None:
    """What came of it, why, and what to do next."""
    if outcome.status is CycleStatus.NOTHING_NEW:
        console.print(f"Nothing to do: {escape('; '.join(outcome.reasons))}.", highlight=False)
        return
    folder = CycleFolder(config.cycles / f"{outcome.number:06d}")
    console.print()
    console.print(_against(outcome, folder.read(folder.comparison, Comparison)))
    console.print(_checks(folder.read(folder.verdict, Verdict)))
    console.print(_sentence(outcome), highlight=False)
    for line in _next(outcome, config, folder):
        console.print(line, highlight=False, soft_wrap=True)


def _against(outcome: Outcome, comparison: Comparison) -> Table:
    nobody = "neither has" if outcome.champion else "it has not"
    table = Table(title=f"{comparison.photos:,} test photos that {nobody} learned from", title_justify="left")
    for heading in ("", outcome.champion or "no champion", outcome.challenger or "challenger", "points", "95%"):
        table.add_column(escape(heading), justify="left" if not heading else "right")
    low, high = comparison.points_95 or (None, None)
    table.add_row(
        "accuracy",
        _share(comparison.champion_accuracy),
        _share(comparison.challenger_accuracy),
        _points(comparison.points),
        "–" if low is None else f"{_points(low)} to {_points(high)}",
        style="bold",
    )
    for name, row in comparison.classes.items():
        low, high = row.points_95 or (None, None)
        between = "–" if low is None else f"{_points(low)} to {_points(high)}"
        challenger = row.challenger if row.photos else None
        table.add_row(escape(name), _share(row.champion), _share(challenger), _points(row.points), between)
    return table


def _checks(verdict: Verdict) -> Table:
    table = Table(title="The gate", title_justify="left", show_header=False, box=None)
    for check in verdict.checks:
        mark = "[green]✓[/green]" if check.passed else "[red]✗[/red]"
        if check.passed and check.doubtful:
            mark = "!"
        table.add_row(mark, escape(check.name), escape(check.sentence), style="yellow" if check.doubtful else None)
    return table


def _sentence(outcome: Outcome) -> str:
    if outcome.status is CycleStatus.PROMOTED:
        forced = ", although the gate refused it" if outcome.forced else ""
        return f"[bold green]{escape(str(outcome.challenger))} is the champion{forced}.[/bold green]"
    stays = f"{outcome.champion} stays the champion" if outcome.champion else "there is no champion yet"
    return f"[bold red]{escape(str(outcome.challenger))} was refused; {escape(stays)}.[/bold red]"


def _next(outcome: Outcome, config: RetrainConfig, folder: CycleFolder) -> list[str]:
    where, name = f"--registry {shlex.quote(config.registry)}", config.name
    lines = [f"Look at: {escape(str(folder.report))}"]
    if outcome.status is CycleStatus.REFUSED:
        again = f"hangtag models promote {outcome.challenger} --force --why REASON {where}"
        return [*lines, f"[dim]To overrule the gate: {escape(again)}[/dim]"]
    lines.append(f"[dim]New jobs of --model {escape(name)}@champion take it.[/dim]")
    if outcome.champion:
        lines.append(f"[dim]To go back: {escape(f'hangtag models rollback {name} --why REASON {where}')}[/dim]")
    return lines


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f}"


def retrain_and_show(
    path: Path,
    *,
    when: Literal["data", "drift"],
    force: str | None,
    restart: bool,
    mlflow: str | None,
    as_json: bool,
) -> ExitCode:
    """Run a cycle, show it, and say how it ended."""
    config = _with_mlflow(read_config(path), mlflow)
    console = Console(stderr=as_json)
    wish = CycleWish(when=when, why="drift" if when == "drift" else "data", force=force, restart=restart)
    try:
        outcome = retrain(config, wish, CycleScreen(console))
    except KeyboardInterrupt as error:
        msg = "Stopped; what is done is kept, and hangtag retrain goes on from there."
        raise StoppedError(msg) from error
    show_outcome(outcome, config, console)
    if as_json:
        print(outcome.model_dump_json(indent=1))
    return exit_code(outcome.status)


def _with_mlflow(config: RetrainConfig, uri: str | None) -> RetrainConfig:
    if uri is None:
        return config
    settings = config.mlflow.model_copy(update={"uri": uri}) if config.mlflow else MlflowSettings(uri=uri)
    return config.model_copy(update={"mlflow": settings})
