"""Options that commands of several rooms share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ModelOption", "RegistryOption", "ThresholdOption"]

ModelOption = Annotated[
    Path,
    typer.Option(
        metavar="MODEL",
        help="A bundle, a lone .onnx file that hangtag exported, or a model of a registry, as shop@champion or shop@3.",
    ),
]

ThresholdOption = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        help="Label photos that are at least this sure, without a promised precision: above 0, at most 1.",
        show_default=False,
    ),
]

RegistryOption = Annotated[
    str,
    typer.Option(
        envvar="HANGTAG_REGISTRY",
        metavar="DIR",
        help="The registry that names such as shop@champion are looked up in: a folder, or an s3:// URL.",
    ),
]
