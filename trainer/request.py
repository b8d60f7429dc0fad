"""The choices of a training, and how labelled photos are found in a table; loads neither numpy nor TensorFlow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

import typer

from models.errors import InputError
from worker.request import AllowHostOption

TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
"""Endings of files that labelled photos are read from."""
_PARTS: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class Arch(StrEnum):
    """A network that can be trained.

    ``cnn`` is our efficient one; ``simple`` is the classic recipe of three convolution blocks. The others are families
    of ``keras.applications``, which can start from what they learned on ImageNet.
    """

    CNN = "cnn"
    SIMPLE = "simple"
    MOBILENET = "mobilenet"
    MOBILENET_V2 = "mobilenet_v2"
    MOBILENET_V3_SMALL = "mobilenet_v3_small"
    MOBILENET_V3_LARGE = "mobilenet_v3_large"
    EFFICIENTNET_V2_B0 = "efficientnet_v2_b0"
    RESNET50_V2 = "resnet50_v2"

    @property
    def is_transfer(self) -> bool:
        """Whether the architecture has ImageNet weights to start from."""
        return self not in {Arch.CNN, Arch.SIMPLE}

    @property
    def alphas(self) -> tuple[float, ...]:
        """The width multipliers that have ImageNet weights; empty if the architecture has one width only."""
        return _ALPHAS.get(self, ())

    @property
    def min_size(self) -> int:
        """The smallest side of the input, in pixels."""
        return 32 if self.is_transfer else 16


_ALPHAS: Final[Mapping[Arch, tuple[float, ...]]] = MappingProxyType(
    {
        Arch.MOBILENET: (0.25, 0.5, 0.75, 1.0),
        Arch.MOBILENET_V2: (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        Arch.MOBILENET_V3_SMALL: (0.75, 1.0),
        Arch.MOBILENET_V3_LARGE: (0.75, 1.0),
    }
)


class Preset(StrEnum):
    """How much a network may cost: it decides architecture, side of the input and length of the training."""

    QUICK = "quick"
    GOOD = "good"
    BEST = "best"


class Balance(StrEnum):
    """How classes of different sizes are balanced.

    ``none``: every photo counts the same. ``weights``: the loss of a photo counts more, the rarer its class.
    """

    NONE = "none"
    WEIGHTS = "weights"


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``90s``, ``10m`` or ``1h30m``; InputError if it is not one."""
    match = _PARTS.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        msg = f"Expected a time such as 90s, 10m or 1h30m, got {text!r}."
        raise InputError(msg)
    return float(total)


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How labelled photos are found in a table; what is None, Hangtag chooses."""

    image_column: Annotated[
        str | None,
        typer.Option(help="Of a table: column with the photo's path, URL or data URI. Default: the obvious one."),
    ] = None
    label_column: Annotated[
        str | None,
        typer.Option(help="Of a table: column with the label; rows without one are left out. Default: label."),
    ] = None
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Of a table: column that says which photos are of one product, such as sku; they stay in one split. "
            "Default: group, if there is one."
        ),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Of a table: only rows with this value in that column. May be given again; rows must meet all "
            "conditions.",
        ),
    ] = None
    image_root: Annotated[
        str | None,
        typer.Option(help="Of a table: folder or URL where relative paths start. Default: the table's own folder."),
    ] = None
    encoding: Annotated[
        str | None, typer.Option(help="Of a table: encoding of a text file, such as cp1252. Default: UTF-8.")
    ] = None
    allow_hosts: AllowHostOption = None


USUAL_COLUMNS: Final = TableOptions()
"""The options of a table if no column is named."""
