"""Compares champion and challenger on the same frozen test split, and measures their size and speed."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from models.bundle import open_bundle
from models.classifier import BATCH, Classifier, load
from models.errors import BundleError
from models.manifest import FLOAT32
from models.photo import NONE
from models.process import usable_cores
from models.session import open_session
from trainer.data.dataset import Split
from trainer.data.photo_cache import PixelStore
from trainer.retrain.compare_predictions import ModelPredictions, compare_predictions
from trainer.retrain.config import ClassMap
from trainer.retrain.cycle_folder import Comparison, Footprint
from trainer.splits.assigned import AssignedPhoto, read_splits

_ROUNDS: Final = 60
_FEWEST: Final = 5
_SECONDS: Final = 10.0
"""Timing stops after this many seconds, but not before ``_FEWEST`` rounds."""

Advance = Callable[[str, int, int], None]


class Contestant(NamedTuple):
    """A model to compare, such as ``shop@3``. ``splits``: the ``splits.csv`` of its training, if known."""

    name: str
    bundle: Path
    splits: Path | None


def compare(
    challenger: Contestant, champion: Contestant | None, classes: ClassMap, cache: Path, advance: Advance
) -> Comparison:
    """Compare two bundles by their default variants. Each model has its own preprocessing.

    Both models skip missing and unreadable photos, which ``unread`` counts.

    Args:
        challenger: the model to test. Its splits contain the test photos.
        champion: the current model, or None. Its own test photos were used to choose it.
        classes: renamed and dropped classes of the champion.
        cache: folder for decoded photos.
        advance: called with (step, done, total).
    """
    both = [challenger, champion] if champion else [challenger]
    models = [load(one.bundle) for one in both]
    if champion:
        classes.check(models[1].labels)
    stores = {spec: PixelStore(cache, spec) for spec in (model.metadata.preprocess for model in models)}
    held = _test_photos(challenger.splits)
    now = [photo for photo in held if photo.label != NONE]
    photos = read_frozen_photos(now, list(stores.values()), partial(advance, "Decoding test photos"))
    earlier = _test_photos(champion.splits) if champion and champion.splits else None
    there = {photo.sha256 for photo in held}
    dropped = {*classes.drop, NONE}
    gone = [photo for photo in earlier or () if photo.label not in dropped and photo.sha256 not in there]
    costs = measure_footprints([one.bundle for one in both], partial(advance, "Measuring speed"))
    kept = models[-1].precision
    predictions = []
    for one, model, cost in zip(both, models, costs, strict=True):
        known = {target.precision for target in model.metadata.targets}
        # use the champion's precision for both models, to compare how many photos they label
        same_promise = load(one.bundle, precision=kept) if kept in known else model
        store = stores[model.metadata.preprocess]
        predictions.append(_predictions(one.name, model, same_promise, store, photos, cost, advance))
    return compare_predictions(
        photos,
        predictions[1] if champion else None,
        predictions[0],
        classes,
        unread=len(now) - len(photos) + len(gone),
        chosen_on=None if earlier is None else {photo.sha256 for photo in earlier},
    )


def _test_photos(splits: Path | None) -> list[AssignedPhoto]:
    photos = read_splits(splits) if splits else ()
    return [photo for photo in photos if photo.split is Split.TEST and photo.present]


def _predictions(
    name: str,
    model: Classifier,
    same_promise: Classifier,
    store: PixelStore,
    photos: Sequence[AssignedPhoto],
    footprint: Footprint,
    advance: Advance,
) -> ModelPredictions:
    probabilities = np.empty((len(photos), len(model.labels)), np.float32)
    own_sure, sure = np.empty((2, len(photos)), np.bool_)
    for start in range(0, len(photos), BATCH):
        batch = slice(start, min(start + BATCH, len(photos)))
        scores = model.score(store.take([photo.sha256 for photo in photos[batch]]))
        probabilities[batch] = scores.probabilities
        own_sure[batch] = [
            not (prediction.review or prediction.label_level) for prediction in model.decide(scores, top_k=1)
        ]
        sure[batch] = [
            not (prediction.review or prediction.label_level) for prediction in same_promise.decide(scores, top_k=1)
        ]
        advance(f"Asking {model.reference}", batch.stop, len(photos))
    if not np.isfinite(probabilities).all():
        msg = f"Expected probabilities from {model.reference}, got NaN; export the model again."
        raise BundleError(msg)
    return ModelPredictions(
        name, model.labels, probabilities, sure, same_promise.precision, own_sure, model.precision, footprint
    )


def read_frozen_photos(
    photos: Sequence[AssignedPhoto], stores: Sequence[PixelStore], on_photo: Callable[[int, int], None]
) -> list[AssignedPhoto]:
    """Decode photos that a pixel store lacks. Returns the photos that all stores can decode."""
    lacking = [{photo.sha256: photo.path for photo in photos if store.lacks(photo.sha256)} for store in stores]
    done, total = count(1), sum(map(len, lacking))
    for store, files in zip(stores, lacking, strict=True):
        store.add(files, usable_cores(), lambda: on_photo(next(done), total))
    return [photo for photo in photos if not any(store.fault(photo.sha256) for store in stores)]


def measure_footprints(bundles: Sequence[Path], on_round: Callable[[int, int], None]) -> list[Footprint]:
    """Measure the file size of each bundle's model, and its speed on one thread.

    If their default variants differ, the float32 models are measured. The speed is measured on the fastest batch, in
    CPU time, so that other programs have little effect.
    """
    tasks, compared, default = [], [], []
    manifests = [open_bundle(bundle).manifest for bundle in bundles]
    alike = len({manifest.default_variant for manifest in manifests}) == 1
    for bundle, manifest in zip(bundles, manifests, strict=True):
        variant = manifest.default_variant if alike or FLOAT32 not in manifest.variants else FLOAT32
        model = (bundle / manifest.variants[variant].file).read_bytes()
        session = open_session(model, str(bundle), threads=1)
        shape = (BATCH, manifest.preprocess.size, manifest.preprocess.size, 3)
        pixels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
        compared.append(len(model))
        default.append((bundle / manifest.variants[manifest.default_variant].file).stat().st_size)
        tasks.append(partial(session.run, ["probabilities"], {"image": pixels}))
    times = quickest(tasks, _ROUNDS, on_round, time.thread_time)
    speeds = [BATCH / seconds for seconds in times]
    return [
        Footprint(default_bytes=default_bytes, compared_bytes=compared_bytes, images_per_s=speed)
        for default_bytes, compared_bytes, speed in zip(default, compared, speeds, strict=True)
    ]


def quickest(
    tasks: Sequence[Callable[[], object]], rounds: int, on_round: Callable[[int, int], None], clock: Callable[[], float]
) -> list[float]:
    """Run all tasks in each round, after a warm-up round, and return each task's shortest time."""
    best = [float("inf")] * len(tasks)
    start = clock()
    for number in range(rounds + 1):
        for place, task in enumerate(tasks):
            began = clock()
            task()
            if number:
                best[place] = min(best[place], clock() - began)
        if number >= _FEWEST and clock() - start > _SECONDS:
            break
        on_round(number, rounds)
    on_round(rounds, rounds)
    return best
