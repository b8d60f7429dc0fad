"""Scores champion and challenger, as they would label, on the same frozen test split."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.classifier import BATCH, Classifier, load
from models.errors import BundleError
from models.preprocess import PreprocessSpec
from trainer.data.cache import pixels_folder
from trainer.data.pixel_store import PixelStore
from trainer.retrain.answers import Answers
from trainer.retrain.class_change import check_class_map
from trainer.retrain.compare_answers import Contestant, compare_answers
from trainer.retrain.config import ClassMap
from trainer.retrain.footprint import default_file, measure_footprints
from trainer.retrain.frozen_photos import read_frozen_photos
from trainer.retrain.records import Comparison
from trainer.retrain.tools import Advance
from trainer.run import Run
from trainer.splits.assigned import AssignedPhoto

__all__ = ["compare"]


def compare(
    run: Path,
    challenger: Path,
    champion: Path | None,
    names: tuple[str | None, str],
    classes: ClassMap,
    cache: Path,
    advance: Advance,
) -> Comparison:
    """Compare two bundles: their default variants, each with pixels of its own preprocessing.

    Args:
        run: a run folder, whose ``splits.csv`` holds the frozen test split.
        challenger: a bundle.
        champion: a bundle; none for a first model.
        names: of champion and challenger, as people say them: ``shop@3``.
        classes: what became of the champion's classes.
        cache: where decoded photos are kept.
        advance: told how it goes.

    Returns:
        The figures. Photos that are gone or cannot be read any more count for neither; ``unread`` says how many.

    Raises:
        BundleError: a bundle is damaged, or gives no probabilities.
        DataError: the run has no splits.
        InputError: the map contradicts itself, or names what nobody knows.
    """
    bundles = [challenger] if champion is None else [challenger, champion]
    models = [load(bundle) for bundle in bundles]
    if champion is not None:
        check_class_map(classes, models[1].labels)
    stores = _stores([model.metadata.preprocess for model in models], cache)
    test = read_frozen_photos(Run(run).splits, list(stores.values()), lambda *at: advance("Decoding test photos", *at))
    answers = [
        _answer(
            model,
            _keeping(models[-1].precision, model, bundle),  # to label more by promising less would be no gain
            stores[model.metadata.preprocess],
            test.photos,
            advance,
        )
        for model, bundle in zip(models, bundles, strict=True)
    ]
    costs = measure_footprints(list(map(default_file, bundles)), lambda *at: advance("Measuring speed", *at))
    called = [names[1], names[0] or str(champion)]
    found = [Contestant(*parts) for parts in zip(called, answers, costs, strict=False)]
    return compare_answers(test.photos, found[1] if champion else None, found[0], classes, unread=len(test.unread))


def _keeping(precision: float | None, model: Classifier, bundle: Path) -> Classifier:
    """The same model with the thresholds of a precision, if it has them; else as it is."""
    known = {target.precision for target in model.metadata.targets}
    return load(bundle, precision=precision) if precision in known else model


def _stores(specs: Sequence[PreprocessSpec], cache: Path) -> dict[PreprocessSpec, PixelStore]:
    return {spec: PixelStore(pixels_folder(cache), spec) for spec in dict.fromkeys(specs)}


def _answer(
    model: Classifier, asked: Classifier, store: PixelStore, photos: Sequence[AssignedPhoto], advance: Advance
) -> Answers:
    """What a model says, and what it would label without a person by its own choice, and as it is asked here."""
    said = np.empty((len(photos), len(model.labels)), np.float32)
    own_sure, sure = np.empty((2, len(photos)), np.bool_)
    for start in range(0, len(photos), BATCH):
        batch = slice(start, min(start + BATCH, len(photos)))
        scores = model.score(store.take([photo.sha256 for photo in photos[batch]]))
        said[batch] = scores.probabilities
        own_sure[batch] = [not found.review for found in model.decide(scores, top_k=1)]
        sure[batch] = [not found.review for found in asked.decide(scores, top_k=1)]
        advance(f"Asking {model.reference}", batch.stop, len(photos))
    if not np.isfinite(said).all():
        msg = f"Expected probabilities from {model.reference}, got what is no number; export the model again."
        raise BundleError(msg)
    return Answers(model.labels, said, sure, asked.precision, own_sure, model.precision)
