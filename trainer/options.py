"""Options of ``hangtag train``, and those of all commands that read labelled photos out of a table."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from models.errors import InputError
from models.fit import Decode, Fit
from trainer.request import (
    TABLE_SUFFIXES,
    USUAL_COLUMNS,
    Arch,
    Balance,
    NetworkOptions,
    Preset,
    TableOptions,
    TrainRequest,
    UnlabelledSource,
    parse_duration,
)
from worker.request import AllowHostOption

MAX_SEED: Final = 2**31 - 1
AUTO: Final = "auto"
Choice = TypeVar("Choice", bound=StrEnum)

DATA_HELP: Final = (
    "Class folders; or train, val and test folders of class folders; or a CSV with image,label[,split][,group]: rows "
    "of one group (such as a SKU) show one product; or a table (.csv, .tsv, .jsonl, .parquet) with other columns."
)


@dataclass(frozen=True, kw_only=True)
class TableColumns:
    """How labelled photos are found in a table, as a person gave it."""

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
    allow_host: AllowHostOption = None

    @property
    def asked(self) -> TableOptions:
        """The same for what reads it."""
        return TableOptions(
            image_column=self.image_column,
            label_column=self.label_column,
            group_column=self.group_column,
            where=tuple(self.where or ()),
            image_root=self.image_root,
            encoding=self.encoding,
            allow_hosts=tuple(self.allow_host or ()),
        )


def _auto_or(choices: type[Choice]) -> Callable[[str], Choice | None]:
    """Parses one of these choices, or ``auto``, which is None."""

    def parse(text: str) -> Choice | None:
        if text not in {AUTO, *choices}:
            msg = f"Expected one of {', '.join((AUTO, *choices))}, got {text}."
            raise typer.BadParameter(msg)
        return None if text == AUTO else choices(text)

    return parse


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a person asks of a new run; Hangtag chooses what is None."""

    name: Annotated[
        str | None,
        typer.Option(help="Name of the run. Default: the data's name, and the architecture if you name one."),
    ] = None
    arch: Annotated[
        Arch | None,
        typer.Option(
            metavar="ARCH",
            parser=_auto_or(Arch),
            show_default=AUTO,
            help="auto: the preset's pretrained network, if its weights are here or can be downloaded, else cnn. "
            "cnn: Hangtag's efficient network, with random weights. simple: the classic three blocks. The "
            "others have learned from ImageNet and are fine-tuned: "
            f"{', '.join(arch for arch in Arch if arch.is_transfer)}.",
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
            help="The weights to begin with. With --arch auto, a file also chooses its architecture, and "
            "HANGTAG_WEIGHTS (a file or a folder) counts, too. Default: imagenet if the architecture has them, "
            "else none (random).",
        ),
    ] = None
    alpha: Annotated[float | None, typer.Option(help="Width of a mobilenet, as a share of the usual width.")] = None
    image_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=1024, help="Side of the network's input, in pixels. Default: the preset's, 96 to 224."
        ),
    ] = None
    fit: Annotated[
        Fit | None,
        typer.Option(
            metavar="|".join((AUTO, *Fit)),
            parser=_auto_or(Fit),
            show_default=AUTO,
            help="How a photo fills the square; pad pads with white. auto: stretch if nearly all photos have the "
            "same shape and that is not a square, else pad.",
        ),
    ] = None
    decode: Annotated[
        Decode, typer.Option(help="dct: JPEGs are scaled while they are decoded, much faster for large ones.")
    ] = Decode.DCT
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the training photos, at most. Default: what suits the network."),
    ] = None
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Such as 10m or 1h30m: the schedule is planned to end in time, with the report."
        ),
    ] = None
    batch: Annotated[
        int | None,
        typer.Option("--batch-size", "--batch", min=1, help="Photos in a step. Default: what suits the network."),
    ] = None
    patience: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Stop after this many epochs without improvement, once the learning rate has fallen. Default: a "
            "third of the epochs, at least 10.",
        ),
    ] = None
    balance: Annotated[
        Balance | None,
        typer.Option(
            help="Rare classes: weights makes their photos count more, sample shows them more often. Default: none "
            "up to a ratio of 3 between the largest and the smallest class, then weights."
        ),
    ] = None
    folds: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10,
            help="Train this many more networks, each without a part of the photos and for a third of the epochs: "
            "thresholds then rest on all networks. Default without --cv: 2 (a third more time) if validation "
            "has fewer than 1,500 photos and there are 12 epochs or more, else 0.",
        ),
    ] = None
    cv: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10,
            help="Cross-validate: train this many more networks in full, so that every photo except test photos is "
            "judged by a network that has not seen it. Default: 5 for fewer than 1,500 photos and 12 epochs or "
            "more, else 0.",
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
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Leave logs for TensorBoard in the run.")] = False
    unlabeled: Annotated[
        str | None,
        typer.Option(
            "--unlabeled",
            metavar="SOURCE",
            help="Photos without labels to learn from, too: any source that hangtag label takes. The network labels "
            "those that it is sure of, and a second network learns from both. The second is kept if it is right "
            "more often on labelled photos that it has not seen. Takes up to three times as long. "
            "--image-column, --image-root, --encoding and --allow-host apply to this source; with "
            "--label-column, --group-column or --where, to DATA, too. Default: none.",
        ),
    ] = None
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A CSV with label,parent: a tree whose leaves are the classes. If a photo's class is not sure "
            "enough, it gets the lowest label above that is sure enough. Default: the tree in labels like "
            "'shoes > boots' of a table, else none.",
        ),
    ] = None

    def check(self) -> None:
        """Raise a ``BadParameter`` where options make no sense, alone or together."""
        if self.name is not None and Path(self.name).name != self.name:
            msg = f"--name is a name, not a path: {self.name}; choose the folder of runs with --out"
            raise typer.BadParameter(msg)
        for option, count in (("--folds", self.folds), ("--cv", self.cv)):
            if count == 1:
                msg = f"{option} 1 leaves nothing to learn from; give 0 (none), or 2 to 10"
                raise typer.BadParameter(msg)
        if self.cv and self.folds is not None:
            msg = "--cv and --folds exclude each other: both are networks trained without a part of the photos"
            raise typer.BadParameter(msg)

    @property
    def network(self) -> NetworkOptions:
        """What is asked of the network; ``HANGTAG_WEIGHTS`` names weights, too."""
        place = os.environ.get("HANGTAG_WEIGHTS")
        return NetworkOptions(
            self.arch, self.preset, self.weights, self.alpha, self.image_size, Path(place) if place else None
        )

    def request(self, data: Path, out: Path, asked: TableOptions, *, as_json: bool) -> TrainRequest:
        """What the options ask for, with the network that they leave open chosen."""
        from models.preprocess import PreprocessSpec
        from models.process import default_cache
        from trainer.console import choose_and_show
        from trainer.data.taxonomy import read_parents

        self.check()
        table, source = _with_unlabelled(data, asked, self.unlabeled)
        stem = data.resolve().stem
        run = out / (self.name or (stem if self.arch is None else f"{stem}-{self.arch}"))
        time_limit_s = None if self.time_limit is None else parse_duration(self.time_limit)
        parents = None if self.taxonomy is None else read_parents(self.taxonomy)
        start = choose_and_show(self.network, data, table, parents, run, as_json=as_json)
        return TrainRequest(
            data=data,
            run=run,
            arch=start.choice.arch,
            preprocess=PreprocessSpec(size=start.choice.size, fit=self.fit or Fit.PAD, decode=self.decode),
            auto_fit=self.fit is None,
            seed=self.seed,
            cache=default_cache(),
            epochs=self.epochs,
            batch=self.batch,
            patience=self.patience,
            splits=self.splits,
            fix_leaks=self.fix_leaks,
            weights=str(start.choice.weights),
            alpha=start.choice.alpha,
            balance=self.balance,
            time_limit_s=time_limit_s,
            length=start.length,
            folds=self.folds,
            cv=self.cv,
            tensorboard=self.tensorboard,
            unlabeled=source,
            table=table,
            parents=parents,
        )


def _with_unlabelled(
    data: Path, asked: TableOptions, unlabeled: str | None
) -> tuple[TableOptions, UnlabelledSource | None]:
    """The options of DATA, and the source of photos without labels.

    What both can have is the source's alone, unless an option that the source cannot have shows that DATA is meant too.
    """
    names_data = bool(asked.label_column or asked.group_column or asked.where)
    if unlabeled is None:
        if asked != USUAL_COLUMNS and not names_data and data.suffix.lower() not in TABLE_SUFFIXES:
            msg = (
                "--image-column, --image-root, --encoding and --allow-host need --unlabeled, or a table as DATA; "
                "give it, or leave them out"
            )
            raise typer.BadParameter(msg)
        return asked, None
    if "://" not in unlabeled and not Path(unlabeled).exists():
        msg = f"Expected photos without labels in {unlabeled}, there is no such file or folder; check --unlabeled."
        raise InputError(msg)
    if names_data and Path(unlabeled).is_dir():
        return asked, UnlabelledSource(unlabeled)
    source = UnlabelledSource(unlabeled, asked.image_column, asked.image_root, asked.encoding, asked.allow_hosts)
    return (asked if names_data else USUAL_COLUMNS), source
