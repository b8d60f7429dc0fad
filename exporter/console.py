"""How an export looks on a terminal."""

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from exporter.load_tensorflow import load_tensorflow
from models.errors import StoppedError
from models.terminal import Console

if TYPE_CHECKING:
    from exporter.export import ExportResult
    from exporter.options import ExportOptions

__all__ = ["export_and_show"]


def export_and_show(run: Path, place: Path, options: "ExportOptions", *, as_json: bool) -> None:
    """Export with progress on stderr, then show the proof on stdout; also of what was not published."""
    from exporter.publish import check_place
    from exporter.training_run import read_training_run

    check_place(place)
    read_training_run(run)
    with Console(stderr=True).status("Loading TensorFlow"):
        load_tensorflow()
    from exporter.export import export_run
    from exporter.proof import DisprovedError
    from exporter.proof_table import print_proof

    try:
        with _progress() as view:
            result = export_run(run, place, options, view)
    except DisprovedError as error:
        if as_json:
            print(json.dumps({"bundle": None, **error.proof.as_json(error.labels)}, indent=1))
        else:
            print_proof(error.proof, error.labels, Console())
        raise
    except KeyboardInterrupt as error:
        msg = "Stopped; nothing was published."
        raise StoppedError(msg) from error
    _show(result, place, as_json=as_json)


def _show(result: "ExportResult", place: Path, *, as_json: bool) -> None:
    from exporter.proof_table import print_proof

    if as_json:
        shown = {
            "bundle": str(result.bundle),
            "sha256": result.digest,
            "bytes": result.sizes,
            **result.proof.as_json(result.labels),
        }
        print(json.dumps(shown, indent=1))
        return
    console = Console()
    print_proof(result.proof, result.labels, console)
    console.print(f"Bundle: [bold]{escape(str(place))}[/bold] ({_sizes(result.sizes)})", highlight=False)
    console.print(f"SHA-256 {result.digest}", highlight=False, soft_wrap=True)
    for line in _next(result, shlex.quote(str(place))):
        console.print(escape(line), highlight=False, style="dim")


def _sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{escape(name)} {size / 1e6:.1f} MB" for name, size in sizes.items())


def _next(result: "ExportResult", place: str) -> Sequence[str]:
    label = f"Next: hangtag label PHOTOS --model {place} --output labels.parquet"
    int8 = next((variant for variant in result.proof.variants if variant.name == "int8"), None)
    return [label, f"      with --variant int8 it is {int8.pace}"] if int8 else [label]


class _View:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def advance(self, what: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=what, completed=done, total=total if total > 1 else None)


@contextmanager
def _progress() -> Iterator[_View]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _View(progress)
