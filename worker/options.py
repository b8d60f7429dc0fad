"""What ``hangtag label`` and ``hangtag submit`` ask in the same words."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ImageColumnOption",
    "ModelOption",
    "PrecisionOption",
    "PrefixOption",
    "SourceArgument",
    "TimeoutOption",
    "TopKOption",
    "VariantOption",
]

MAX_TIMEOUT_S = 1000.0

SourceArgument = Annotated[
    Path,
    typer.Argument(metavar="INPUT", help="A folder of photos, or a .csv, .tsv, .jsonl, .parquet or .txt file."),
]
ModelOption = Annotated[Path, typer.Option(help="A bundle, or a lone .onnx file that hangtag exported.")]
ImageColumnOption = Annotated[str | None, typer.Option(help="Column with the photo's path. Default: the obvious one.")]
VariantOption = Annotated[str | None, typer.Option(help="Which of the bundle's models. Default: the bundle's own.")]
PrefixOption = Annotated[str, typer.Option(help="Put before the names of the columns that are added.")]
PrecisionOption = Annotated[
    float | None,
    typer.Option(
        help="How often rows without review must be right: 0.90, 0.95, 0.97, 0.98 or 0.99. Default: the model's own.",
        show_default=False,
    ),
]
TopKOption = Annotated[int, typer.Option(min=1, help="How many classes to name in the column top_k.")]
TimeoutOption = Annotated[
    float, typer.Option(min=0.1, max=MAX_TIMEOUT_S, help="Seconds that decoding one photo may take.")
]
