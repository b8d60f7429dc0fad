"""The options of ``hangtag train``, parsed into a training request.

Imports neither NumPy nor TensorFlow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

import typer
from pydantic import BaseModel, ConfigDict, Field

from models.errors import InputError
from models.fit import Decode, Fit
from worker.request import AllowHostOption, HeadersOption, ImageSuffixOption

TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
MAX_SEED: Final = 2**31 - 1
_MOST_FOLDS: Final = 10
DATA_HELP: Final = (
    "A folder with a folder for each class, optionally inside train, val and test. Or a table (.csv, .tsv, .jsonl, "
    ".parquet) with the columns image, label and, optionally, split and group (product). Options name other columns."
)
_PARTS: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class Arch(StrEnum):
    """A network that can be trained.

    ``cnn`` is Hangtag's own network. ``simple`` is the textbook network of three convolution blocks. EfficientNet-Lite
    and families of ``keras.applications`` can start from ImageNet weights.
    """

    CNN = "cnn"
    SIMPLE = "simple"
    EFFICIENTNET_LITE0 = "efficientnet_lite0"
    EFFICIENTNET_LITE1 = "efficientnet_lite1"
    EFFICIENTNET_LITE2 = "efficientnet_lite2"
    MOBILENET = "mobilenet"
    MOBILENET_V2 = "mobilenet_v2"
    MOBILENET_V3_SMALL = "mobilenet_v3_small"
    MOBILENET_V3_LARGE = "mobilenet_v3_large"
    EFFICIENTNET_V2_B0 = "efficientnet_v2_b0"
    RESNET50_V2 = "resnet50_v2"

    @property
    def is_transfer(self) -> bool:
        """Whether the architecture has ImageNet weights."""
        return self not in {Arch.CNN, Arch.SIMPLE}

    @property
    def is_lite(self) -> bool:
        """Whether the architecture is an EfficientNet-Lite."""
        return self in {Arch.EFFICIENTNET_LITE0, Arch.EFFICIENTNET_LITE1, Arch.EFFICIENTNET_LITE2}

    @property
    def alphas(self) -> tuple[float, ...]:
        """The width multipliers that have ImageNet weights. Empty if the width is fixed."""
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
    """Fast training or high accuracy. Sets the default architecture, input size and number of epochs."""

    QUICK = "quick"
    GOOD = "good"
    BEST = "best"


class Balance(StrEnum):
    """How to balance classes of different sizes.

    ``none``: all photos have equal weights. ``weights``: photos of rare classes have larger weights in the loss.
    """

    NONE = "none"
    WEIGHTS = "weights"


def parse_duration(text: str) -> float:
    """Convert a duration such as ``90s``, ``10m`` or ``1h30m`` to seconds. Raises InputError if the text is invalid."""
    match = _PARTS.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        msg = f"Expected a time such as 90s, 10m or 1h30m, got {text!r}."
        raise InputError(msg)
    return float(total)


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Which columns and rows of a table to read. If a column is None, Hangtag chooses it."""

    image_column: Annotated[
        str | None,
        typer.Option(help="In a table: column with the photo's path, URL or data URI. Default: the obvious column."),
    ] = None
    label_column: Annotated[
        str | None,
        typer.Option(help="In a table: column with the label. Rows without a label are left out. Default: label."),
    ] = None
    group_column: Annotated[
        str | None,
        typer.Option(
            help="In a table: column that identifies the product, such as sku. All photos of a product are in "
            "one split. Default: the column group, if any."
        ),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="In a table: use only rows with this value in this column. If the option is repeated, rows must meet "
            "all conditions.",
        ),
    ] = None
    image_root: Annotated[
        str | None,
        typer.Option(help="In a table: folder or URL where relative paths start. Default: the table's folder."),
    ] = None
    image_suffix: ImageSuffixOption = None
    encoding: Annotated[
        str | None, typer.Option(help="In a table: encoding of a text file, such as cp1252. Default: UTF-8.")
    ] = None
    allow_hosts: AllowHostOption = None
    # exclude HTTP headers, which may contain passwords
    headers: Annotated[HeadersOption, Field(exclude=True)] = field(default=None, repr=False)


USUAL_COLUMNS: Final = TableOptions()
"""The default options: Hangtag chooses all columns."""


def _parse_name(text: str) -> str:
    if Path(text).name != text:
        msg = f"expected a name, got the path {text}; use --out to choose the folder of the runs"
        raise typer.BadParameter(msg)
    return text


def _parse_folds(text: str) -> int:
    if not text.isdecimal() or int(text) == 1 or int(text) > _MOST_FOLDS:
        msg = f"expected 0 (none) or 2 to {_MOST_FOLDS}, got {text}"
        raise typer.BadParameter(msg)
    return int(text)


class TrainOptions(BaseModel):
    """The options of ``hangtag train``. If an option is None, Hangtag chooses its value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str | None,
        typer.Option(
            parser=_parse_name,
            metavar="TEXT",
            help="Name of the run. Default: the name of the data. If --arch is given, it is added.",
        ),
    ] = None
    arch: Annotated[
        Arch | None,
        typer.Option(
            metavar="ARCH",
            help="cnn: Hangtag's own network, with random weights. simple: three convolution blocks. Pretrained "
            f"on ImageNet: {', '.join(arch for arch in Arch if arch.is_transfer)}. Default: the preset's "
            "EfficientNet-Lite.",
        ),
    ] = None
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="Fast training or high accuracy. Sets the default of --arch, --image-size and --epochs. Default: good."
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|FILE",
            help="Initial weights. A file also decides the architecture. If --arch is not given, HANGTAG_WEIGHTS can "
            "name the file. Default: imagenet if the architecture has such weights, otherwise none (random).",
        ),
    ] = None
    image_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=1024, help="Side of the network's input, in pixels. Default: 96 to 260 px, set by --preset."
        ),
    ] = None
    fit: Annotated[
        Fit | None,
        typer.Option(
            help="How to make photos square; pad adds white. Default: stretch if nearly all photos have the "
            "same non-square shape, otherwise pad."
        ),
    ] = None
    decode: Annotated[Decode, typer.Option(help="dct: scale JPEGs during decoding, which is much faster.")] = Decode.DCT
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Passes over the training photos; 0: train only a head on pretrained features. Default: the "
            "network's recipe.",
        ),
    ] = None
    time_limit_s: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            parser=parse_duration,
            metavar="TIME",
            help="Plan the training, with its report, to end within this time, such as 10m or 1h30m.",
        ),
    ] = None
    batch: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Photos per step. Default: the network's recipe.")
    ] = None
    balance: Annotated[
        Balance | None,
        typer.Option(
            help="weights: photos of rare classes get larger weights. Default: weights if the largest class has more "
            "than 3 times the photos of the smallest, otherwise none."
        ),
    ] = None
    folds: Annotated[
        int | None,
        typer.Option(
            parser=_parse_folds,
            metavar="0|2-10",
            help="Number of folds, to prove thresholds on more photos. Each fold trains one more network, for a "
            "third of the epochs, or for all epochs with fewer than 1,500 photos. Default: 5 for a head or fewer than "
            "1,500 photos, 2 for fewer than 1,500 validation photos, otherwise 0. The default is also 0 for random "
            "weights with fewer than 12 epochs.",
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Random seed of the splits and the training.")] = 0
    splits: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="splits.csv of an earlier run, whose photos stay in their splits."),
    ] = None
    fix_leaks: Annotated[
        bool,
        typer.Option(
            "--fix-leaks", help="Leave out photos whose picture or product is also in a later split (train, val, test)."
        ),
    ] = False
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The tree of labels, as a CSV with the columns label and parent. A photo gets the most specific "
            "label with enough confidence. Default: the tree given by labels such as 'shoes > boots'.",
        ),
    ] = None


class TrainRequest(TrainOptions):
    """The options and the data of a training, and the settings of a retraining.

    Attributes:
        table: which columns and rows to read, if ``data`` is a table.
        parents: the parent of each label in the tree, empty for a top label.
        alpha: width multiplier of the network. None: the weights file decides.
        fold_weights: initial weights of the folds (``imagenet``, ``none`` or a file). Set if ``weights`` may have been
            trained on these photos.
    """

    data: Path
    table: TableOptions = USUAL_COLUMNS
    parents: Mapping[str, str] | None = None
    alpha: float | None = None
    fold_weights: str | None = None


_SIGNATURES: Final = (b"PK", b"\x89HDF", b"\x80\x02\x8a")
"""First bytes of a ``.keras`` or ``.pth`` file, of an HDF5 file, and of an old ``.pth`` file."""
TORCH_SUFFIXES: Final = frozenset({".pth", ".pt"})


class NamedWeights(StrEnum):
    """Values of ``--weights`` that are not paths."""

    IMAGENET = "imagenet"
    NONE = "none"


Weights: TypeAlias = NamedWeights | Path


def parse_weights(text: str) -> Weights:
    """Parse ``--weights``. Raises InputError for any text except a known name or the path of a weights file.

    For a file with the name ``imagenet``, write ``./imagenet``.
    """
    if text in set(NamedWeights):
        return NamedWeights(text)
    path = Path(text)
    if path.is_dir():
        msg = f"Expected a file of weights, but {path} is a folder; for a run, pass its weights/best.keras."
        raise InputError(msg)
    if not path.is_file():
        msg = f"Expected imagenet, none or a file of weights, got {text}, which does not exist."
        raise InputError(msg)
    with path.open("rb") as file:
        if not file.read(8).startswith(_SIGNATURES):
            msg = (
                f"Expected a file of weights (HDF5, .keras or .pth), but {path} is damaged or another kind of file; "
                "get it again."
            )
            raise InputError(msg)
    return path


def default_weights(arch: Arch) -> NamedWeights:
    """An architecture's default weights: ImageNet weights, if published."""
    return NamedWeights.IMAGENET if arch.is_transfer else NamedWeights.NONE


@dataclass(frozen=True)
class NetworkChoice:
    """A network to build. Raises InputError if its fields do not fit together. ``alpha``: width, 1 by default."""

    arch: Arch
    size: int
    weights: Weights
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.size < self.arch.min_size:
            msg = f"{self.arch} needs {self.arch.min_size} px or more, got {self.size}; pass a larger --image-size."
            raise InputError(msg)
        if self.weights is NamedWeights.IMAGENET and not self.arch.is_transfer:
            having = ", ".join(other for other in Arch if other.is_transfer)
            msg = f"{self.arch} has no ImageNet weights; leave --weights out, or choose one of {having}."
            raise InputError(msg)
        if self.weights is NamedWeights.NONE and self.arch.is_lite:
            msg = (
                f"{self.arch} has no batch norms, so it cannot start from random weights; leave out --weights "
                "none, or pass --arch cnn."
            )
            raise InputError(msg)
        if isinstance(self.weights, Path) and not self.arch.is_transfer and self.weights.suffix != ".keras":
            msg = f"{self.arch} starts only from a .keras file, such as a run's weights/best.keras, got {self.weights}."
            raise InputError(msg)
        if isinstance(self.weights, Path) and not self.arch.is_lite and self.weights.suffix in TORCH_SUFFIXES:
            having = ", ".join(other for other in Arch if other.is_lite)
            msg = f"{self.arch} starts from a Keras file, got {self.weights}; PyTorch files are for {having}."
            raise InputError(msg)

    @property
    def has_pretrained_body(self) -> bool:
        """Whether the network starts from pretrained weights, not from a ``.keras`` file."""
        of_run = isinstance(self.weights, Path) and self.weights.suffix == ".keras"
        return self.arch.is_transfer and self.weights is not NamedWeights.NONE and not of_run

    @property
    def width(self) -> float:
        """The width multiplier. 1 if the width is fixed."""
        return 1.0 if self.alpha is None else self.alpha

    def __str__(self) -> str:
        return f"{self.arch} of width {self.width:g}" if self.arch.alphas else str(self.arch)
