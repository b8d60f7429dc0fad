"""What ``hangtag label`` and ``hangtag submit`` ask in the same words."""

from typing import Annotated

import typer

__all__ = [
    "AllowHostOption",
    "AllowUnsizedOption",
    "DownloadTimeoutOption",
    "EncodingOption",
    "GroupColumnOption",
    "ImageColumnOption",
    "PerHostOption",
    "PrecisionOption",
    "PrefixOption",
    "SourceArgument",
    "TimeoutOption",
    "TopKOption",
    "VariantOption",
]

MAX_TIMEOUT_S = 1000.0
MAX_DOWNLOAD_S = 3600.0
"""Within the time limit of a chunk on the queue, one after another too."""

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="Folder of photos, or a .csv, .tsv, .jsonl, .parquet or .txt file; a path, or an s3:// or http(s):// URL.",
    ),
]
ImageColumnOption = Annotated[
    str | None, typer.Option(help="Column with the photo's path, URL or data URI. Default: the obvious one.")
]
EncodingOption = Annotated[
    str | None,
    typer.Option(help="Encoding of a text catalogue, such as cp1252. Default: UTF-8, or what its first bytes say."),
]
GroupColumnOption = Annotated[
    str | None,
    typer.Option(help="Column that says which photos are of one product, such as sku; adds a vote for each product."),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="HOST:PORT",
        help="Fetch photos from this host too, though its address is not public. May be given again.",
    ),
]
AllowUnsizedOption = Annotated[
    bool,
    typer.Option(
        "--allow-unsized",
        help="Take a catalogue from a URL even if its host does not say how long it is. It may then be cut short.",
    ),
]
PerHostOption = Annotated[
    int | None, typer.Option(min=1, help="Downloads from one host at once, of each process. Default: 8.")
]
DownloadTimeoutOption = Annotated[
    float | None,
    typer.Option(
        min=0.1, max=MAX_DOWNLOAD_S, help="Seconds that one photo's download may take, tries included. Default: 60."
    ),
]
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
