"""``hangtag export``."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command line."""
    app.command("export")(export_command)


def export_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that hangtag train left.")],
    out: Annotated[Path | None, typer.Option(help="The bundle to make. Default: bundles/<name of the run>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof as JSON instead of a table.")] = False,
) -> None:
    """Convert a run to ONNX and prove that it says what Keras said; nothing is published otherwise.

    Examples:

      hangtag export runs/train/shop

      hangtag export runs/train/shop --out bundles/shop-v2
    """
    from exporter.console import export_and_show

    export_and_show(run, out or Path("bundles") / run.resolve().name, as_json=as_json)
