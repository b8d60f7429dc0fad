"""Judging the best network of a training on validation and test, and learning how sure it may be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from models.decision import Rules, Scores
from models.statistics.calibration import calibrated
from models.statistics.confidence import Confidence
from models.statistics.out_of_distribution import OutOfDistribution
from models.statistics.thresholds import HeldOut, fit_confidence, ruling_thresholds
from trainer.data.csv_files import path_in, write_rows
from trainer.data.dataset import Split
from trainer.judging.evaluate import SplitPredictions
from trainer.judging.folds import held_out
from trainer.learning.predictions import predict
from trainer.learning.training import Training, labels_of
from trainer.splits.prepare import Prepared

__all__ = ["Judgement", "judge", "write_predictions"]

_COLUMNS = ("image", "split", "label", "predicted", "confidence", "unknown", "status")


@dataclass(frozen=True)
class Judgement:
    """What came of judging a network on validation, and on test where there are such photos."""

    judged: Mapping[Split, SplitPredictions]
    confidence: Confidence
    out_of_distribution: OutOfDistribution


def judge(network: keras.Model, training: Training, prepared: Prepared, folds: Sequence[HeldOut]) -> Judgement:
    """Show the best network of a training the photos of validation and test, which it has not learned from."""
    photos = {split: found for split in (Split.VAL, Split.TEST) if (found := prepared.of(split))}
    predictions = {
        split: predict(network, [photo.sha256 for photo in found], training.store) for split, found in photos.items()
    }
    validation, score = held_out(network, training, photos[Split.VAL], predictions[Split.VAL])
    confidence = fit_confidence(validation, score.unknown, folds)
    judged = {
        split: SplitPredictions(
            photos=found,
            labels=labels_of(found, training.args.classes),
            logits=predictions[split].logits,
            probabilities=calibrated(predictions[split].logits, confidence.temperature),
            unknown=score.head.score(predictions[split].features),
        )
        for split, found in photos.items()
    }
    return Judgement(judged, confidence, score)


def write_predictions(
    path: Path, judged: Mapping[Split, SplitPredictions], confidence: Confidence, classes: Sequence[str], data: Path
) -> None:
    """Write ``predictions.csv``: a row a photo of validation and test, whose path starts at the data.

    ``status`` is what labelling makes of the photo at the precision that rules.
    """
    limit = confidence.unknown.limit if confidence.unknown else None
    rules = Rules(tuple(classes), ruling_thresholds(confidence, len(classes)), limit)
    write_rows(path, _COLUMNS, (row for split, found in judged.items() for row in _rows(split, found, rules, data)))


def _rows(split: Split, judged: SplitPredictions, rules: Rules, data: Path) -> Iterator[Sequence[object]]:
    decided = rules.decide(Scores(judged.probabilities, judged.unknown), top_k=1)
    for photo, found in zip(judged.photos, decided, strict=True):
        image, unknown = path_in(data, photo.path), "" if found.unknown is None else f"{found.unknown:.6g}"
        status = "review" if found.review else "labeled"
        yield image, split.value, photo.label, found.label, f"{found.confidence:.6f}", unknown, status
