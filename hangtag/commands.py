"""``hangtag demo``."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this package's command to the command line."""
    app.command("demo")(demo_command)


def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for all files of the demo.")] = Path("demo"),
    photos: Annotated[int, typer.Option(min=200, help="Number of synthetic training photos.")] = 1000,
    queued: Annotated[
        bool,
        typer.Option("--queued", help="Label with two Celery workers and a Redis server, both started by the demo."),
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Replace a finished demo.")] = False,
) -> None:
    """Run all steps on synthetic photos: training, export and labelling.

    Examples:

      hangtag demo

      hangtag demo --queued

      hangtag demo --out /tmp/demo --photos 600
    """
    from hangtag.demo import run_demo

    run_demo(out, photos, queued=queued, restart=restart)
