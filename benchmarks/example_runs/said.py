"""What an example says of a photo, and what Hangtag says of it."""

from dataclasses import dataclass
from pathlib import Path

from models.classifier import Classifier
from models.preprocess import opened


@dataclass(frozen=True)
class Said:
    """The label of a photo, its confidence, and whether a person should look."""

    label: str
    confidence: float
    review: bool


def hangtag_says(classifier: Classifier, photos: list[Path]) -> list[Said]:
    """The same by Hangtag, each photo decoded in full, as the examples do."""
    said = []
    for photo in photos:
        with opened(photo.read_bytes()) as image:
            prediction = classifier.classify(image)
        said.append(Said(prediction.label, prediction.confidence, prediction.review))
    return said


def parse(printed: str, photos: list[Path]) -> list[Said]:
    """The lines of an example that prints ``photo, label, confidence, status``, with tabs between.

    Raises:
        ValueError: a photo has no line, or another's.
    """
    rows = [line.split("\t") for line in printed.splitlines()]
    if [name for name, *_ in rows] != [str(photo) for photo in photos]:
        msg = f"Expected a line for each of {len(photos)} photos, in their order, got {printed!r}"
        raise ValueError(msg)
    return [Said(label, float(confidence), status == "review") for _, label, confidence, status in rows]
