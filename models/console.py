"""How ``classify`` looks on a terminal."""

import json
import sys
from pathlib import Path

from models.classifier import Classifier, Prediction, load
from models.errors import ExitCode, ImageError
from models.text import printable

__all__ = ["classify_and_show"]


def classify_and_show(
    images: list[Path],
    model: Path,
    variant: str | None,
    top_k: int,
    *,
    as_json: bool,
    precision: float | None = None,
    threshold: float | None = None,
) -> ExitCode:
    """Print a line a photo, and on stderr what rules; an unreadable photo does not stop the others."""
    classifier = load(model, variant, precision=precision, threshold=threshold)
    print(classifier.rule, file=sys.stderr)
    failed = False
    for image in images:
        answer = _classify(classifier, image, top_k)
        failed |= isinstance(answer, ImageError)
        print(_json_line(image, answer) if as_json else printable(_line(image, answer)))
    return ExitCode.FAILURE if failed else ExitCode.OK


def _classify(classifier: Classifier, image: Path, top_k: int) -> Prediction | ImageError:
    if image.is_dir():
        return ImageError(f"Expected a photo, {image} is a folder; hangtag label labels all photos in a folder.")
    try:
        return classifier.classify(image, top_k)
    except ImageError as error:
        return error


def _json_line(image: Path, answer: Prediction | ImageError) -> str:
    if isinstance(answer, ImageError):
        return json.dumps(
            {"image": str(image), "status": "failed", "error": answer.fault, "error_message": str(answer)}
        )
    best = [{"label": label, "confidence": round(confidence, 6)} for label, confidence in answer.top_k]
    status = "review" if answer.review else "labeled"
    return json.dumps({"image": str(image), "status": status, "reason": answer.reason, **best[0], "top_k": best})


def _line(path: Path, answer: Prediction | ImageError) -> str:
    if isinstance(answer, ImageError):
        return f"{path}  failed ({answer.fault}): {answer}"
    others = ", ".join(f"{label} {confidence:.1%}" for label, confidence in answer.top_k[1:])
    doubt = f"  (a person should look: {answer.reason.words})" if answer.reason else ""
    return f"{path}  {answer.label} {answer.confidence:.1%}{f'  [{others}]' if others else ''}{doubt}"
