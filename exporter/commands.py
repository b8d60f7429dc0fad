"""``hangtag export``."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this package's command to the command line."""
    app.command("export")(export_command)


def export_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run, written by hangtag train.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder of the new bundle. Default: bundles/<name of the run>.")
    ] = None,
    int8: Annotated[
        bool, typer.Option(help="Also make an 8-bit integer model, if it loses almost no accuracy and is faster.")
    ] = True,
    edge: Annotated[
        bool,
        typer.Option(
            "--edge", help="Also make models that accept a photo of any size, for phones, browsers and tills."
        ),
    ] = False,
    max_drop: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=100.0,
            help="Points of accuracy that int8 may lose. An edge graph is refused if its loss exceeds this limit with "
            "95% confidence.",
        ),
    ] = 0.5,
    default_variant: Annotated[
        str,
        typer.Option(
            metavar="auto|float32|int8",
            help="The model for jobs that do not choose a variant. auto: int8 if it is as good as float32 and faster "
            "on this machine.",
        ),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof as JSON instead of tables.")] = False,
) -> Path:
    """Convert a training run to an ONNX bundle, and publish the bundle if ONNX Runtime and Keras agree.

    Exit status 1 if ONNX Runtime and Keras disagree. An int8 model that loses too much accuracy or is not faster on
    this machine is left out.

    Examples:

      For servers, with int8 if it is good enough:

        hangtag export runs/train/shop

      For phones and browsers, with a model that takes a photo of any size:

        hangtag export runs/train/shop --edge --out bundles/shop-v2

      With an int8 model that may lose a point of accuracy:

        hangtag export runs/train/shop --max-drop 1
    """
    from exporter.console import export_and_show
    from exporter.options import ExportOptions

    options = ExportOptions(int8=int8, edge=edge, max_drop=max_drop, default_variant=default_variant)
    place = out or Path("bundles") / run.resolve().name
    export_and_show(run, place, options, as_json=as_json)
    return place
