"""The options of ``hangtag train``, and the request that they become; loads neither numpy nor TensorFlow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import BaseModel, ConfigDict

from models.fit import Decode, Fit
from trainer.request import USUAL_COLUMNS, Arch, Balance, Preset, TableOptions, parse_duration

MAX_SEED: Final = 2**31 - 1
_MOST_FOLDS: Final = 10
DATA_HELP: Final = (
    "Class folders; or train, val and test folders of class folders; or a CSV with image,label[,split][,group]: rows "
    "of one group (such as a SKU) show one product; or a table (.csv, .tsv, .jsonl, .parquet) with other columns."
)


def _parse_name(text: str) -> str:
    if Path(text).name != text:
        msg = f"expected a name, got the path {text}; choose the folder of runs with --out"
        raise typer.BadParameter(msg)
    return text


def _parse_folds(text: str) -> int:
    if not text.isdecimal() or int(text) == 1 or int(text) > _MOST_FOLDS:
        msg = f"expected 0 (none) or 2 to {_MOST_FOLDS}, got {text}"
        raise typer.BadParameter(msg)
    return int(text)


class TrainOptions(BaseModel):
    """The options of ``hangtag train``; what is None, Hangtag chooses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str | None,
        typer.Option(
            parser=_parse_name,
            metavar="TEXT",
            help="Name of the run. Default: the data's name, and the architecture if you name one.",
        ),
    ] = None
    arch: Annotated[
        Arch | None,
        typer.Option(
            metavar="ARCH",
            help="cnn: Hangtag's efficient network, with random weights. simple: the classic three blocks. The "
            "others have learned from ImageNet and are fine-tuned: "
            f"{', '.join(arch for arch in Arch if arch.is_transfer)}. Default: the preset's pretrained network, if its "
            "weights are here or can be downloaded, else cnn.",
        ),
    ] = None
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="What the network may cost: it chooses architecture, --image-size and epochs where you do not. "
            "Default: good."
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|FILE",
            help="The weights to begin with. A file also chooses the architecture and its width; without --arch, "
            "so does the file that HANGTAG_WEIGHTS names. Default: imagenet if the architecture has them, else none "
            "(random).",
        ),
    ] = None
    image_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=1024, help="Side of the network's input, in pixels. Default: the preset's, 96 to 224."
        ),
    ] = None
    fit: Annotated[
        Fit | None,
        typer.Option(
            help="How a photo fills the square; pad pads with white. Default: stretch if nearly all photos have the "
            "same shape and that is not a square, else pad."
        ),
    ] = None
    decode: Annotated[
        Decode, typer.Option(help="dct: JPEGs are scaled while they are decoded, much faster for large ones.")
    ] = Decode.DCT
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training photos. Default: what suits the network.")
    ] = None
    time_limit_s: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            parser=parse_duration,
            metavar="TIME",
            help="Such as 10m or 1h30m: epochs and folds are planned to end in time, with the report.",
        ),
    ] = None
    batch: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Photos in a step. Default: what suits the network.")
    ] = None
    balance: Annotated[
        Balance | None,
        typer.Option(
            help="Rare classes: weights makes their photos count more. Default: none "
            "up to a ratio of 3 between the largest and the smallest class, then weights."
        ),
    ] = None
    folds: Annotated[
        int | None,
        typer.Option(
            parser=_parse_folds,
            metavar="0|2-10",
            help="Train this many more networks, each without a part of the photos: thresholds then rest on all "
            "networks. With fewer than 1,500 photos each is trained in full, and figures are of all photos but test "
            "photos (cross-validation); else for a third of the epochs. Default, with 12 epochs or more: 5 below "
            "1,500 photos, 2 if fewer than 1,500 are for validation, else 0.",
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of splits, weights, order and augmentation.")] = 0
    splits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="splits.csv of an earlier run: its photos stay in their splits, new ones are added."
        ),
    ] = None
    fix_leaks: Annotated[
        bool,
        typer.Option("--fix-leaks", help="Set aside training photos whose picture is in test (or validation) as well."),
    ] = False
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A CSV with label,parent: a tree whose leaves are the classes. If a photo's class is not sure "
            "enough, it gets the lowest label above that is sure enough. Default: the tree in labels like "
            "'shoes > boots' of a table, else none.",
        ),
    ] = None


class TrainRequest(TrainOptions):
    """A training: its options, its photos, and what only a retraining decides.

    Attributes:
        table: how labelled photos are found in ``data`` if that is a table.
        parents: of a tree of labels, label → its parent, empty at the top.
        alpha: width of the network; None for that of the weights' file.
        fold_weights: where folds' networks begin (``imagenet``, ``none`` or a file) if the network begins with those of
            a run, which may have learned from these photos.
    """

    data: Path
    table: TableOptions = USUAL_COLUMNS
    parents: Mapping[str, str] | None = None
    alpha: float | None = None
    fold_weights: str | None = None
