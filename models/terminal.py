"""The terminal: the only console that prints, and the rate of every progress bar."""

from collections.abc import Iterator
from typing import IO, Any, Final

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.progress import ProgressColumn, Task
from rich.segment import Segment
from rich.text import Text

from models.text import printable

__all__ = ["FIRST_RATE_S", "Console", "RateColumn", "rate_text"]

FIRST_RATE_S: Final = 3.0
"""Seconds before a rate is shown: earlier ones say more about the start than about the work."""
_WHOLE: Final = 10


class Console(rich.console.Console):  # noqa: TID251 - the only one
    """Rich's console, which never sends escape characters of cells, file names or hosts to the terminal."""

    def __init__(self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None) -> None:
        super().__init__(stderr=stderr, file=file, width=width, emoji=False)

    def say(self, text: str, style: str = "") -> None:
        """Print a line for a person, however long; nothing in it is markup."""
        self.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **settings: Any) -> Text:  # noqa: ANN401 - they are Rich's
        """Rich calls this with every string before measuring it, table cells included."""
        return super().render_str(printable(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Rich calls this with everything else, such as a ``Text`` or a bar."""
        for segment in super().render(renderable, options):
            safe = segment.control or segment.text.isprintable()
            yield segment if safe else Segment(printable(segment.text), segment.style)


class RateColumn(ProgressColumn):
    """The rate since the start of the work, as the summary gives it afterwards.

    A task's field ``unit``, such as ``images/s``, is that of its rate; a task without it shows none. Its field
    ``earlier`` is how much was done before the work began.
    """

    def render(self, task: Task) -> Text:
        """Nothing in the first seconds."""
        unit, seconds = task.fields.get("unit"), (task.finished_time if task.finished else task.elapsed) or 0.0
        if not unit or seconds < FIRST_RATE_S:
            return Text()
        done = task.completed - task.fields.get("earlier", 0)
        return Text(f"{rate_text(done / seconds)} {unit}", style="cyan")


def rate_text(rate: float) -> str:
    """A rate with as many digits as mean something."""
    return f"{rate:,.0f}" if rate >= _WHOLE else f"{rate:.1f}"
