"""``hangtag classify``, ``hangtag verify`` and ``hangtag benchmark``."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from models.errors import ExitCode, ImageError
from models.options import JsonOption, ModelsOption, RegistryOption, ThresholdOption
from models.reference import DEFAULT_REGISTRY, find_model, models_given
from models.text import printable

if TYPE_CHECKING:
    from models.classifier import Classifier
    from models.decision import Prediction

_BY_SEVERITY: Final = ("labeled", "review", "failed")


def register(app: typer.Typer) -> None:
    """Add this package's commands to the command line."""
    app.command("classify")(classify_command)
    app.command("verify")(verify_command)
    app.command("benchmark")(benchmark_command)


def classify_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Photos to label.")],
    model: ModelsOption,
    top_k: Annotated[int, typer.Option(min=1, help="Number of classes to print, likeliest first.")] = 3,
    variant: Annotated[
        str, typer.Option(help="The model of the bundle to use, such as float32. auto: the bundle's default.")
    ] = "auto",
    precision: Annotated[
        float | None,
        typer.Option(
            help="The precision to promise for labels without review, such as 0.98. Default: the model's own precision."
        ),
    ] = None,
    threshold: ThresholdOption = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Label a few photos.

    Photos whose confidence is below the threshold need a review. The exit status is 1 if a photo could not be read.

    Examples:

      hangtag classify shoe.jpg --model bundles/shop

      hangtag classify *.jpg --model bundles/shop --json --top-k 1

      hangtag classify shoe.jpg --model shop@champion

      hangtag classify shoe.jpg --model category=shop@champion --model colour=colours@champion
    """
    from models.classifier import load

    models = models_given(model)
    named = models if isinstance(models, dict) else {"": models}
    classifiers = {
        name: load(find_model(one, registry), variant, precision=precision, threshold=threshold)
        for name, one in named.items()
    }
    raise typer.Exit(_classify_and_show(images, classifiers, top_k, as_json=as_json))


def _classify_and_show(
    images: list[Path], classifiers: Mapping[str, "Classifier"], top_k: int, *, as_json: bool
) -> ExitCode:
    for name, classifier in classifiers.items():
        print(f"{name}: {classifier.rule}" if name else classifier.rule, file=sys.stderr)
    failed = False
    for image in images:
        answers = {name: _classify(classifier, image, top_k) for name, classifier in classifiers.items()}
        failed |= any(isinstance(answer, ImageError) for answer in answers.values())
        if as_json:
            print(json.dumps({"image": str(image), **_record(answers)}))
            continue
        for name, answer in answers.items():
            print(printable(f"{image}  {f'{name}: ' if name else ''}{_words(answer)}"))
    return ExitCode.FAILURE if failed else ExitCode.OK


def _classify(classifier: "Classifier", image: Path, top_k: int) -> "Prediction | ImageError":
    if image.is_dir():
        return ImageError(f"Expected a photo, but {image} is a folder; to label a folder of photos, use hangtag label.")
    try:
        return classifier.classify(image, top_k)
    except ImageError as error:
        return error


def _record(answers: Mapping[str, "Prediction | ImageError"]) -> dict[str, Any]:
    if "" in answers:
        return _fields(answers[""])
    named = {name: _fields(answer) for name, answer in answers.items()}
    worst = max((fields["status"] for fields in named.values()), key=_BY_SEVERITY.index)
    return {f"{name}_{key}": value for name, fields in named.items() for key, value in fields.items()} | {
        "status": worst
    }


def _fields(answer: "Prediction | ImageError") -> dict[str, Any]:
    if isinstance(answer, ImageError):
        return {"status": "failed", "error": answer.fault, "error_message": str(answer)}
    best = [{"label": label, "confidence": round(confidence, 6)} for label, confidence in answer.top_k]
    status = "review" if answer.review else "labeled"
    likeliest = {"label": answer.label, "confidence": round(answer.confidence, 6)}
    tree = {"label_level": answer.label_level, "leaf_guess": answer.leaf_guess} if answer.leaf_guess else {}
    return {"status": status, "reason": answer.reason, **likeliest, **tree, "top_k": best}


def _words(answer: "Prediction | ImageError") -> str:
    if isinstance(answer, ImageError):
        return f"failed ({answer.fault}): {answer}"
    less_likely = answer.top_k if answer.label_level else answer.top_k[1:]
    others = ", ".join(f"{label} {confidence:.1%}" for label, confidence in less_likely)
    doubt = f"  (a person should look: {answer.reason.words})" if answer.reason else ""
    return f"{answer.label} {answer.confidence:.1%}{f'  [{others}]' if others else ''}{doubt}"


def verify_command(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE",
            help="A bundle, a single .onnx file that hangtag exported, or a model in a registry: shop@champion.",
        ),
    ],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
) -> None:
    """Check that a bundle is unchanged since its export and gives the same answers on this machine.

    Checks the SHA-256 of every file, and the metadata and golden samples of each model. For a single .onnx file, checks
    the metadata. Exit status 5 if there is a fault. Needs no training package.

    To check the manifest itself, compare the SHA-256 in the last line with the SHA-256 that the export printed.

    Examples:

      hangtag verify bundles/shop

      hangtag verify bundles/shop --json

      hangtag verify edge.onnx

      hangtag verify shop@3
    """
    from models.verify import verify_and_show

    raise typer.Exit(verify_and_show(find_model(bundle, registry), as_json=as_json))


def benchmark_command(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE",
            help="A bundle, a single .onnx file that hangtag exported, or a model in a registry: shop@champion.",
        ),
    ],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
) -> None:
    """Measure each model of a bundle on one thread of this machine: size, speed and memory.

    The models are measured in turn, each time in a fresh process.

    Examples:

      hangtag benchmark bundles/shop

      hangtag benchmark model.int8.onnx --json
    """
    from models.benchmark import benchmark_and_show

    benchmark_and_show(find_model(bundle, registry), as_json=as_json)
