"""How an export looks on a terminal."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from exporter.load_tensorflow import load_tensorflow

__all__ = ["export_and_show"]


def export_and_show(run: Path, place: Path, *, as_json: bool) -> None:
    """Export with a spinner on stderr, then show the proof on stdout."""
    from exporter.publish import check_free
    from exporter.training_run import read_training_run

    check_free(place)
    read_training_run(run)
    with Console(stderr=True).status("Loading TensorFlow"):
        load_tensorflow()
    from exporter.export import export_run
    from exporter.parity import Parity

    with Console(stderr=True).status("Converting and comparing with Keras"):
        result = export_run(run, place)
    if as_json:
        print(json.dumps({**asdict(result), "bundle": str(result.bundle)}, indent=1))
        return
    table = Table(title="ONNX Runtime against Keras", title_justify="left")
    for heading in ("", "photos", "largest difference", "decisions changed", "near-ties", ""):
        table.add_column(heading, justify="right" if heading else "left")

    def add(name: str, parity: Parity) -> None:
        figures = (f"{parity.photos:,}", f"{parity.largest:.1e}", str(len(parity.flips)), str(len(parity.near_ties)))
        table.add_row(f"probabilities, {name}", *figures, "[green]✓[/green]")
        if parity.unknown:
            unknown = parity.unknown
            sides = (str(len(unknown.crossed)), str(len(unknown.near_limit)))
            largest = f"{unknown.largest:.1e} of it"
            table.add_row(f"unknown score, {name}", f"{parity.photos:,}", largest, *sides, "[green]✓[/green]")

    add("in batches", result.many)
    add("one by one", result.one)
    table.add_row("golden samples", str(result.golden), "", "", "", "[green]✓[/green]")
    console = Console()
    console.print(table)
    shown = escape(str(place))
    console.print(f"Bundle: [bold]{shown}[/bold] ({result.model_bytes / 1e6:.1f} MB model)", highlight=False)
    console.print(
        f"Next: hangtag label PHOTOS --model {escape(shlex.quote(str(place)))} --output labels.parquet",
        highlight=False,
        style="dim",
    )
