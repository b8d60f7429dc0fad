"""``hangtag classify``, ``hangtag verify`` and ``hangtag benchmark``."""

from pathlib import Path
from typing import Annotated

import typer

from models.options import ModelOption, RegistryOption, ThresholdOption
from models.reference import DEFAULT_REGISTRY, find_model

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command line."""
    app.command("classify")(classify_command)
    app.command("verify")(verify_command)
    app.command("benchmark")(benchmark_command)


def classify_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Photos to label.")],
    model: ModelOption,
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    variant: Annotated[
        str | None, typer.Option(help="Which of the bundle's models. Default: the bundle's own.")
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="How often photos that need no review must be right, as in 0.98. Default: the model's own."),
    ] = None,
    threshold: ThresholdOption = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Label a few photos.

    Photos need no review under a promised precision, or at the --threshold that is asked for. Exit status 1 when a
    photo could not be read; the others are labelled all the same.

    Examples:

      hangtag classify shoe.jpg --model bundles/shop

      hangtag classify *.jpg --model bundles/shop --json --top-k 1

      hangtag classify shoe.jpg --model bundles/shop --precision 0.98

      hangtag classify shoe.jpg --model shop@champion
    """
    from models.console import classify_and_show

    model = find_model(model, registry)
    shown = classify_and_show(images, model, variant, top_k, precision=precision, threshold=threshold, as_json=as_json)
    raise typer.Exit(shown)


def verify_command(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE",
            help="A bundle, a lone .onnx file that hangtag exported, or a model of a registry, as shop@champion.",
        ),
    ],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON instead of a table.")] = False,
) -> None:
    """Prove on this machine that a bundle is as it was exported.

    Looks at the SHA-256 of every file, at labels.txt, at what each model says of itself, and runs the golden samples
    through each. Of a lone file it looks at what it says of itself, and whether it answers. Everything that is wrong is
    shown; exit status 5 if anything is. Needs no training package.

    The manifest vouches for every other file, and nothing here for the manifest (its default variant and accuracies,
    say): compare the SHA-256 that is printed last with that which the export printed.

    Examples:

      hangtag verify bundles/shop

      hangtag verify bundles/shop --json

      hangtag verify edge.onnx

      hangtag verify shop@3
    """
    from models.verify_console import verify_and_show

    raise typer.Exit(verify_and_show(find_model(bundle, registry), as_json=as_json))


def benchmark_command(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE", help="A bundle, a lone .onnx file, or a model of a registry, as shop@champion."
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Class folders of photos to judge the models by; a flat folder tells agreement alone. At most 2,000 "
            "photos are looked at. Default: the bundle's golden photos, and its accuracies at export.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw accuracy against speed (needs matplotlib).")
    ] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON instead of a table.")] = False,
) -> None:
    """Measure each of a bundle's models on this machine: size, accuracy, speed, memory, load time.

    Each turn loads one model in a fresh process, and the models take turns; figures are medians.

    Examples:

      hangtag benchmark bundles/shop

      hangtag benchmark bundles/shop --images photos/test --plot speed.png

      hangtag benchmark model.int8.onnx --json
    """
    from models.benchmark.console import benchmark_and_show

    benchmark_and_show(find_model(bundle, registry), images, plot, as_json=as_json)
