"""``hangtag check``, ``train``, ``evaluate`` and ``demo``; other files of this room add theirs."""

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from models.errors import ExitCode, MissingExtraError
from models.fit import Decode, Fit
from models.options import RegistryOption
from models.reference import DEFAULT_REGISTRY, find_model
from trainer.corrections.commands import register as register_corrections
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
from trainer.retrain.commands import retrain_command
from trainer.schedule.commands import register as register_schedule
from worker.options import AllowHostOption

__all__ = ["MAX_SEED", "register"]

MAX_SEED = 2**31 - 1
AUTO: Final = "auto"
Choice = TypeVar("Choice", bound=StrEnum)

DATA_HELP = (
    "Class folders; or train, val and test folders of class folders; or a CSV with image,label[,split][,group]: "
    "rows of one group (a SKU, say) show one product; or a table (.csv, .tsv, .jsonl, .parquet) with other columns."
)

LabelColumnOption = Annotated[
    str | None,
    typer.Option(help="Of a table: column with the label; rows without one are left out. Default: label."),
]
GroupColumnOption = Annotated[
    str | None,
    typer.Option(
        help="Of a table: column that says which photos are of one product, such as sku; they stay in one split. "
        "Default: group, if there is one."
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE",
        help="Of a table: only rows whose cell is this. May be given again; rows meet all conditions.",
    ),
]
TableImageColumnOption = Annotated[
    str | None,
    typer.Option(
        "--image-column",
        help="Of a table: column with the photo's path, URL or data URI. Default: the obvious one.",
    ),
]
TableImageRootOption = Annotated[
    str | None,
    typer.Option(
        "--image-root", help="Of a table: folder or URL where relative paths start. Default: the table's own folder."
    ),
]
TableEncodingOption = Annotated[
    str | None, typer.Option("--encoding", help="Of a table: encoding of a text file, such as cp1252. Default: UTF-8.")
]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command line."""
    app.command("demo")(demo_command)
    app.command("check")(check_command)
    app.command("train")(train_command)
    app.command("evaluate")(evaluate_command)
    app.command("retrain")(retrain_command)
    register_corrections(app, _corrections_of)
    register_schedule(app)


def check_command(
    context: typer.Context,
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the reports. Default: runs/check/ and the data's name.")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with status 7 if there are leaks, label conflicts or unusable files."),
    ] = False,
    quarantine: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Move photos that should not be learned from into this folder, with a log."),
    ] = None,
    undo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move back what an earlier --quarantine DIR has moved.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print check.json on stdout instead of a table.")] = False,
    image_column: TableImageColumnOption = None,
    label_column: LabelColumnOption = None,
    group_column: GroupColumnOption = None,
    where: WhereOption = None,
    image_root: TableImageRootOption = None,
    encoding: TableEncodingOption = None,
    allow_host: AllowHostOption = None,
) -> Path:
    """Look at labelled photos before learning from them: faults, duplicates, leaks, shortcuts.

    Leaves check.html to look at, check.csv (a row an image) and check.json. Nothing is moved unless asked.

    Examples:

      hangtag check photos/

      hangtag check products.csv --out reports/ --strict

      hangtag check products.csv --image-column main_photo --label-column colour --where "category=dress"

      hangtag check photos/ --quarantine aside/

      hangtag check --undo aside/
    """
    try:
        from trainer.check.screen import bring_back_and_show, check_and_show
    except ImportError as error:
        msg = f"Checking needs scikit-learn and faiss ({error}); pip install 'hangtag[train]'."
        raise MissingExtraError(msg) from error
    if undo is not None and data is None:
        _check_alone(context, "undo", "to take back a quarantine, nothing else is needed")
        raise typer.Exit(bring_back_and_show(undo))
    if undo is not None or data is None:
        msg = "give either DATA to check, or --undo DIR to take back a quarantine"
        raise typer.BadParameter(msg)
    out = out or Path("runs/check") / data.resolve().name
    asked = _table(image_column, label_column, group_column, where, image_root, encoding, allow_host)
    return _made(out, check_and_show(data, out, quarantine, asked, strict=strict, as_json=as_json))


def _made(place: Path, status: ExitCode) -> Path:
    """What a command leaves, for those who call it from Python; else its exit status ends it."""
    if status is not ExitCode.OK:
        raise typer.Exit(status)
    return place


def _table(
    image_column: str | None,
    label_column: str | None,
    group_column: str | None,
    where: list[str] | None,
    image_root: str | None,
    encoding: str | None,
    allow_host: list[str] | None,
) -> TableOptions:
    return TableOptions(
        image_column=image_column,
        label_column=label_column,
        group_column=group_column,
        where=tuple(where or ()),
        image_root=image_root,
        encoding=encoding,
        allow_hosts=tuple(allow_host or ()),
    )


def _with_unlabelled(
    data: Path, asked: TableOptions, unlabelled: str | None
) -> tuple[TableOptions, UnlabelledSource | None]:
    """The options of DATA, and the source of photos without labels.

    What both can have is the source's alone, unless an option that the source cannot have shows that DATA is meant too.
    """
    names_data = bool(asked.label_column or asked.group_column or asked.where)
    if unlabelled is None:
        if asked != USUAL_COLUMNS and not names_data and data.suffix.lower() not in TABLE_SUFFIXES:
            msg = (
                "--image-column, --image-root, --encoding and --allow-host need --unlabelled, or a table as DATA; "
                "give it, or leave them out"
            )
            raise typer.BadParameter(msg)
        return asked, None
    if names_data and Path(unlabelled).is_dir():
        return asked, UnlabelledSource(unlabelled)
    source = UnlabelledSource(unlabelled, asked.image_column, asked.image_root, asked.encoding, asked.allow_hosts)
    return (asked if names_data else USUAL_COLUMNS), source


def _auto_or(choices: type[Choice]) -> Callable[[str], Choice | None]:
    """Parses one of these choices, or ``auto``, which is None."""

    def parse(text: str) -> Choice | None:
        if text not in {AUTO, *choices}:
            msg = f"Expected one of {', '.join((AUTO, *choices))}, got {text}."
            raise typer.BadParameter(msg)
        return None if text == AUTO else choices(text)

    return parse


def train_command(
    context: typer.Context,
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run. Default: the data's name, and the architecture if you name one."),
    ] = None,
    arch: Annotated[
        Arch | None,
        typer.Option(
            metavar="ARCH",
            parser=_auto_or(Arch),
            show_default=AUTO,
            help="auto: the preset's pretrained network, if its weights are here or can be downloaded, else cnn. cnn: "
            "our efficient network, from nothing. simple: the classic three blocks. These have learned from ImageNet "
            f"and are fine-tuned: {', '.join(arch for arch in Arch if arch.is_transfer)}.",
        ),
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="What the network may cost: it chooses architecture, --image-size and epochs where you do not. "
            "Default: good."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|FILE",
            help="The weights to begin with; with --arch auto, a file chooses the architecture that it is of, and "
            "HANGTAG_WEIGHTS (a file or a folder) is looked at. Default: imagenet if the architecture has them, else "
            "none (random).",
        ),
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Width of a mobilenet, as a share of the usual width.")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=1024, help="Side of the network's input, in pixels. Default: the preset's, 96 to 224."
        ),
    ] = None,
    fit: Annotated[
        Fit | None,
        typer.Option(
            metavar="|".join((AUTO, *Fit)),
            parser=_auto_or(Fit),
            show_default=AUTO,
            help="How a photo fills the square; pad pads with white. auto: stretch where nearly all photos have one "
            "shape that is no square, else pad.",
        ),
    ] = None,
    decode: Annotated[
        Decode, typer.Option(help="dct: JPEGs are scaled while they are decoded, much faster for large ones.")
    ] = Decode.DCT,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the training photos, at most. Default: what suits the network."),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Such as 10m or 1h30m: the schedule is planned to end in time, report included."
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch-size", "--batch", min=1, help="Photos in a step. Default: what suits the network."),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Stop after this many epochs without a better one, once the rate has fallen. Default: a third of the "
            "epochs, 10 at least.",
        ),
    ] = None,
    balance: Annotated[
        Balance | None,
        typer.Option(
            help="Rare classes: weights lets their photos count more, sample shows them more often. Default: none up "
            "to a ratio of 3 between the largest and the smallest class, then weights."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10,
            help="Train this many more networks, each without a part of the photos and for a third of the epochs: "
            "thresholds then rest on all of them. Default, without --cv: 2 (a third more time) where validation has "
            "fewer than 1,500 photos and there are 12 epochs or more, else 0.",
        ),
    ] = None,
    cv: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10,
            help="Cross-validate: train this many more networks in full, so that all but test photos are judged by a "
            "network that has not seen them. Default: 5 for fewer than 1,500 photos and 12 epochs or more, else 0.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Seed of splits, weights, order and augmentation.")
    ] = 0,
    splits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="splits.csv of an earlier run: its photos stay in their splits, new ones are added."
        ),
    ] = None,
    fix_leaks: Annotated[
        bool,
        typer.Option("--fix-leaks", help="Set aside training photos whose picture is in test (or validation) as well."),
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Leave logs for TensorBoard in the run.")] = False,
    unlabelled: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Photos without labels to learn from, too: any source that hangtag label takes. The network labels "
            "those that it is sure of, and a second one learns from both; it is kept if it is right more often on "
            "labelled photos that it has not seen. Takes up to three times as long. --image-column, --image-root, "
            "--encoding and --allow-host are its, and of DATA too with --label-column, --group-column or --where. "
            "Default: none.",
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A CSV with label,parent: a tree that the classes are the leaves of. A photo whose class is not sure "
            "enough gets the lowest label above it that is. Default: what labels like 'shoes > boots' of a table say, "
            "else none.",
        ),
    ] = None,
    image_column: TableImageColumnOption = None,
    label_column: LabelColumnOption = None,
    group_column: GroupColumnOption = None,
    where: WhereOption = None,
    image_root: TableImageRootOption = None,
    encoding: TableEncodingOption = None,
    allow_host: AllowHostOption = None,
    out: Annotated[Path, typer.Option(help="Folder of runs.")] = Path("runs/train"),
    resume: Annotated[Path | None, typer.Option(help="Go on with this run instead of starting one.")] = None,
) -> Path:
    """Train a network on labelled photos, and learn how sure it may be.

    Leaves a run with report.html to look at, README.md (a model card), and thresholds for a precision that you can ask
    for. Ctrl-C leaves a usable run. Photos that cannot be learned from (unreadable, placeholders, one picture under
    two labels) are set aside and listed in excluded.csv; duplicates stay in one split. See hangtag check.

    Examples:

      A folder for each class, and the network that suits:

        hangtag train photos/

      The best labels, whatever they cost:

        hangtag train photos/ --preset best

      From nothing, and nothing is downloaded:

        hangtag train photos/ --arch cnn

      To be done in a quarter of an hour:

        hangtag train products.csv --name shop --time-limit 15m

      A small network that has learned from ImageNet, whose weights lie here:

        hangtag train photos/ --arch mobilenet --alpha 0.25 --weights w.h5

      With new photos: those of May stay in their splits, rare classes count more:

        hangtag train photos/ --splits runs/train/may/splits.csv --balance weights

      Few photos have labels, and the whole catalogue helps:

        hangtag train photos/ --unlabelled catalogue.csv

      The colours of all dresses, from a table of products:

        hangtag train products.csv --image-column main_photo --label-column colour --where "category=dress"

      Boots and sandals are shoes, and a photo of which only that is sure is labelled so:

        hangtag train photos/ --taxonomy tree.csv

      Go on with a training that was stopped:

        hangtag train --resume runs/train/shop
    """
    from models.preprocess import PreprocessSpec
    from models.process import default_cache
    from trainer.console import choose_and_show, resume_and_show, train_and_show
    from trainer.data.taxonomy import read_parents

    if resume is not None:
        _check_alone(context, "resume", "a resumed run keeps what it was started with")
        return _made(resume, resume_and_show(resume))
    if data is None:
        msg = "give DATA to start a run, or --resume RUN to go on with one"
        raise typer.BadParameter(msg)
    if name is not None and Path(name).name != name:
        msg = f"--name is a name, not a path: {name}; choose the folder of runs with --out"
        raise typer.BadParameter(msg)
    for option, count in (("--folds", folds), ("--cv", cv)):
        if count == 1:
            msg = f"{option} 1 leaves nothing to learn from; give 0 (none), or 2 to 10"
            raise typer.BadParameter(msg)
    if cv and folds is not None:
        msg = "--cv and --folds exclude each other: both are networks trained without a part of the photos"
        raise typer.BadParameter(msg)
    asked = _table(image_column, label_column, group_column, where, image_root, encoding, allow_host)
    table, source = _with_unlabelled(data, asked, unlabelled)
    run = out / (name or (data.resolve().stem if arch is None else f"{data.resolve().stem}-{arch}"))
    time_limit_s = None if time_limit is None else parse_duration(time_limit)
    place = os.environ.get("HANGTAG_WEIGHTS")
    options = NetworkOptions(arch, preset, weights, alpha, image_size, Path(place) if place else None)
    parents = None if taxonomy is None else read_parents(taxonomy)
    start = choose_and_show(options, data, table, parents, run)
    request = TrainRequest(
        data=data,
        run=run,
        arch=start.choice.arch,
        preprocess=PreprocessSpec(size=start.choice.size, fit=fit or Fit.PAD, decode=decode),
        auto_fit=fit is None,
        seed=seed,
        cache=default_cache(),
        epochs=epochs,
        batch=batch,
        patience=patience,
        splits=splits,
        fix_leaks=fix_leaks,
        weights=str(start.choice.weights),
        alpha=start.choice.alpha,
        balance=balance,
        time_limit_s=time_limit_s,
        length=start.length,
        folds=folds,
        cv=cv,
        tensorboard=tensorboard,
        unlabelled=source,
        table=table,
        parents=parents,
    )
    return _made(run, train_and_show(request))


def _check_alone(context: typer.Context, option: str, why: str) -> None:
    """Refuse an option that is given together with others."""
    sources = {name: context.get_parameter_source(name) for name in context.params if name != option}
    given = [
        one.opts[0] if one.opts[0].startswith("-") else one.metavar or one.opts[0]
        for one in context.command.params
        if one.name != option and (source := sources.get(one.name or "")) is not None and source.name == "COMMANDLINE"
    ]
    if given:
        msg = f"{why}; leave out {', '.join(given)}"
        raise typer.BadParameter(msg)


def evaluate_command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A run, a bundle, a lone .onnx file, or a model of a registry, as shop@champion."
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled photos, as for hangtag train.")],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of a table.")] = False,
    image_column: TableImageColumnOption = None,
    label_column: LabelColumnOption = None,
    group_column: GroupColumnOption = None,
    where: WhereOption = None,
    image_root: TableImageRootOption = None,
    encoding: TableEncodingOption = None,
    allow_host: AllowHostOption = None,
) -> object:
    """Measure a model on labelled photos: on their test split where there is one, else on all of them.

    Photos that a run has learned from are left out. A bundle does not know which those were: give it others.

    Examples:

      hangtag evaluate runs/train/shop photos/

      hangtag evaluate bundles/shop photos/test --json

      hangtag evaluate shop@champion photos/test

      hangtag evaluate colours@champion june.parquet --image-column main_photo --label-column colour
    """
    from trainer.console import measure_and_show

    asked = _table(image_column, label_column, group_column, where, image_root, encoding, allow_host)
    return measure_and_show(find_model(model, registry), data, asked, as_json=as_json)


def _corrections_of(config: Path) -> Path | None:
    from trainer.retrain.config import read_config

    return read_config(config).corrections


def demo_command(
    out: Annotated[
        Path, typer.Option(help="Folder for everything the demo makes; an earlier demo is replaced.")
    ] = Path("demo"),
    photos: Annotated[int, typer.Option(min=200, help="Photos to draw for training.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the drawing and the training.")] = 7,
    queued: Annotated[
        bool, typer.Option("--queued", help="Label on two Celery workers, fed from a Redis started for it.")
    ] = False,
) -> None:
    """The whole path on a drawn catalogue: photos, training, export, labels, and a picture to look at.

    Examples:

      hangtag demo

      hangtag demo --queued

      hangtag demo --out /tmp/demo --photos 600
    """
    from trainer.demo import run_demo

    run_demo(out, photos, seed, queued=queued)
