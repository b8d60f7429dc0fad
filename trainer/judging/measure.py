"""Evaluates a run or a bundle on labelled photos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shlex import quote

import numpy as np
import numpy.typing as npt

from models.bundle import MANIFEST_FILE
from models.classifier import BATCH, load
from models.decision import Scores
from models.errors import DataError, InputError
from models.photo import NONE
from models.preprocess import Pixels, PreprocessSpec
from models.statistics.calibration import calibrated, class_logits
from models.statistics.confidence import Calibration
from models.statistics.out_of_distribution import DistanceHead
from models.taxonomy import Taxonomy
from models.text import label_text
from trainer.check.checkup import Advance
from trainer.data.dataset import Exclusion, Split, fetch_photos, read_dataset
from trainer.data.photo_cache import PixelStore
from trainer.data.table import TableRead
from trainer.judging.figures import (
    AchievedPrecision,
    Figures,
    OutlierFigures,
    distances,
    group_effect,
    outlier_figures,
    realised,
    score,
)
from trainer.request import USUAL_COLUMNS, TableOptions
from trainer.run import open_run
from trainer.splits.assigned import read_splits
from trainer.splits.prepare import decode_all


@dataclass(frozen=True)
class _Model:
    score: Callable[[Pixels], Scores]
    spec: PreprocessSpec
    classes: tuple[str, ...]
    rules: Calibration
    tree: Taxonomy | None
    learned_from: frozenset[str] | None


@dataclass(frozen=True)
class Measurement:
    """The figures of a model on labelled photos.

    Attributes:
        left_out: photos that could not be downloaded or read, with the reasons.
        learned_from: number of photos left out because the run used them for training or validation. None for a bundle.
        whole: true if the data has no test split, so that all photos were measured.
        outliers: figures of photos without a product. All other figures exclude these photos.
        coverage_at_precision, distances: empty if the model has no tree of labels.
        precision: the model's default precision. ``achieved``: the measured coverage and precision.
    """

    figures: Figures
    left_out: tuple[Exclusion, ...]
    learned_from: int | None
    whole: bool
    outliers: OutlierFigures | None
    table: TableRead | None
    coverage_at_precision: Mapping[str, AchievedPrecision] = field(default_factory=dict)
    distances: Mapping[int, int] = field(default_factory=dict)
    precision: float | None = None
    achieved: AchievedPrecision | None = None


def measure(
    model_path: Path,
    data: Path,
    cache: Path,
    table: TableOptions = USUAL_COLUMNS,
    advance: Advance = lambda what, done, total: None,
) -> Measurement:
    """Evaluate a run, a bundle or a single ONNX file.

    Uses the test split of the data, or all photos if there is no test split. A run's own training photos are left out.
    For the intervals, photos of one product form a group; so do identical files.
    """
    advance("Loading", 0, 1)
    model = _open_model(model_path)
    dataset = read_dataset(data, table)
    test = tuple(photo for photo in dataset.photos if photo.split is Split.TEST)
    dataset = replace(dataset, photos=test or dataset.photos)
    names = [*map(label_text, model.classes)]
    if unknown := sorted({photo.label for photo in dataset.photos} - {*names, NONE}):
        msg = f"{model_path} lacks the classes {', '.join(unknown)}; its classes are {', '.join(model.classes)}."
        raise DataError(msg)
    store = PixelStore(cache, model.spec)
    dataset = fetch_photos(dataset, table, cache, partial(advance, "Fetching"))
    readable, unread = decode_all(dataset.photos, store, advance)
    fresh = [(photo, sha256) for photo, sha256 in readable if sha256 not in (model.learned_from or ())]
    known = [(photo, sha256) for photo, sha256 in fresh if photo.label != NONE]
    if not known:
        msg = f"Expected photos in {data} outside the training of {model_path}, found none; use other photos."
        raise DataError(msg)
    scores = _scores(model, store, [sha256 for _, sha256 in known], partial(advance, "Measuring"))
    truths = np.array([names.index(photo.label) for photo, _ in known], np.intp)
    products = [photo.product or sha256 for photo, sha256 in known]
    effect = group_effect(scores.probabilities, truths, np.unique(products, return_inverse=True)[1].reshape(-1))
    figures = score(scores.probabilities, truths, model.classes, effect)
    learned_from = None if model.learned_from is None else len(readable) - len(fresh)
    none = [sha256 for photo, sha256 in fresh if photo.label == NONE]
    outliers = _outliers(model, store, none, scores, partial(advance, "Measuring _none")) if none else None
    measured = Measurement(figures, tuple(unread), learned_from, not test, outliers, dataset.table)
    return _with_promises(measured, model, scores, truths, effect)


def _outliers(
    model: _Model, store: PixelStore, sha256s: Sequence[str], known: Scores, advance: Callable[[int, int], None]
) -> OutlierFigures | None:
    strange = _scores(model, store, sha256s, advance)
    if model.rules.unknown is None or strange.unknown is None or known.unknown is None:
        return None
    return outlier_figures(strange.unknown, known.unknown, model.rules.unknown.limit)


def _with_promises(
    measured: Measurement, model: _Model, scores: Scores, truths: npt.NDArray[np.intp], effect: float
) -> Measurement:
    inside = np.ones(len(truths), np.bool_)
    if model.rules.unknown is not None and scores.unknown is not None:
        inside = np.asarray(scores.unknown <= model.rules.unknown.limit)
    achieved = {
        f"{target.precision:.2f}": realised(scores.probabilities, truths, inside, target, model.tree, effect)
        for target in model.rules.targets
    }
    if model.rules.precision is not None:
        own = achieved.get(f"{model.rules.precision:.2f}")
        measured = replace(measured, precision=model.rules.precision, achieved=own)
    if model.tree is None:
        return measured
    away = distances(scores.probabilities, truths, model.tree)
    return replace(measured, coverage_at_precision=achieved, distances=away)


def _scores(model: _Model, store: PixelStore, sha256s: Sequence[str], advance: Callable[[int, int], None]) -> Scores:
    parts = []
    for start in range(0, len(sha256s), BATCH):
        advance(start, len(sha256s))
        parts.append(model.score(store.take(sha256s[start : start + BATCH])))
    unknown = [part.unknown for part in parts if part.unknown is not None]
    return Scores(np.concatenate([part.probabilities for part in parts]), np.concatenate(unknown) if unknown else None)


def _open_model(path: Path) -> _Model:
    if (path / "args.json").is_file():
        return _open_run(path)
    if not path.is_file() and not (path / MANIFEST_FILE).is_file():
        msg = (
            f"Expected a run (a folder with args.json), a bundle (a folder with {MANIFEST_FILE}) or an .onnx file "
            f"at {path}, got something else; check the path."
        )
        raise InputError(msg)
    classifier = load(path)
    metadata = classifier.metadata
    return _Model(classifier.score, metadata.preprocess, classifier.labels, metadata, metadata.tree, learned_from=None)


def _open_run(path: Path) -> _Model:
    from exporter.options import load_tensorflow

    load_tensorflow()
    import keras

    run = open_run(path)
    if not run.confidence.is_file():
        msg = f"{path} has no evaluation yet; continue the training: hangtag train --resume {quote(str(path))}"
        raise InputError(msg)
    network = keras.saving.load_model(run.best, compile=False)
    ends = keras.Model(network.inputs, [network.get_layer(name).output for name in ("logits", "features")])
    args, sure = run.args(), run.read_confidence()
    with run.unknown.open("rb") as file:
        head = DistanceHead.read(file)

    def scores(pixels: Pixels) -> Scores:
        logits, features = ends.predict_on_batch(pixels)
        probabilities = calibrated(class_logits(logits), sure.temperature)
        return Scores(probabilities, head.score(features))

    learned_from = frozenset(
        one.sha256 for one in read_splits(run.splits) if one.present and one.split is not Split.TEST
    )
    return _Model(scores, args.preprocess, args.classes, sure, args.tree, learned_from)
