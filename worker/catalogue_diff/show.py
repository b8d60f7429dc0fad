"""Two models on a catalogue, for a person: a table, JSON, or a page."""

import json
import tempfile
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from models.errors import InputError
from models.statistics.intervals import Interval, exact_interval
from models.terminal import Console, print_table
from models.text import number_of
from models.whole_file import replace_file
from pages.render import render
from pages.text import between
from worker.catalogue_diff.diff import diff_catalogue
from worker.catalogue_diff.figures import CatalogueFigures
from worker.catalogue_diff.sample import SampleOptions

_MOST_FLOWS: Final = 15


def diff_and_show(
    before: Path,
    after: Path,
    names: tuple[str, str],
    source: str,
    rows: int,
    options: SampleOptions,
    html: Path | None = None,
    *,
    as_json: bool = False,
) -> CatalogueFigures:
    """Compare two models on some rows of a catalogue and say on stdout what would change.

    Files that are needed meanwhile lie in the system's temporary folder (``TMPDIR``) and are removed in the end.

    Raises:
        InputError: the catalogue cannot be used, or the page cannot be written there.
        BundleError: a bundle is damaged or disagrees with itself on this machine.
        JobError: the catalogue cannot be fetched, or both models together could label no row.
    """
    if html is not None and not html.absolute().parent.is_dir():
        msg = f"Expected the folder {html.absolute().parent} to exist; make it first, or name another --html."
        raise InputError(msg)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}

    def advance(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = progress.add_task(what, total=total)
        progress.update(bars[what], completed=done, total=total)

    with (
        tempfile.TemporaryDirectory(prefix="hangtag-diff-") as folder,
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
    ):
        figures = diff_catalogue(before, after, source, Path(folder), rows, options, advance)
    interval = exact_interval(figures.changed, figures.rows)
    if html is not None:
        page = render("catalogue_diff.html", before=names[0], after=names[1], figures=figures, interval=interval)
        replace_file(html, page.encode())
    if as_json:
        facts = {
            "before": names[0],
            "after": names[1],
            **figures.model_dump(),
            "changed_share": figures.changed_share,
            "changed_share_95": interval,
            "examples": [example.model_dump(exclude={"thumbnail"}) for example in figures.examples],
        }
        print(json.dumps(facts, indent=1))
    else:
        _print(figures, names, interval, html, Console())
    return figures


def _print(
    figures: CatalogueFigures, names: tuple[str, str], interval: Interval, html: Path | None, console: Console
) -> None:
    band = f"95% {between(interval)}"
    said = f"{figures.changed_share:.1%} of {figures.rows:,} rows would change ({band})."
    console.print(f"[bold]{escape(names[0])} → {escape(names[1])}:[/bold] {said}", highlight=False)
    if figures.flows:
        table = Table("before", "after", Column("rows", justify="right"), Column("share", justify="right"))
        for flow in figures.flows[:_MOST_FLOWS]:
            cells = (escape(flow.before), escape(flow.after), f"{flow.rows:,}", f"{flow.rows / figures.rows:.1%}")
            table.add_row(*cells)
        print_table(table, console)
    left = figures.flows[_MOST_FLOWS:]
    if left:
        console.print(
            f"and {number_of(sum(flow.rows for flow in left), 'row')} in {len(left):,} other ways", style="dim"
        )
    console.print(
        f"To review: {figures.to_review:,} more, {figures.from_review:,} fewer. Failed: {figures.failed:,}. "
        f"Drawn from {number_of(figures.rows_in_source, 'row')} of {escape(figures.source)}.",
        highlight=False,
        soft_wrap=True,
    )
    if html is not None:
        console.print(f"Photos: [bold]{escape(str(html))}[/bold]", highlight=False, soft_wrap=True)
