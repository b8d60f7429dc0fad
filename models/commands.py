"""``hangtag classify``."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command line."""
    app.command("classify")(classify_command)


def classify_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Photos to label.")],
    model: Annotated[Path, typer.Option(help="A bundle, or a lone .onnx file that hangtag exported.")],
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    variant: Annotated[
        str | None, typer.Option(help="Which of the bundle's models. Default: the bundle's own.")
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="How often photos that need no review must be right, as in 0.98. Default: the model's own."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Label a few photos.

    Exit status 1 when a photo could not be read; the others are labelled all the same.

    Examples:

      hangtag classify shoe.jpg --model bundles/shop

      hangtag classify *.jpg --model bundles/shop --json --top-k 1

      hangtag classify shoe.jpg --model bundles/shop --precision 0.98
    """
    from models.console import classify_and_show

    raise typer.Exit(classify_and_show(images, model, variant, top_k, precision=precision, as_json=as_json))
