"""``hangtag check``, ``hangtag train``, ``hangtag evaluate`` and ``hangtag demo``."""

from pathlib import Path
from typing import Annotated

import typer

from models.errors import MissingExtraError
from trainer.arch import Arch

__all__ = ["register"]

MAX_SEED = 2**31 - 1


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command line."""
    app.command("demo")(demo_command)
    app.command("check")(check_command)
    app.command("train")(train_command)
    app.command("evaluate")(evaluate_command)


_DATA_HELP = (
    "Class folders; or train, val and test folders of class folders; or a CSV with image,label[,split][,group]: "
    "rows of one group (a SKU, say) show one product."
)


def check_command(
    context: typer.Context,
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help=_DATA_HELP, show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the reports. Default: runs/check/ and the data's name.")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Leave with status 4 if there are leaks, label conflicts or unusable files."),
    ] = False,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move there what should not be learned from, with a log.")
    ] = None,
    undo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move back what an earlier --quarantine DIR has moved.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print check.json on stdout instead of a table.")] = False,
) -> None:
    """Look at labelled photos before learning from them: faults, duplicates, leaks, shortcuts.

    Leaves check.html to look at, check.csv (a row an image) and check.json. Nothing is moved unless asked.

    Examples:

      hangtag check photos/

      hangtag check products.csv --out reports/ --strict

      hangtag check photos/ --quarantine aside/

      hangtag check --undo aside/
    """
    try:
        from trainer.check.screen import bring_back_and_show, check_and_show
    except ImportError as error:
        msg = f"Checking needs scikit-learn and faiss ({error}); pip install 'hangtag[train]'."
        raise MissingExtraError(msg) from error
    if (data is None) == (undo is None):
        msg = "give either DATA to check, or --undo DIR to take back a quarantine"
        raise typer.BadParameter(msg)
    if undo is not None:
        _check_alone(context, "undo", "to take back a quarantine, nothing else is needed")
        raise typer.Exit(bring_back_and_show(undo))
    if data is not None:
        out = out or Path("runs/check") / data.resolve().name
        raise typer.Exit(check_and_show(data, out, quarantine, strict=strict, as_json=as_json))


def train_command(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help=_DATA_HELP, show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run. Default: the data's and the architecture's.")
    ] = None,
    arch: Annotated[
        Arch, typer.Option(help="cnn: our efficient network. simple: the classic three blocks.")
    ] = Arch.CNN,
    image_size: Annotated[int, typer.Option(min=16, max=1024, help="Side of the network's input, in pixels.")] = 128,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training photos, at most.")] = 40,
    batch: Annotated[int, typer.Option(min=1, help="Photos in a step.")] = 64,
    patience: Annotated[int, typer.Option(min=1, help="Stop after so many epochs without a better one.")] = 15,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of splits, weights, order and augmentation.")] = 0,
    splits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="splits.csv of an earlier run: its photos stay in their splits, new ones are added."
        ),
    ] = None,
    fix_leaks: Annotated[
        bool, typer.Option("--fix-leaks", help="Set aside what is learned from and is in test (or validation) as well.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of runs.")] = Path("runs/train"),
    resume: Annotated[Path | None, typer.Option(help="Go on with this run instead of starting one.")] = None,
) -> None:
    """Train a network on labelled photos.

    Ctrl-C leaves a usable run. Photos that cannot be learned from (unreadable, placeholders, one picture under two
    labels) are set aside and listed in excluded.csv; duplicates stay in one split. See hangtag check.

    Examples:

      hangtag train photos/

      hangtag train products.csv --name shop --image-size 160 --epochs 60

      hangtag train photos/ --arch simple --epochs 15

      hangtag train photos/ --name june --splits runs/train/may/splits.csv

      hangtag train --resume runs/train/shop
    """
    from models.preprocess import PreprocessSpec
    from trainer.cache import default_cache
    from trainer.console import resume_and_show, train_and_show
    from trainer.request import TrainRequest

    if resume is not None:
        _check_alone(context, "resume", "a resumed run keeps what it was started with")
        raise typer.Exit(resume_and_show(resume))
    if data is None:
        msg = "give DATA to start a run, or --resume RUN to go on with one"
        raise typer.BadParameter(msg)
    if name is not None and Path(name).name != name:
        msg = f"--name is a name, not a path: {name}; choose the folder of runs with --out"
        raise typer.BadParameter(msg)
    run = out / (name or f"{data.resolve().stem}-{arch}")
    raise typer.Exit(
        train_and_show(
            TrainRequest(
                data=data,
                run=run,
                arch=arch,
                preprocess=PreprocessSpec(size=image_size),
                epochs=epochs,
                batch=batch,
                patience=patience,
                seed=seed,
                cache=default_cache(),
                splits=splits,
                fix_leaks=fix_leaks,
            )
        )
    )


def _check_alone(context: typer.Context, option: str, why: str) -> None:
    """Refuse what else was given."""
    given = [name for name in context.params if name != option and _source(context, name) == "COMMANDLINE"]
    if given:
        msg = f"{why}; leave out {', '.join(given)}"
        raise typer.BadParameter(msg)


def _source(context: typer.Context, name: str) -> str:
    source = context.get_parameter_source(name)
    return source.name if source else ""


def evaluate_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run, a bundle or a lone .onnx file.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled photos, as for hangtag train.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of a table.")] = False,
) -> None:
    """Measure a model on labelled photos: on their test split where there is one, else on all of them.

    Photos that a run has learned from are left out. A bundle does not know which those were: give it others.

    Examples:

      hangtag evaluate runs/train/shop photos/

      hangtag evaluate bundles/shop photos/test --json
    """
    from trainer.console import measure_and_show

    measure_and_show(model, data, as_json=as_json)


def demo_command(
    out: Annotated[
        Path, typer.Option(help="Folder for everything the demo makes; an earlier demo is replaced.")
    ] = Path("demo"),
    photos: Annotated[int, typer.Option(min=200, help="Photos to draw for training.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the drawing and the training.")] = 7,
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
