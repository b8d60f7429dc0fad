"""What ``hangtag train`` can be asked."""

from pathlib import Path
from typing import Annotated

import typer

from models.fit import Decode, Fit
from trainer.arch import Arch
from trainer.learning.balance import Balance

__all__ = [
    "DATA_HELP",
    "MAX_SEED",
    "AlphaOption",
    "ArchOption",
    "BalanceOption",
    "BatchOption",
    "DecodeOption",
    "EpochsOption",
    "FitOption",
    "FixLeaksOption",
    "FoldsOption",
    "NameOption",
    "PatienceOption",
    "ResumeOption",
    "RunsOption",
    "SeedOption",
    "SizeOption",
    "SplitsOption",
    "TensorBoardOption",
    "TimeLimitOption",
    "WeightsOption",
]

MAX_SEED = 2**31 - 1

DATA_HELP = (
    "Class folders; or train, val and test folders of class folders; or a CSV with image,label[,split][,group]: "
    "rows of one group (a SKU, say) show one product."
)

NameOption = Annotated[str | None, typer.Option(help="Name of the run. Default: the data's and the architecture's.")]
ArchOption = Annotated[
    Arch,
    typer.Option(
        metavar="ARCH",
        help="cnn: our efficient network, from nothing. simple: the classic three blocks. These have learned from "
        f"ImageNet and are fine-tuned: {', '.join(arch for arch in Arch if arch.is_transfer)}.",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="imagenet|none|FILE",
        help="What the network begins with. Default: imagenet where the architecture has it, else none (random).",
    ),
]
AlphaOption = Annotated[float | None, typer.Option(help="Width of a mobilenet, as a share of its usual one.")]
SizeOption = Annotated[
    int | None,
    typer.Option(min=16, max=1024, help="Side of the network's input, in pixels. Default: what suits it, 128 or 160."),
]
FitOption = Annotated[Fit, typer.Option(help="How a photo fills the square; pad pads with white.")]
DecodeOption = Annotated[
    Decode, typer.Option(help="dct: JPEGs are scaled while they are decoded, much faster for large ones.")
]
EpochsOption = Annotated[
    int | None, typer.Option(min=1, help="Passes over the training photos, at most. Default: what suits the network.")
]
TimeLimitOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Such as 10m or 1h30m: the schedule is planned to end in time, report included."),
]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Photos in a step. Default: what suits the network.")]
PatienceOption = Annotated[
    int | None, typer.Option(min=1, help="Stop after so many epochs without a better one. Default: a third of them.")
]
BalanceOption = Annotated[
    Balance | None,
    typer.Option(
        help="Rare classes: weights lets their photos count more, sample shows them oftener. Default: none up to a "
        "ratio of 3 between the largest and the smallest class, then weights."
    ),
]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=10,
        help="Train so many networks besides, each without a part of the photos and for a third of the epochs: "
        "thresholds then rest on all of them. Default: 2 (a third more time) where validation has fewer than 1,500 "
        "photos and there are 12 epochs or more, else 0.",
    ),
]
TensorBoardOption = Annotated[bool, typer.Option("--tensorboard", help="Leave logs for TensorBoard in the run.")]
SeedOption = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of splits, weights, order and augmentation.")]
SplitsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="splits.csv of an earlier run: its photos stay in their splits, new ones are added."
    ),
]
FixLeaksOption = Annotated[
    bool, typer.Option("--fix-leaks", help="Set aside what is learned from and is in test (or validation) as well.")
]
RunsOption = Annotated[Path, typer.Option(help="Folder of runs.")]
ResumeOption = Annotated[Path | None, typer.Option(help="Go on with this run instead of starting one.")]
