"""Runs a check, shows it on a terminal and writes its files."""

import json
import os
import shlex
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.errors import ExitCode, StoppedError
from models.photo import NONE
from models.process import default_cache
from models.terminal import Console, RateColumn, print_table
from models.text import number_of
from models.whole_file import replace_file
from pages.render import near
from trainer.check.check_reports import (
    SHORTCUT_ADVICE,
    check_page,
    check_summary,
    doubt_sentences,
    json_of,
    leak_sentences,
    property_sentences,
    shortcut_sentences,
    strict_faults,
    write_check_csv,
)
from trainer.check.checkup import GRAVE, Checkup, Issue, check_up
from trainer.check.quarantine import bring_back, make_outside, quarantine
from trainer.data.dataset import Dataset, fetch_photos, read_dataset
from trainer.data.photo_cache import StatisticsStore
from trainer.request import USUAL_COLUMNS, TableOptions

_MOST_LINES: Final = 10
_UNITS: Final = {"Fetching": "images/s", "Looking": "images/s"}


def check_and_show(
    data: Path, out: Path, aside: Path | None, options: TableOptions = USUAL_COLUMNS, *, strict: bool, as_json: bool
) -> ExitCode:
    """Check photos, write reports to ``out``, and show the result. Moves harmful photos to ``aside``, unless None."""
    make_outside(data, out, "--out")
    started, dataset = time.monotonic(), read_dataset(data, options)
    if aside is not None:
        make_outside(data, aside, "--quarantine")
    console = Console(stderr=as_json)
    checkup = _check(dataset, options)
    summary = check_summary(checkup, data, time.monotonic() - started)
    _write_reports(checkup, summary, out)
    if as_json:
        print(json_of(summary))
    else:
        _show(console, checkup, summary)
    console.print(f"Open the report: [bold]{escape(str(out / 'check.html'))}[/bold]", highlight=False)
    if aside is not None:
        moved, rest = quarantine(checkup, aside)
        console.say(
            f"{number_of(moved, 'file')} moved to {aside}; to undo it: hangtag check --undo {shlex.quote(str(aside))}"
        )
        if rest:
            console.say(f"A CSV with the remaining rows: {rest}")
    faults = strict_faults(checkup) if strict else {}
    if not faults:
        return ExitCode.OK
    console.say(f"--strict: refused for {', '.join(f'{count:,} {issue}' for issue, count in faults.items())}", "red")
    return ExitCode.DATA_REFUSED


def bring_back_and_show(folder: Path, *, as_json: bool) -> ExitCode:
    """Undo a quarantine, and show the number of files that moved back."""
    console, back = Console(stderr=as_json), bring_back(folder)
    if as_json:
        places = {"renamed": list(map(str, back.renamed)), "lost": list(map(str, back.lost))}
        print(json.dumps({"moved": back.moved, **places}, indent=1))
    console.say(f"{number_of(back.moved, 'file is', 'files are')} back.")
    for path in back.renamed:
        console.say(f"Two files had the same name; one is now {path}.", "yellow")
    for path in back.lost:
        console.say(f"Missing from both the data and the quarantine: {path}", "red")
    return ExitCode.FAILURE if back.lost else ExitCode.OK


def _check(dataset: Dataset, options: TableOptions) -> Checkup:
    console, tasks = Console(stderr=True), dict[str, TaskID]()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def advance(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total, unit=_UNITS.get(what))
        progress.update(tasks[what], completed=done, total=total)

    try:
        with progress:
            here = fetch_photos(dataset, options, default_cache(), partial(advance, "Fetching"))
            return check_up(here, StatisticsStore(default_cache()), advance)
    except KeyboardInterrupt as stopped:
        msg = "Stopped; only the cache was written. Run the same command again to continue."
        raise StoppedError(msg) from stopped


def _write_reports(checkup: Checkup, summary: Mapping[str, Any], out: Path) -> None:
    write_check_csv(out / "check.csv", checkup)
    replace_file(out / "check.json", json_of(summary).encode())
    links = near(out / "check.html", {"Every image (CSV)": out / "check.csv", "All figures (JSON)": out / "check.json"})
    replace_file(out / "check.html", check_page(checkup, links).encode())


def _show(console: Console, checkup: Checkup, summary: Mapping[str, Any]) -> None:
    splits = "".join(f", {count:,} {split}" for split, count in summary["splits"].items())
    images, classes = number_of(summary["images"], "image"), number_of(len(summary["classes"]), "class", "classes")
    outliers = f", {checkup.outliers:,} without a product ({NONE})" if checkup.outliers else ""
    console.print(f"[bold]{images}[/bold] of {classes}{outliers}{splits}; {summary['seconds']:.0f} s", highlight=False)
    for line in checkup.dataset.notes:
        console.say(f"  {line}", "yellow")
    shortcuts = shortcut_sentences(checkup)
    if any(summary["issues"].values()):
        print_table(_issue_table(checkup), console)
    else:
        in_classes = "No issues in single photos, but some features predict the class:"
        console.print(in_classes if shortcuts else "[green]No issue found.[/green]")
    if strays := checkup.ignored:
        example = f"such as {_short(strays[0].path)}: {strays[0].message}"
        console.say(f"Left out: {number_of(len(strays), 'file')}, {example}", "yellow")
    for line in leak_sentences(checkup):
        console.say(f"Leaks: {line}", "red")
    for line in doubt_sentences(checkup):
        console.say(f"Mind: {line}", "yellow")
    for line in _first(shortcuts):
        console.say(f"Shortcut: {line}", "yellow")
    if shortcuts:
        console.say(SHORTCUT_ADVICE, "dim")
    for line in _first(property_sentences(checkup)):
        console.say(f"Most of {line}", "dim")


def _short(path: Path) -> str:
    return os.path.join(*path.parts[-2:])  # noqa: PTH118 - only for display


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"and {more:,} more: see check.html"]


def _issue_table(checkup: Checkup) -> Table:
    table = Table()
    table.add_column("issue")
    table.add_column("images", justify="right")
    table.add_column("what it means")
    table.add_column("for example", style="dim")
    for issue in Issue:
        if count := checkup.count(issue):
            places = checkup.places(issue)
            path = checkup.scanned.photos[places[0]].path if places else checkup.faulty[issue][0].photo.path
            pictures = len(checkup.relations.exact)
            repeats = f": {number_of(pictures, 'picture')}, {number_of(count - pictures, 'repeat')}"
            words = issue.meaning + (repeats if issue is Issue.EXACT_DUPLICATE else "")
            table.add_row(issue, f"{count:,}", words, escape(_short(path)), style="red" if issue in GRAVE else "")
    return table
