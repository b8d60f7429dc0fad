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
    models = _load(challenger, champion)
    if champion is not None:
        check_class_map(classes, models[1].labels)
    stores = _stores([model.metadata.preprocess for model in models], cache)
    test = read_frozen_photos(Run(run).splits, list(stores.values()), lambda *at: advance("Decoding test photos", *at))
    answers = [
        _answer(model, bundle, stores[model.metadata.preprocess], test.photos, advance)
        for model, bundle in zip(models, bundles, strict=True)
    ]
    costs = measure_footprints(list(map(default_file, bundles)), lambda *at: advance("Measuring speed", *at))
    called = [names[1], names[0] or str(champion)]
    found = [Contestant(*parts) for parts in zip(called, answers, costs, strict=False)]
    return compare_answers(test.photos, found[1] if champion else None, found[0], classes, unread=len(test.unread))


def _load(challenger: Path, champion: Path | None) -> list[Classifier]:
    """Both promise the precision that the champion keeps: to label more by promising less is no gain."""
    if champion is None:
        return [load(challenger)]
    before, after = load(champion), load(challenger)
    if before.precision in {target.precision for target in after.metadata.targets}:
        after = load(challenger, precision=before.precision)
    return [after, before]


def _stores(specs: Sequence[PreprocessSpec], cache: Path) -> dict[PreprocessSpec, PixelStore]:
    return {spec: PixelStore(pixels_folder(cache), spec) for spec in dict.fromkeys(specs)}


def _answer(
    model: Classifier, bundle: Path, store: PixelStore, photos: Sequence[AssignedPhoto], advance: Advance
) -> Answers:
    said, sure = np.empty((len(photos), len(model.labels)), np.float32), np.empty(len(photos), np.bool_)
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        scores = model.score(store.take([photo.sha256 for photo in batch]))
        said[start : start + len(batch)] = scores.probabilities
        sure[start : start + len(batch)] = [not found.review for found in model.decide(scores, top_k=1)]
        advance(f"Asking {model.reference}", start + len(batch), len(photos))
    if not np.isfinite(said).all():
        msg = f"Expected probabilities from {bundle}, got what is no number; export the model again."
        raise BundleError(msg)
    return Answers(model.labels, said, sure, model.precision)
