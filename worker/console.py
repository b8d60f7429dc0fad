"""How labelling looks on a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from models.errors import StoppedError
from worker.label import LabelRequest, label
from worker.receipt import Receipt
from worker.results import Status

__all__ = ["RateColumn", "label_with_progress", "print_receipt"]

_COLOURS = {Status.LABELED: "green", Status.REVIEW: "yellow", Status.FAILED: "red"}


class RateColumn(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        """The rate over the last seconds."""
        return Text(f"{task.speed or 0:,.0f} images/s", style="cyan")


def label_with_progress(request: LabelRequest, *, as_json: bool) -> Receipt:
    """Run a request with a bar on stderr, then print its receipt on stdout, as a table or as JSON."""
    errors = Console(stderr=True)
    columns = (TextColumn("Labelling"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, refresh_per_second=4, speed_estimate_period=10) as progress:
        task = progress.add_task("label", total=None)
        earlier: list[int] = []

        def show(done: int, total: int) -> None:
            if not earlier:
                earlier.append(done)
                progress.reset(task, total=total, completed=done)
            progress.update(task, completed=done)

        try:
            receipt = label(request, show)
        except KeyboardInterrupt as stopped:
            msg = f"Stopped with {progress.tasks[task].completed:,.0f} rows done; give the same command again to go on."
            raise StoppedError(msg) from stopped
    if as_json:
        print(receipt.model_dump_json(indent=1))
    else:
        print_receipt(receipt, Console())
    if any(earlier):
        errors.print(f"{earlier[0]:,} rows were done by an earlier run.", style="dim")
    return receipt


def print_receipt(receipt: Receipt, console: Console) -> None:
    """Tables of counts by label and by status, then the rate and where the results are."""
    table = Table(title=f"{receipt.rows:,} rows", title_justify="left")
    table.add_column("label")
    table.add_column("rows", justify="right")
    table.add_column("share", justify="right")
    for name, count in receipt.by_label.items():
        table.add_row(escape(name), f"{count:,}", f"{count / receipt.rows:.1%}")
    table.add_section()
    for status, count in receipt.by_status.items():
        table.add_row(Text(status.value, style=_COLOURS[status]), f"{count:,}", f"{count / receipt.rows:.1%}")
    for kind, errors in receipt.errors.items():
        table.add_row(f"  {kind}", f"{errors.count:,}", "", style="dim")
    console.print(table)
    for kind, errors in receipt.errors.items():
        console.print(f"[red]{kind}[/red], row {errors.examples[0].row}: ", Text(errors.examples[0].message), sep="")
    run = receipt.run
    if run.images:
        rate = (
            f"{run.images:,} images in {run.seconds:,.1f} s: {run.images_per_s:,.0f} images/s, {run.workers} processes"
        )
        console.print(rate + (f", {run.restarts} of which had to be replaced" if run.restarts else ""))
    console.print(f"Model: {escape(receipt.model.reference)}", highlight=False)
    console.print(f"Results: [bold]{escape(receipt.output)}[/bold]", highlight=False, soft_wrap=True)
