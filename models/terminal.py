"""The console for all output, with tables and progress bars."""

import os
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.measure import measure_renderables
from rich.progress import ProgressColumn, Task
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from models.text import printable

FIRST_RATE_S: Final = 3.0
"""Seconds before a rate is shown. Earlier rates would mostly measure the start-up."""
_WHOLE: Final = 10
_PIPED: Final = 10_000
"""Width of output to a file or a pipe. Lines are not wrapped, so that programs find whole names."""
_LEAST: Final = 12
"""The smallest width of a text column, in characters."""


class Console(rich.console.Console):  # noqa: TID251 - the only console
    """A Rich console that escapes control characters."""

    def __init__(self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None) -> None:
        super().__init__(stderr=stderr, file=file, width=width, emoji=False)
        if width is None and not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = _PIPED

    def say(self, text: str, style: str = "") -> None:
        """Print a line of any length, without markup."""
        self.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **settings: Any) -> Text:  # noqa: ANN401 - Rich's own settings
        """Escape a string. Rich calls this for every string, even in table cells."""
        return super().render_str(printable(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Escape output that is not a string, such as a ``Text`` or a progress bar."""
        for segment in super().render(renderable, options):
            safe = segment.control or segment.text.isprintable()
            yield segment if safe else Segment(printable(segment.text), segment.style)


def print_table(table: Table, console: Console, *, spare: Sequence[str] = (), style: str = "") -> None:
    """Print a table without cropping cells, even on a narrow terminal.

    Text is folded, except in right-aligned columns (figures) and ``no_wrap`` columns. A table that is still too wide
    runs over the terminal's edge. Empty ``spare`` columns are left out. Then other ``spare`` columns are left out, one
    by one from the first, until the table fits.
    """
    for column in table.columns:
        column.overflow = "fold"
        figures = column.justify == "right" and not _folds_heading(column, console)
        column.no_wrap = column.no_wrap or figures or column.header in spare
    table.columns = [one for one in table.columns if one.header not in spare or any(map(str, one.cells))]
    for heading in spare:
        if _least_width(table, console) > console.width:
            table.columns = [one for one in table.columns if one.header != heading]
    least = _least_width(table, console)
    if least > console.width:
        table.width = least
    console.print(table, style=style, crop=False)


def _folds_heading(column: Column, console: Console) -> bool:
    return _width(console, *column.cells) <= _LEAST < _width(console, column.header)


def _least_width(table: Table, console: Console) -> int:
    texts = [_width(console, column.header, *column.cells) for column in table.columns if not column.no_wrap]
    return _width(console, table) - sum(max(0, text - _LEAST) for text in texts)


def _width(console: Console, *shown: RenderableType) -> int:
    return measure_renderables(console, console.options.update(width=_PIPED), shown).maximum


class RateColumn(ProgressColumn):
    """The rate since the start of the work.

    The task's field ``unit`` is the unit of the rate, such as ``images/s``; without a unit, no rate is shown. The
    task's field ``earlier`` is the work that an earlier run finished.
    """

    def render(self, task: Task) -> Text:
        """The rate, or nothing in the first seconds."""
        unit, seconds = task.fields.get("unit"), (task.finished_time if task.finished else task.elapsed) or 0.0
        if not unit or seconds < FIRST_RATE_S:
            return Text()
        done = task.completed - task.fields.get("earlier", 0)
        return Text(f"{rate_text(done / seconds)} {unit}", style="cyan")


def rate_text(rate: float) -> str:
    """A rate with a sensible number of digits."""
    return f"{rate:,.0f}" if rate >= _WHOLE else f"{rate:.1f}"
