"""Shows an export on a terminal: progress, then the proof as tables."""

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from exporter.options import check_place, load_tensorflow
from models.errors import StoppedError
from models.terminal import Console
from pages.render import add_links

if TYPE_CHECKING:
    from exporter.export import ExportResult
    from exporter.options import Advance, ExportOptions
    from exporter.proof import Proof
    from exporter.variant import Int8Facts, MadeVariant

_TOO_FEW: Final = "[yellow]?[/yellow]"


def export_and_show(run: Path, place: Path, options: "ExportOptions", *, as_json: bool) -> None:
    """Export a run, and show progress on stderr. Prints the proof on stdout, even if a comparison failed."""
    from exporter.training_run import read_training_run

    check_place(place)
    read_training_run(run)
    with Console(stderr=True).status("Loading TensorFlow"):
        load_tensorflow()  # must run before another module imports TensorFlow
    from exporter.export import export_run
    from exporter.proof import DisprovedError

    try:
        with _progress() as advance:
            result = export_run(run, place, options, advance)
        add_links(run / "report.html", {"Bundle": place / "README.md"})
    except DisprovedError as error:
        if as_json:
            print(json.dumps({"bundle": None, **error.proof.as_json()}, indent=1))
        else:
            print_proof(error.proof, Console())
        raise
    except KeyboardInterrupt as error:
        msg = "Stopped; nothing was published."
        raise StoppedError(msg) from error
    if as_json:
        bundle = {"bundle": str(result.bundle), "sha256": result.digest, "bytes": result.sizes}
        print(json.dumps({**bundle, **result.proof.as_json()}, indent=1))
    else:
        _show(result, place)


@contextmanager
def _progress() -> Iterator["Advance"]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as progress:
        task = progress.add_task("", total=None)
        shown = set()

        def advance(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total if total > 1 else None)
            if progress.disable and what not in shown:
                shown.add(what)
                console.say(f"{what} …", "dim")

        yield advance


def _show(result: "ExportResult", place: Path) -> None:
    console = Console()
    print_proof(result.proof, console)
    sizes = ", ".join(f"{escape(name)} {size / 1e6:.1f} MB" for name, size in result.sizes.items())
    console.print(f"Bundle: [bold]{escape(str(place))}[/bold] ({sizes})", highlight=False)
    console.print(f"SHA-256 {result.digest}", highlight=False, soft_wrap=True)
    label = f"Next: hangtag label PHOTOS --model {shlex.quote(str(place))} --out labels.parquet"
    console.say(label, "dim")


def print_proof(proof: "Proof", console: Console) -> None:
    """Print the results of the comparisons."""
    console.print(_keras(proof))
    for change, count in proof.flips_by_class(proof.many).items():
        console.print(f"  {escape(change)}: {count}", highlight=False)
    int8 = proof.variants[1] if proof.variants[1:] else None
    if int8 and int8.facts:
        console.print(_int8(int8.facts))
    if any(variant.edge_parity for variant in proof.variants):
        console.print(_edges(proof.variants))
    if proof.default and int8:
        (other,) = (one.name for one in proof.variants if one.name != proof.default.name)
        reason = f"{escape(proof.default.because)}. Use --variant {other} for the other variant."
        console.print(f"[green]{proof.default.name} is the default:[/green] {reason}", highlight=False)
    if proof.refusal:
        console.print(f"[yellow]int8 was left out:[/yellow] {escape(proof.refusal.reason)}.", highlight=False)


def _keras(proof: "Proof") -> Table:
    headings = ("photos", "largest\ndifference", "decisions\nchanged", "near-ties")
    caption = f"The bundle contains {proof.golden} of these photos as golden samples."
    table = _table("ONNX Runtime against Keras", caption, *headings)
    for name, parity in (("batches", proof.many), ("one by one", proof.one)):
        figures = (f"{parity.largest:.1e}", str(len(parity.flips)), str(parity.near_ties))
        mark = _mark(passed=parity.probabilities_passed)
        table.add_row(f"probabilities, {name}", f"{parity.photos:,}", *figures, mark)
        if unknown := parity.unknown:
            figures = (f"{unknown.largest:.1%}", str(unknown.crossed), str(unknown.near_limit))
            mark = _mark(passed=unknown.passed)
            table.add_row(f"out-of-distribution score, {name}", f"{parity.photos:,}", *figures, mark)
    return table


def _int8(facts: "Int8Facts") -> Table:
    headings = ("accuracy", "points\nlost", "95%", "same\nlabels", "times as fast\n(with decoding)")
    caption = "Speed on one thread, as a multiple of float32's."
    cost, (low, high) = facts.cost, facts.cost.points_95
    mark = _mark(passed=True)
    if not cost.is_telling:
        caption, mark = f"{caption}\n{_TOO_FEW}: too few photos to measure the lost accuracy.", _TOO_FEW
    table = _table("int8 against float32", caption, *headings)
    table.add_row("float32", f"{cost.reference:.3f}")
    points = (f"{cost.accuracy:.3f}", f"{cost.points:.2f}", f"{low:.2f} to {high:.2f}", f"{cost.agreement:.1%}")
    whole = "" if facts.whole_gain is None else f" ({facts.whole_gain:.2f})"
    table.add_row("int8", *points, f"{facts.gain:.2f}{whole}", mark)
    return table


def _edges(variants: Sequence["MadeVariant"]) -> Table:
    decode = variants[0].metadata.preprocess.decode
    headings = (
        "labels as\nin full",
        f"as in\n{decode}",
        f"sure, as\nin {decode}",
        "correct",
        f"points lost\nto {decode}",
    )
    photos = max(edge.photos for variant in variants if (edge := variant.edge_parity))
    title = f"Edge graphs against their models on {photos:,} photos,\ndecoded in full and as in training"
    caption = "Sure: photos that need no review.\nA loss is refused if it exceeds --max-drop with 95% confidence."
    table = _table(title, caption, *headings)
    for variant in variants:
        if edge := variant.edge_parity:
            sure = f"{edge.sure_agreement:.1%}" if edge.sure else "–"
            correct, lost = "–", "–"
            if edge.cost is not None:
                low, high = edge.cost.points_95
                correct, lost = f"{edge.cost.accuracy:.3f}", f"{edge.cost.points:.1f}\n{low:.1f} to {high:.1f}"
            figures = (f"{edge.agreement:.1%}", f"{edge.own_agreement:.1%}", sure, correct, lost)
            table.add_row(variant.file("edge"), *figures, _mark(passed=edge.passed))
    return table


def _table(title: str, caption: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for heading in ("", *headings, ""):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    return table


def _mark(*, passed: bool) -> str:
    return "[green]✓[/green]" if passed else "[red]✗[/red]"
