"""The commands ``check``, ``train``, ``evaluate``, ``retrain`` and ``schedule``."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from models.errors import ExitCode, InputError, MissingExtraError
from models.options import RegistryOption, takes
from models.reference import DEFAULT_REGISTRY, find_model
from trainer.corrections.commands import register as register_corrections
from trainer.request import DATA_HELP, TableOptions, TrainOptions, TrainRequest, parse_weights
from worker.queue.options import RedisOption, logs_json, queue_settings


class When(StrEnum):
    """The condition for starting a retraining cycle."""

    DATA = "data"
    DRIFT = "drift"


def register(app: typer.Typer) -> None:
    """Add this package's commands to the command line."""
    app.command("check")(check_command)
    app.command("train")(train_command)
    app.command("evaluate")(evaluate_command)
    app.command("retrain")(retrain_command)
    app.command("schedule")(schedule_command)
    register_corrections(app, _corrections_of)


@takes(table=TableOptions)
def check_command(
    context: typer.Context,
    table: TableOptions,
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the reports. Default: a folder in runs/check, named after the data.")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with status 7 if there are leaks, label conflicts or unusable files."),
    ] = False,
    quarantine: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Move photos that would harm a training into this folder, and write a log."),
    ] = None,
    undo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move back the files of an earlier --quarantine DIR.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print check.json instead of a table. With --undo, print the restored files.")
    ] = False,
) -> Path:
    """Check labelled photos before training: faults, duplicates, leaks, shortcuts.

    Writes the page check.html, check.csv (one row per image) and check.json. Your files stay in place without
    --quarantine.

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
        _check_alone(context, "undo", "--undo takes no other option or argument")
        raise typer.Exit(bring_back_and_show(undo, as_json=as_json))
    if undo is not None or data is None:
        msg = "give either DATA to check, or --undo DIR to undo a quarantine"
        raise typer.BadParameter(msg)
    out = out or Path("runs/check") / data.resolve().name
    return _made(out, check_and_show(data, out, quarantine, table, strict=strict, as_json=as_json))


def _made(place: Path, status: ExitCode) -> Path:
    if status is not ExitCode.OK:
        raise typer.Exit(status)
    return place


@takes(options=TrainOptions, table=TableOptions)
def train_command(
    context: typer.Context,
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)] = None,
    *,
    options: TrainOptions,
    table: TableOptions,
    out: Annotated[Path, typer.Option(help="Folder of runs.")] = Path("runs/train"),
    resume: Annotated[Path | None, typer.Option(help="Continue this run.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON instead of tables. Progress goes to stderr.")
    ] = False,
) -> Path:
    """Train a network on labelled photos, and find the precisions that it can promise.

    Writes a run folder with the page report.html and the model card README.md. After Ctrl-C the run is still usable.
    Unusable photos are left out, and listed in excluded.csv. See hangtag check.

    Examples:

      Train on a folder for each class:

        hangtag train photos/

      Finish within a quarter of an hour:

        hangtag train products.csv --name shop --time-limit 15m

      Add new photos to the splits of an earlier run:

        hangtag train photos/ --splits runs/train/may/splits.csv

      Train on the colours of all dresses, from a table of products:

        hangtag train products.csv --image-column main_photo --label-column colour --where "category=dress"

      Continue a stopped training:

        hangtag train --resume runs/train/shop
    """
    from trainer.console import resume_and_show, train_and_show

    if resume is not None:
        _check_alone(context, "resume", "a resumed run keeps its original options")
        return _made(resume, resume_and_show(resume, as_json=as_json))
    if data is None:
        msg = "give DATA to start a run, or --resume RUN to continue a run"
        raise typer.BadParameter(msg)
    weights = options.weights
    if weights is None and options.arch is None and (weights := os.environ.get("HANGTAG_WEIGHTS")):
        try:
            parse_weights(weights)
        except InputError as error:
            msg = f"HANGTAG_WEIGHTS: {error}"
            raise InputError(msg) from error
    request = TrainRequest(**dict(options) | {"weights": weights}, data=data, table=table)
    stem = data.resolve().stem
    run = out / (options.name or (f"{stem}-{options.arch}" if options.arch else stem))
    return _made(run, train_and_show(request, run, as_json=as_json))


def _check_alone(context: typer.Context, option: str, why: str) -> None:
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in {option, "as_json"}}
    others = [
        one.opts[0] if one.opts[0].startswith("-") else one.metavar or one.opts[0]
        for one in context.command.params
        if one.name != option and (source := sources.get(one.name or "")) is not None and source.name == "COMMANDLINE"
    ]
    if others:
        msg = f"{why}; leave out {', '.join(others)}"
        raise typer.BadParameter(msg)


@takes(table=TableOptions)
def evaluate_command(
    table: TableOptions,
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A run, a bundle, a single .onnx file, or a model in a registry: shop@champion."
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled photos, as for hangtag train.")],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of a table.")] = False,
) -> object:
    """Measure a model on the test split of labelled photos, or on all photos if there is no split.

    A run's own training photos are left out. A bundle has no list of its training photos, so use other photos.

    Examples:

      hangtag evaluate runs/train/shop photos/

      hangtag evaluate bundles/shop photos/test --json

      hangtag evaluate shop@champion photos/test

      hangtag evaluate colours@champion june.parquet --image-column main_photo --label-column colour
    """
    from trainer.console import measure_and_show

    return measure_and_show(find_model(model, registry), data, table, as_json=as_json)


def retrain_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Settings: see docs/retraining.md.")],
    when: Annotated[
        When,
        typer.Option(
            help="data: retrain if there are new photos or labels. drift: retrain only if the photos that the champion "
            "labelled also drifted."
        ),
    ] = When.DATA,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Abandon an unfinished cycle, and start a new cycle with the current settings."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON on stdout. Progress goes to stderr.")
    ] = False,
) -> None:
    """Train a challenger on old and new photos, and make it the champion if it passes the gate.

    No photo changes its split. After a stop or a crash, the same command continues. Without a champion, the command
    trains the first model. To overrule the gate: hangtag models promote.

    Exit statuses: 0 promoted, 3 refused, 4 nothing new, 6 another cycle of this model is running.

    Examples:

      hangtag retrain shop.toml

      From cron, with the outcome in a file:

        hangtag retrain /srv/shop.toml --json > outcome.json

      Retrain only after drift in photos that the champion labelled:

        hangtag retrain shop.toml --when drift
    """
    try:
        from trainer.retrain.screen import retrain_and_show
    except ImportError as error:
        msg = f"hangtag retrain needs the training packages ({error}); pip install 'hangtag[train]'."
        raise MissingExtraError(msg) from error

    raise typer.Exit(retrain_and_show(config, when=when.value, restart=restart, as_json=as_json))


def schedule_command(
    configs: Annotated[
        list[Path], typer.Argument(metavar="CONFIG", help="Config files of retrainings (TOML), each with a schedule.")
    ],
    redis: RedisOption = None,
) -> None:
    """Start retrainings on schedule (Celery's beat). Retrainings run in hangtag worker --queue train.

    Run only one hangtag schedule, with all config files. Restart it after you change a file. After a stop,
    each missed cycle runs once.

    Examples:

      hangtag schedule retrain.toml

      hangtag schedule shop.toml shoes.toml --redis redis://queue:6379/0
    """
    settings = queue_settings(redis)
    from trainer.schedule import run_beat

    run_beat(configs, settings, as_json=logs_json())


def _corrections_of(config: Path) -> Path | None:
    from trainer.retrain.config import read_config

    return read_config(config).corrections
