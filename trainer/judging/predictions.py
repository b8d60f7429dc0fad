"""``predictions.csv``: what the best network says of each photo of validation and test."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from models.decision import Rules, Scores
from models.statistics.confidence import Confidence
from models.statistics.thresholds import ruling_thresholds
from trainer.data.csv_file import write_rows
from trainer.data.dataset import Split
from trainer.data.path_cell import path_in
from trainer.judging.judged import Judged

__all__ = ["write_predictions"]

_COLUMNS = ("image", "split", "label", "predicted", "confidence", "unknown", "status")


def write_predictions(
    path: Path, judged: Mapping[Split, Judged], confidence: Confidence, classes: Sequence[str], data: Path
) -> None:
    """Write a row a photo; ``status`` is what labelling would make of it at the precision that rules.

    Args:
        path: of the file.
        judged: what the network said.
        confidence: how sure it may be.
        classes: names, in index order.
        data: the folder or the CSV of the photos, where their paths start.
    """
    write_rows(
        path,
        _COLUMNS,
        (row for split, found in judged.items() for row in _rows(split, found, confidence, classes, data)),
    )


def _rows(
    split: Split, judged: Judged, confidence: Confidence, classes: Sequence[str], data: Path
) -> Iterator[Sequence[object]]:
    limit = confidence.unknown.limit if confidence.unknown else None
    rules = Rules(tuple(classes), ruling_thresholds(confidence, len(classes)), limit)
    decided = rules.decide(Scores(judged.probabilities, judged.unknown), top_k=1)
    for photo, found in zip(judged.photos, decided, strict=True):
        strange = "" if found.unknown is None else f"{found.unknown:.6g}"
        status = "review" if found.review else "labeled"
        yield (
            path_in(data, photo.path),
            split.value,
            photo.label,
            found.label,
            f"{found.confidence:.6f}",
            strange,
            status,
        )
