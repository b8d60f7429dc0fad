"""Runs a cycle for a person or a script, and shows it on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.markup import escape
from rich.table import Table

from models.errors import ExitCode, StoppedError
from models.terminal import Console, print_table
from trainer.console import TrainingScreen
from trainer.retrain.config import RetrainConfig, read_config
from trainer.retrain.cycle import CycleOptions, retrain
from trainer.retrain.cycle_folder import CycleFolder, CycleStatus, GateVerdict, Outcome


def retrain_and_show(path: Path, *, when: Literal["data", "drift"], restart: bool, as_json: bool) -> ExitCode:
    """Run a cycle, and show its progress and outcome."""
    config = read_config(path)
    console = Console(stderr=as_json)
    try:
        outcome = retrain(config, CycleOptions(when=when, restart=restart), CycleScreen(console))
    except KeyboardInterrupt as error:
        msg = "Stopped. Finished steps are kept; the next hangtag retrain continues the cycle."
        raise StoppedError(msg) from error
    show_outcome(outcome, config, console)
    if as_json:
        print(outcome.model_dump_json(indent=1))
    return outcome.status.exit_code


class CycleScreen:
    """One line per step, with its remarks below."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, line: str) -> None:
        """Print a remark."""
        self._console.print(escape(line), style="yellow", highlight=False)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[TrainingScreen]:
        """Print a line for a step, with a progress bar below while it runs."""
        self._console.print(f"[bold]{name}[/bold]  [dim]{title}[/dim]", highlight=False)
        began = time.monotonic()
        with TrainingScreen(self._console) as screen:
            yield screen
        self._console.print(f"  [green]✓[/green] [dim]{time.monotonic() - began:.0f} s[/dim]", highlight=False)


def show_outcome(outcome: Outcome, config: RetrainConfig, console: Console) -> None:
    """Show a cycle's outcome, the reasons, and the next commands."""
    if outcome.status is CycleStatus.NOTHING_NEW:
        console.print(f"Nothing to do: {escape('; '.join(outcome.reasons))}.", highlight=False)
        return
    folder = CycleFolder(config.folder / f"{outcome.number:06d}")
    console.print()
    print_table(_checks(folder.read(folder.verdict, GateVerdict)), console)
    challenger = escape(str(outcome.challenger))
    if outcome.status is CycleStatus.PROMOTED:
        console.print(f"[bold green]{challenger} is the champion.[/bold green]", highlight=False)
    else:
        stays = f"{outcome.champion} stays the champion" if outcome.champion else "there is no champion yet"
        console.print(f"[bold red]{challenger} was refused; {escape(stays)}.[/bold red]", highlight=False)
    for line in _next(outcome, config, folder):
        console.print(line, highlight=False, soft_wrap=True)


def _checks(verdict: GateVerdict) -> Table:
    table = Table(title="The gate", title_justify="left", show_header=False, box=None)
    for check in verdict.checks:
        mark = "[green]✓[/green]" if check.passed else "[red]✗[/red]"
        if check.passed and (check.doubtful or check.unsure):
            mark = "!" if check.doubtful else "?"
        table.add_row(mark, escape(check.name), escape(check.sentence), style="yellow" if check.doubtful else None)
    return table


def _next(outcome: Outcome, config: RetrainConfig, folder: CycleFolder) -> list[str]:
    lines = [f"Look at: {escape(str(folder.report))}"]
    if outcome.status is CycleStatus.PROMOTED:
        lines.append(f"[dim]New jobs with --model {escape(config.name)}@champion use it.[/dim]")
    if undo := outcome.undo(config.registry):
        lines.append(f"[dim]{escape(undo)}[/dim]")
    return lines
