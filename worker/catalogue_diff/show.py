"""Two models on a catalogue, for a person: a table, JSON, or a page."""

import json
import tempfile
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.errors import InputError
from models.statistics.intervals import wilson_interval
from models.terminal import Console
from models.text import number_of
from models.whole_file import replace_file
from pages.render import render
from worker.catalogue_diff.diff import diff_catalogue
from worker.catalogue_diff.figures import CatalogueFigures
from worker.catalogue_diff.sample import SampleOptions

__all__ = ["diff_and_show"]

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

    What is needed on the way lies in the system's folder for temporary files (``TMPDIR``) and goes in the end.

    Args:
        before: the bundle that labels now.
        after: the bundle that might.
        names: of both, as the person said them.
        source: the catalogue, as for ``hangtag label``.
        rows: at most so many are drawn.
        options: how they are found and labelled.
        html: where a page with photos is written, if at all.
        as_json: print the figures as JSON, without photos, instead of a table.

    Raises:
        InputError: the catalogue cannot be used, or the page cannot be written there.
        BundleError: a bundle is damaged or disagrees with itself on this machine.
        JobError: the catalogue does not come; or no row could be labelled by both.
    """
    if html is not None and not html.absolute().parent.is_dir():
        msg = f"Expected the folder {html.absolute().parent} to exist; make it first, or name another --html."
        raise InputError(msg)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        tempfile.TemporaryDirectory(prefix="hangtag-diff-") as folder,
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
    ):
        figures = diff_catalogue(before, after, source, Path(folder), rows, options, _Bars(progress).advance)
    if html is not None:
        interval = wilson_interval(figures.changed, figures.rows)
        page = render("catalogue_diff.html", before=names[0], after=names[1], figures=figures, interval=interval)
        replace_file(html, page.encode())
    if as_json:
        print(json.dumps(_facts(figures, names), indent=1))
    else:
        _print(figures, names, html, Console())
    return figures


class _Bars:
    """A bar for each thing that is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def advance(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)


def _facts(figures: CatalogueFigures, names: tuple[str, str]) -> dict[str, object]:
    examples = [example.model_dump(exclude={"thumbnail"}) for example in figures.examples]
    share = {
        "changed_share": figures.changed_share,
        "changed_share_95_wilson": wilson_interval(figures.changed, figures.rows),
    }
    return {"before": names[0], "after": names[1], **figures.model_dump(), **share, "examples": examples}


def _print(figures: CatalogueFigures, names: tuple[str, str], html: Path | None, console: Console) -> None:
    low, high = (100 * end for end in wilson_interval(figures.changed, figures.rows))
    said = f"{figures.changed_share:.1%} of {figures.rows:,} rows would change (95% {low:.1f} to {high:.1f}%, Wilson)."
    console.print(f"[bold]{escape(names[0])} → {escape(names[1])}:[/bold] {said}", highlight=False)
    if figures.flows:
        table = Table()
        for name in ("before", "after"):
            table.add_column(name)
        for name in ("rows", "share"):
            table.add_column(name, justify="right")
        for flow in figures.flows[:_MOST_FLOWS]:
            cells = (escape(flow.before), escape(flow.after), f"{flow.rows:,}", f"{flow.rows / figures.rows:.1%}")
            table.add_row(*cells)
        console.print(table)
    left = figures.flows[_MOST_FLOWS:]
    if left:
        console.print(
            f"and {number_of(sum(flow.rows for flow in left), 'row')} in {len(left):,} other ways", style="dim"
        )
    console.print(
        f"To review: {figures.to_review:,} more, {figures.from_review:,} no more. Failed: {figures.failed:,}. "
        f"Drawn from {number_of(figures.rows_in_source, 'row')} of {escape(figures.source)}.",
        highlight=False,
        soft_wrap=True,
    )
    if html is not None:
        console.print(f"Photos: [bold]{escape(str(html))}[/bold]", highlight=False, soft_wrap=True)
