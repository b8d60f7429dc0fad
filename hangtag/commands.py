"""``hangtag demo``."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this room's command to the one command line."""
    app.command("demo")(demo_command)


def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    photos: Annotated[int, typer.Option(min=200, help="Photos to draw for training.")] = 1000,
    queued: Annotated[
        bool, typer.Option("--queued", help="Label on two Celery workers, fed from a Redis started for it.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Replace a finished demo.")] = False,
) -> None:
    """Show the whole way on a drawn catalogue: photos, training, export, labels, and pages that show them.

    Examples:

      hangtag demo

      hangtag demo --queued

      hangtag demo --out /tmp/demo --photos 600
    """
    from hangtag.demo import run_demo

    run_demo(out, photos, queued=queued, restart=restart)
