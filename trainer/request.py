"""What a person can ask of ``hangtag train``; loads neither numpy nor TensorFlow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from models.errors import InputError

if TYPE_CHECKING:
    from models.preprocess import PreprocessSpec

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
    VGG16 = "vgg16"
    CONVNEXT_TINY = "convnext_tiny"

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

    @property
    def min_exported_size(self) -> int:
        """The smallest side of an input that the network can be exported with.

        Of a smaller photo, the last maps of ConvNeXt are one pixel: tf2onnx converts the norms of such maps wrongly.
        """
        return 64 if self is Arch.CONVNEXT_TINY else self.min_size


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


@dataclass(frozen=True)
class NetworkOptions:
    """What a person asks of a network; what is None, Hangtag chooses.

    Attributes:
        weights: what it begins with: ``imagenet``, ``none`` (random ones) or a file.
        alpha: its width; an InputError without ``arch``.
        size: side of its input in pixels.
        place: a file of weights, or a folder of such, to look for where ``arch`` is None (``HANGTAG_WEIGHTS``).
    """

    arch: Arch | None = None
    preset: Preset | None = None
    weights: str | None = None
    alpha: float | None = None
    size: int | None = None
    place: Path | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and self.arch is None:
            msg = f"--alpha needs an architecture; pass --arch, too, one of {', '.join(a for a in Arch if a.alphas)}."
            raise InputError(msg)


class Balance(StrEnum):
    """How classes of different sizes are balanced.

    ``none``: every photo counts the same. ``weights``: the loss of a photo counts more, the rarer its class.
    ``sample``: photos of rare classes are shown more often, by the square root of class size.
    """

    NONE = "none"
    WEIGHTS = "weights"
    SAMPLE = "sample"


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How labelled photos are found in a table; what is None, Hangtag chooses.

    Attributes:
        label_column: with each photo's label. Default: ``label``.
        group_column: with the product that a photo shows. Default: ``group``, where there is one.
        where: conditions ``COLUMN=VALUE``; a row counts if it meets all of them.
        image_column, image_root, encoding, allow_hosts: as the options of ``hangtag label``.
    """

    image_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    where: tuple[str, ...] = ()
    image_root: str | None = None
    encoding: str | None = None
    allow_hosts: tuple[str, ...] = ()


USUAL_COLUMNS: Final = TableOptions()
"""What is asked where a person names no column."""


@dataclass(frozen=True)
class UnlabelledSource:
    """Photos without labels that a network is to learn from, too.

    Attributes:
        source: a folder of photos, or a file that names them; a path, or an ``s3://`` or ``http(s)://`` URL.
        image_column, image_root, encoding, allow_hosts: as the options of ``hangtag label``.
    """

    source: str
    image_column: str | None = None
    image_root: str | None = None
    encoding: str | None = None
    allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainRequest:
    """What a person asks of ``hangtag train``.

    None lets Hangtag choose what suits the architecture, the data and the time.

    Attributes:
        run: the folder to leave; must not exist.
        seed: of splits, weights, order and augmentation.
        cache: where pixels and image statistics are kept.
        auto_fit: whether Hangtag chooses ``preprocess.fit`` by the shapes of the photos.
        splits: ``splits.csv`` of an earlier training, whose photos stay where they are.
        fix_leaks: whether the training twins of validation and test photos are set aside.
        weights: what the network begins with: ``imagenet``, ``none`` (random ones) or a file.
        alpha: width of the network, if its architecture has a choice of widths.
        time_limit_s: what the whole training may take; its schedule is planned to that.
        length: of the training, as a multiple of what suits the network; ``epochs`` overrides it.
        folds: how many more networks to train, each without a part of the training photos.
        cv: the same, each trained for as long as the network itself, so that figures are of all photos.
        tensorboard: whether to leave logs for TensorBoard.
        fold_weights: what the folds' networks begin with where the network itself begins with that of a run, which
            may have learned from these photos: ``imagenet``, ``none`` or a file; None for random ones.
        name: of the model; None for that of the run's folder.
        unlabeled: photos that the network gives labels to and learns from once more; None for labelled ones alone.
        table: how labelled photos are found in ``data`` where that is a table.
        parents: of a tree of labels, label → its parent, empty at the top; None for the labels' own, or none.
    """

    data: Path
    run: Path
    arch: Arch
    preprocess: "PreprocessSpec"
    seed: int
    cache: Path
    epochs: int | None = None
    batch: int | None = None
    patience: int | None = None
    splits: Path | None = None
    fix_leaks: bool = False
    weights: str | None = None
    alpha: float | None = None
    balance: Balance | None = None
    time_limit_s: float | None = None
    length: float = 1.0
    folds: int | None = None
    cv: int | None = None
    tensorboard: bool = False
    fold_weights: str | None = None
    name: str | None = None
    auto_fit: bool = False
    unlabeled: UnlabelledSource | None = None
    table: TableOptions = USUAL_COLUMNS
    parents: Mapping[str, str] | None = None


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``90s``, ``10m`` or ``1h30m``; InputError if it is not one."""
    found = _PARTS.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        msg = f"Expected a time such as 90s, 10m or 1h30m, got {text!r}."
        raise InputError(msg)
    return float(total)
