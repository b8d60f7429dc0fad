"""Scores champion and challenger, as they would label, on the same frozen test split."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np

from models.benchmark.child import photo_like
from models.bundle import open_bundle
from models.classifier import BATCH, Classifier, load
from models.errors import BundleError
from models.preprocess import PreprocessSpec
from models.session import open_session
from models.statistics.intervals import proportion_interval
from trainer.data.dataset import Split
from trainer.data.photo_cache import PixelStore, pixels_folder
from trainer.data.photo_files import holds
from trainer.retrain.compare_answers import Answers, Contestant, check_class_map, compare_answers
from trainer.retrain.config import CatalogueSettings, ClassMap
from trainer.retrain.records import CatalogueDiff, Comparison, Footprint
from trainer.retrain.tools import Advance
from trainer.run import Run
from trainer.splits.assigned import AssignedPhoto, read_splits
from worker.catalogue_diff.diff import diff_catalogue
from worker.catalogue_diff.sample import SampleOptions, draw_sample

__all__ = [
    "FrozenPhotos",
    "ModelFile",
    "catalogue_diff",
    "compare",
    "default_file",
    "draw_rows",
    "gone_photos",
    "measure_footprints",
    "quickest",
    "read_frozen_photos",
]


_ROUNDS: Final = 60
_FEWEST: Final = 5
_SECONDS: Final = 10.0
"""Once these are over, and the fewest rounds with them, large models are done."""


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file, and the side of the photos that it takes."""

    path: Path
    size: int


def default_file(bundle: Path) -> ModelFile:
    """The bundle's default model: the one that labels.

    Raises:
        BundleError: there is no bundle, or it is damaged.
    """
    manifest = open_bundle(bundle).manifest
    return ModelFile(bundle / manifest.variants[manifest.default_variant].file, manifest.preprocess.size)


def measure_footprints(models: Sequence[ModelFile], on_round: Callable[[int, int], None]) -> list[Footprint]:
    """Measure models on one thread, batch by batch in turns.

    Speed is that of each model's quickest batch in the thread's own CPU time, so that what else the machine does
    matters little.

    Args:
        models: to measure; each at its own size of photos, in batches as labelling has them.
        on_round: told (done, of all) after each round.

    Raises:
        BundleError: a file is no model.
    """
    times = quickest([_labelling(model) for model in models], _ROUNDS, on_round, time.thread_time)
    return [
        Footprint(bytes=model.path.stat().st_size, images_per_s=BATCH / seconds)
        for model, seconds in zip(models, times, strict=True)
    ]


def quickest(
    tasks: Sequence[Callable[[], object]],
    rounds: int,
    on_round: Callable[[int, int], None],
    clock: Callable[[], float],
) -> list[float]:
    """The shortest time of each task, in seconds of the clock, done in turns; a first round does not count.

    Args:
        tasks: to be timed.
        rounds: at most; there are fewer, but five at least, where ten seconds are over.
        on_round: told (done, of all) after each round.
        clock: tells seconds.
    """
    best = [float("inf")] * len(tasks)
    start = clock()
    for number in range(rounds + 1):
        for place, task in enumerate(tasks):
            began = clock()
            task()
            took = clock() - began
            if number:
                best[place] = min(best[place], took)
        over = number >= rounds or (number >= _FEWEST and clock() - start > _SECONDS)
        on_round(rounds if over else number, rounds)
        if over:
            break
    return best


def _labelling(model: ModelFile) -> Callable[[], object]:
    session = open_session(model.path.read_bytes(), str(model.path), threads=1)
    pixels = photo_like(BATCH, (model.size, model.size))
    return lambda: session.run(["probabilities"], {"image": pixels})


@dataclass(frozen=True)
class FrozenPhotos:
    """Test photos whose pixels every store has.

    Attributes:
        photos: that both models are judged on.
        unread: those that neither is, since a store lacks them and their file is gone, changed or cannot be read.
    """

    photos: list[AssignedPhoto]
    unread: list[AssignedPhoto]


def read_frozen_photos(
    splits: Path, stores: Sequence[PixelStore], on_photo: Callable[[int, int], None]
) -> FrozenPhotos:
    """Find the test photos of a run, and decode what the stores lack.

    A photo that one store cannot have is left out of both, so that the comparison stays paired; the gate refuses a
    challenger where these are many.

    Args:
        splits: ``splits.csv``.
        stores: of each model's preprocessing.
        on_photo: told (decoded, to decode).

    Raises:
        DataError: ``splits.csv`` is missing or damaged.
    """
    photos = [photo for photo in read_splits(splits) if photo.split is Split.TEST and photo.present]
    lost = [{photo.sha256: photo.path for photo in photos if store.lacks(photo.sha256)} for store in stores]
    there = {sha256: path for files in lost for sha256, path in files.items() if holds(path, sha256)}
    wanted = [{sha256: path for sha256, path in files.items() if sha256 in there} for files in lost]
    done, total = count(1), sum(map(len, wanted))
    for store, files in zip(stores, wanted, strict=True):
        store.add(files, len(os.sched_getaffinity(0)), lambda: on_photo(next(done), total))
    known = [all(not store.lacks(p.sha256) and store.fault(p.sha256) is None for store in stores) for p in photos]
    return FrozenPhotos(
        photos=[photo for photo, whole in zip(photos, known, strict=True) if whole],
        unread=[photo for photo, whole in zip(photos, known, strict=True) if not whole],
    )


def gone_photos(
    earlier: Sequence[AssignedPhoto], now: Sequence[AssignedPhoto], dropped: Sequence[str]
) -> list[AssignedPhoto]:
    """Test photos of earlier splits that are not among those of today, and whose class is still labelled."""
    there = {photo.sha256 for photo in now if photo.present and photo.split is Split.TEST}
    tests = [photo for photo in earlier if photo.present and photo.split is Split.TEST and photo.label not in dropped]
    return [photo for photo in tests if photo.sha256 not in there]


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


def draw_rows(settings: CatalogueSettings, folder: Path) -> None:
    """Draw the rows now: a catalogue that cannot be used is told before hours of training, not after.

    Args:
        settings: the catalogue.
        folder: the one that :func:`catalogue_diff` will be given.

    Raises:
        InputError: the catalogue cannot be used.
        JobError: it is elsewhere and does not come.
    """
    draw_sample(settings.source, folder, settings.rows, _options(settings, {}))


def catalogue_diff(
    settings: CatalogueSettings,
    champion: Path,
    challenger: Path,
    folder: Path,
    renamed: Mapping[str, str],
    advance: Callable[[str, int, int], None],
) -> CatalogueDiff:
    """What of a catalogue would be labelled otherwise, by a sample of its rows.

    Args:
        settings: the catalogue, and how many of its rows are drawn; the same ones in every cycle while it is the same.
        champion: a bundle.
        challenger: another.
        folder: keeps what is needed to go on after a kill.
        renamed: the champion's labels → what the challenger calls the same: no change.
        advance: told what is being done.

    Raises:
        InputError: the catalogue cannot be used.
        BundleError: a bundle is damaged or disagrees with itself on this machine.
        JobError: it does not come; or no row could be labelled by both.
    """
    options = _options(settings, renamed)
    figures = diff_catalogue(champion, challenger, settings.source, folder, settings.rows, options, advance)
    share = proportion_interval(figures.changed, figures.rows)
    return CatalogueDiff(**dict(figures), changed_share_95=share)


def _options(settings: CatalogueSettings, renamed: Mapping[str, str]) -> SampleOptions:
    return SampleOptions(
        settings.image_column, settings.image_root, settings.encoding, settings.allow_hosts, dict(renamed)
    )
