"""``hangtag check``, ``train``, ``evaluate`` and ``demo``; other files of this room add theirs."""

from pathlib import Path
from typing import Annotated

import typer

from models.errors import ExitCode, InputError, MissingExtraError
from models.fit import Fit
from models.options import RegistryOption, takes
from models.reference import DEFAULT_REGISTRY, find_model
from trainer.corrections.commands import register as register_corrections
from trainer.options import DATA_HELP, MAX_SEED, TableColumns, TrainOptions
from trainer.request import (
    TABLE_SUFFIXES,
    USUAL_COLUMNS,
    TableOptions,
    TrainRequest,
    UnlabelledSource,
    parse_duration,
)
from trainer.retrain.commands import retrain_command
from trainer.schedule.commands import register as register_schedule

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command line."""
    app.command("demo")(demo_command)
    app.command("check")(check_command)
    app.command("train")(train_command)
    app.command("evaluate")(evaluate_command)
    app.command("retrain")(retrain_command)
    register_corrections(app, _corrections_of)
    register_schedule(app)


@takes(table=TableColumns)
def check_command(
    context: typer.Context,
    table: TableColumns,
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print check.json instead of a table; with --undo, what came back.")
    ] = False,
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
        raise typer.Exit(bring_back_and_show(undo, as_json=as_json))
    if undo is not None or data is None:
        msg = "give either DATA to check, or --undo DIR to take back a quarantine"
        raise typer.BadParameter(msg)
    out = out or Path("runs/check") / data.resolve().name
    return _made(out, check_and_show(data, out, quarantine, table.asked, strict=strict, as_json=as_json))


def _made(place: Path, status: ExitCode) -> Path:
    """What a command leaves, for those who call it from Python; else its exit status ends it."""
    if status is not ExitCode.OK:
        raise typer.Exit(status)
    return place


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
    if names_data and Path(unlabeled).is_dir():
        return asked, UnlabelledSource(unlabeled)
    source = UnlabelledSource(unlabeled, asked.image_column, asked.image_root, asked.encoding, asked.allow_hosts)
    return (asked if names_data else USUAL_COLUMNS), source


@takes(given=TrainOptions, table=TableColumns)
def train_command(
    context: typer.Context,
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)] = None,
    *,
    given: TrainOptions,
    table: TableColumns,
    out: Annotated[Path, typer.Option(help="Folder of runs.")] = Path("runs/train"),
    resume: Annotated[Path | None, typer.Option(help="Go on with this run instead of starting one.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON instead of tables; the progress goes to stderr.")
    ] = False,
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

        hangtag train photos/ --unlabeled catalogue.csv

      The colours of all dresses, from a table of products:

        hangtag train products.csv --image-column main_photo --label-column colour --where "category=dress"

      Boots and sandals are shoes, and a photo of which only that is sure is labelled so:

        hangtag train photos/ --taxonomy tree.csv

      Go on with a training that was stopped:

        hangtag train --resume runs/train/shop
    """
    from trainer.console import resume_and_show, train_and_show

    if resume is not None:
        _check_alone(context, "resume", "a resumed run keeps what it was started with")
        return _made(resume, resume_and_show(resume, as_json=as_json))
    if data is None:
        msg = "give DATA to start a run, or --resume RUN to go on with one"
        raise typer.BadParameter(msg)
    request = _request(data, out, given, table.asked, as_json=as_json)
    return _made(request.run, train_and_show(request, as_json=as_json))


def _request(data: Path, out: Path, given: TrainOptions, asked: TableOptions, *, as_json: bool) -> TrainRequest:
    """What the options ask for, with the network that they leave open chosen."""
    from models.preprocess import PreprocessSpec
    from models.process import default_cache
    from trainer.console import choose_and_show
    from trainer.data.taxonomy import read_parents

    given.check()
    table, source = _with_unlabelled(data, asked, given.unlabeled)
    if source is not None and "://" not in source.source and not Path(source.source).exists():
        msg = f"Expected photos without labels in {source.source}, there is no such file or folder; check --unlabeled."
        raise InputError(msg)
    stem = data.resolve().stem
    run = out / (given.name or (stem if given.arch is None else f"{stem}-{given.arch}"))
    time_limit_s = None if given.time_limit is None else parse_duration(given.time_limit)
    parents = None if given.taxonomy is None else read_parents(given.taxonomy)
    start = choose_and_show(given.network, data, table, parents, run, as_json=as_json)
    return TrainRequest(
        data=data,
        run=run,
        arch=start.choice.arch,
        preprocess=PreprocessSpec(size=start.choice.size, fit=given.fit or Fit.PAD, decode=given.decode),
        auto_fit=given.fit is None,
        seed=given.seed,
        cache=default_cache(),
        epochs=given.epochs,
        batch=given.batch,
        patience=given.patience,
        splits=given.splits,
        fix_leaks=given.fix_leaks,
        weights=str(start.choice.weights),
        alpha=start.choice.alpha,
        balance=given.balance,
        time_limit_s=time_limit_s,
        length=start.length,
        folds=given.folds,
        cv=given.cv,
        tensorboard=given.tensorboard,
        unlabeled=source,
        table=table,
        parents=parents,
    )


def _check_alone(context: typer.Context, option: str, why: str) -> None:
    """Refuse an option that is given together with others."""
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in {option, "as_json"}}
    given = [
        one.opts[0] if one.opts[0].startswith("-") else one.metavar or one.opts[0]
        for one in context.command.params
        if one.name != option and (source := sources.get(one.name or "")) is not None and source.name == "COMMANDLINE"
    ]
    if given:
        msg = f"{why}; leave out {', '.join(given)}"
        raise typer.BadParameter(msg)


@takes(table=TableColumns)
def evaluate_command(
    table: TableColumns,
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A run, a bundle, a lone .onnx file, or a model of a registry, as shop@champion."
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled photos, as for hangtag train.")],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of a table.")] = False,
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

    return measure_and_show(find_model(model, registry), data, table.asked, as_json=as_json)


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
