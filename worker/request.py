"""Requests for ``hangtag label`` and ``hangtag submit``, and their common options."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from models.errors import InputError
from models.options import RegistryOption, ThresholdOption
from models.reference import DEFAULT_REGISTRY

MAX_TIMEOUT_S: Final = 1000.0
"""Longest decode timeout in seconds. Queued chunks have a time limit."""
_QUESTION_NAME: Final = re.compile("[A-Za-z0-9_-]{1,40}")

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="Folder of photos, or a .csv, .tsv, .jsonl, .parquet or .txt file; a path, or an s3:// or http(s):// URL.",
    ),
]
ImageColumnOption = Annotated[
    str | None, typer.Option(help="Column with the photo's path, URL or data URI. Default: detected.")
]
EncodingOption = Annotated[
    str | None,
    typer.Option(help="Encoding of a text catalogue, such as cp1252. Default: from the byte order mark, or UTF-8."),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="HOST:PORT",
        help="Allow photos from this host, even if its address is not public. Repeatable.",
    ),
]

ImageSuffixOption = Annotated[
    str | None, typer.Option(metavar=".jpg", help="Append this extension to paths without an image extension.")
]
HeadersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="NAME: VALUE",
        help="Send this header to hosts of photos, such as 'User-Agent: shop/1.0', but not after a redirect to another "
        "host. Repeatable.",
    ),
]


class Priority(StrEnum):
    """The order of waiting jobs."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """The options of a job, stored in ``job.json``."""

    image_column: ImageColumnOption = None
    image_root: Annotated[
        str | None,
        typer.Option(
            help="Where relative paths start, on each machine: a folder or a URL. Default: the catalogue's folder."
        ),
    ] = None
    image_suffix: ImageSuffixOption = None
    encoding: EncodingOption = None
    group_column: Annotated[
        str | None,
        typer.Option(help="Column of the product, such as sku: photos of one product vote on its label."),
    ] = None
    variant: Annotated[
        str,
        typer.Option(help="The bundle's variant, such as float32. auto: the bundle's default variant."),
    ] = "auto"
    precision: Annotated[
        float | None,
        typer.Option(
            help="Fraction of labeled rows that must be right: 0.90, 0.95, 0.97, 0.98 or 0.99. Default: the model's.",
            show_default=False,
        ),
    ] = None
    threshold: ThresholdOption = None
    fixed_thresholds: Annotated[
        bool,
        typer.Option(
            "--fixed-thresholds",
            help="Keep the model's thresholds, even if the catalogue's mix of classes makes the precision too low.",
        ),
    ] = False
    prefix: Annotated[str, typer.Option(help="Put this before the names of added columns.")] = ""
    top_k: Annotated[int, typer.Option(min=1, help="Number of classes in the column top_k.")] = 3
    excel_safe: Annotated[
        bool,
        typer.Option(
            "--excel-safe",
            help="Write .csv files for spreadsheets, in UTF-8 with a byte order mark and without formulas.",
        ),
    ] = False
    timeout_s: Annotated[
        float,
        typer.Option("--decode-timeout", min=0.1, max=MAX_TIMEOUT_S, help="Seconds for decoding a photo."),
    ] = 10.0
    allow_hosts: AllowHostOption = None
    headers: HeadersOption = field(default=None, repr=False)  # a header may have a password
    per_host: Annotated[
        int | None, typer.Option(min=1, help="Maximum parallel downloads per process and host. Default: 8.")
    ] = None
    registry: RegistryOption = DEFAULT_REGISTRY

    def of_question(self, name: str) -> "JobOptions":
        """The options of the question ``name``, with its column prefix."""
        return replace(self, prefix=f"{self.prefix}{name}_") if name else self


USUAL_OPTIONS: Final = JobOptions()


@dataclass(frozen=True)
class JobRequest:
    """The request for a job: its catalogue, and its model or named models."""

    source: Path | str
    model: Path | str | Mapping[str, Path | str]
    options: JobOptions = USUAL_OPTIONS

    @property
    def models(self) -> Mapping[str, Path | str]:
        """Models by name. A single model has an empty name. Raises InputError."""
        if not isinstance(self.model, Mapping):
            return {"": self.model}
        names = list(self.model)
        valid = all(map(_QUESTION_NAME.fullmatch, names)) and len({name.lower() for name in names}) == len(names)
        if not names or not valid:
            msg = (
                "With several models, expected a different name for each (letters, digits, '_' and '-', at most 40 "
                f"characters), got {', '.join(map(repr, names)) or 'none'}; such as --model category=shop@champion."
            )
            raise InputError(msg)
        return self.model


@dataclass(frozen=True, kw_only=True)
class LabelRequest(JobRequest):
    """A request for ``hangtag label``. The fields are the command's options."""

    output: Path
    previous: Path | None = None
    workers: int | None = None
    restart: bool = False
    retry_failed: bool = False


@dataclass(frozen=True, kw_only=True)
class SubmitRequest(JobRequest):
    """A request for ``hangtag submit``. The fields are the command's options."""

    name: str
    previous: str | None = None
    priority: Priority = Priority.NORMAL
