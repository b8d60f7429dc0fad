"""The options that commands which label a catalogue share; a command's help loads nothing else."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from models.options import RegistryOption, ThresholdOption
from models.reference import DEFAULT_REGISTRY, models_given

if TYPE_CHECKING:
    from worker.request import JobRequest

Request = TypeVar("Request", bound="JobRequest")

MAX_TIMEOUT_S = 1000.0
MAX_DOWNLOAD_S = 3600.0
"""Seconds; low enough that a queued chunk ends within its time limit even if every photo takes that long."""

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
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="HOST:PORT",
        help="Fetch photos from this host, too, even if its address is not public. May be given again.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """The options of ``hangtag label``, ``submit`` and ``watch``, as a person gave them."""

    image_column: ImageColumnOption = None
    image_root: Annotated[
        str | None,
        typer.Option(
            help="Where relative paths start, on each machine: a folder or a URL. Default: the catalogue's folder."
        ),
    ] = None
    encoding: EncodingOption = None
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Column that says which photos are of one product, such as sku; adds a vote for each product."
        ),
    ] = None
    variant: Annotated[
        str,
        typer.Option(
            help="Which of the bundle's models, such as float32. auto: the bundle's default; float32 if that variant "
            "disagrees with its golden samples."
        ),
    ] = "auto"
    precision: Annotated[
        float | None,
        typer.Option(
            help="How often rows without review must be right: 0.90, 0.95, 0.97, 0.98 or 0.99. Default: the model's.",
            show_default=False,
        ),
    ] = None
    threshold: ThresholdOption = None
    prefix: Annotated[str, typer.Option(help="A text before the names of all columns that are added.")] = ""
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to name in the column top_k.")] = 3
    timeout: Annotated[
        float,
        typer.Option(
            "--decode-timeout",
            "--timeout",
            min=0.1,
            max=MAX_TIMEOUT_S,
            help="Seconds that decoding one photo may take.",
        ),
    ] = 10.0
    allow_host: AllowHostOption = None
    allow_unsized: Annotated[
        bool,
        typer.Option(
            "--allow-unsized",
            help="Take a catalogue from a URL even if its host does not say how long it is. It may then be cut short.",
        ),
    ] = False
    per_host: Annotated[
        int | None, typer.Option(min=1, help="Downloads from one host at a time, for each process. Default: 8.")
    ] = None
    download_timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=MAX_DOWNLOAD_S,
            help="Seconds that one photo's download may take, with all tries. Default: 60.",
        ),
    ] = None
    registry: RegistryOption = DEFAULT_REGISTRY

    def request(
        self,
        kind: type[Request],
        source: str,
        model: list[str],
        *,
        excel_safe: bool = False,
        **own: Any,  # noqa: ANN401 - each is a field of the kind
    ) -> Request:
        """The request of this kind that the options make; ``own`` are the fields that the kind alone has."""
        from worker.job.spec import JobOptions

        options = JobOptions(
            prefix=self.prefix,
            top_k=self.top_k,
            timeout_s=self.timeout,
            precision=self.precision,
            threshold=self.threshold,
            group_column=self.group_column,
            allow_hosts=tuple(self.allow_host) if self.allow_host else None,
            download_timeout_s=self.download_timeout,
            excel_safe=excel_safe or None,
        )
        return kind(
            source=source,
            model=models_given(model),
            options=options,
            variant=self.variant,
            image_column=self.image_column,
            image_root=self.image_root,
            encoding=self.encoding,
            allow_unsized=self.allow_unsized,
            per_host=self.per_host,
            registry=self.registry,
            **own,
        )
