"""How many wrong labels the list of label errors finds, and how many right labels it lists.

    python benchmarks/label_errors.py photos/ --weights mobilenet.weights.h5 --alpha 0.25 --epochs 12 --runs runs/
    python benchmarks/label_errors.py --speed

This program makes a share (``--share``) of training and validation labels wrong. ``hangtag train`` trains as usual. Its
list of label errors is compared with the wrong labels: for each small classifier, for the mean of the classifiers, and
for the mean together with the fold networks. A wrong label is mixed up (another class at random, common classes more
often) or alike (sampled from the probabilities of a classifier on frozen ImageNet features). Labels that were
wrong before count as right labels. Finished runs are not trained again; other options go to ``hangtag train``.
``--speed`` measures the time on random features.
"""

import argparse
import csv
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from material import hangtag
from rich.console import Console
from rich.table import Table

from exporter.options import load_tensorflow

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.intp]

SHOWN = (25, 50, 100, 200)
SPEEDS = ((3_000, 10, 256), (20_000, 100, 256), (20_000, 100, 1_280), (20_000, 1_000, 1_280))
console = Console(width=160)


def main() -> None:
    """Train missing runs, and print a table for each share and kind of wrong labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?", help="folders train, validation and test, with class folders")
    parser.add_argument("--weights", type=Path, help="weights of keras.applications.MobileNet without its top")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--share", type=float, nargs="+", default=[0.0, 0.03, 0.05])
    parser.add_argument("--kind", choices=("mixed", "alike"), nargs="+", default=["mixed", "alike"])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of old and new runs")
    parser.add_argument("--speed", action="store_true")
    asked, options = parser.parse_known_args()
    load_tensorflow()
    if asked.speed:
        for photos, classes, width in SPEEDS:
            console.print(_speed(photos, classes, width))
        return
    asked.runs.mkdir(parents=True, exist_ok=True)
    for share in asked.share:
        for kind in asked.kind if share else ["none"]:
            name = f"{kind}-{share:g}"
            if not (asked.runs / name / "evaluation.json").is_file():
                _spoil(asked, asked.runs / f"{name}.csv", share, kind)
                how = ("--arch", "mobilenet", "--weights", asked.weights, *options)
                hangtag("train", asked.runs / f"{name}.csv", "--out", asked.runs, "--name", name, *how)
            _show(name, asked.runs / name)


def _spoil(asked: argparse.Namespace, path: Path, share: float, kind: str) -> None:
    from trainer.data.dataset import Split, read_dataset

    photos = read_dataset(asked.photos).photos
    classes, truths = np.unique([photo.label for photo in photos], return_inverse=True)
    usable = np.flatnonzero([photo.split is not Split.TEST for photo in photos])
    rng, labels = np.random.default_rng(0), truths.copy()
    common = np.bincount(truths[usable]) / len(usable)
    guesses = _frozen(asked, [photos[i].path for i in usable], truths[usable]) if kind == "alike" else None
    for place in rng.permutation(len(usable))[: round(share * len(usable))]:
        chances = common.copy() if guesses is None else guesses[place].astype(np.float64)
        chances[truths[usable[place]]] = 0
        labels[usable[place]] = rng.choice(len(classes), p=chances / chances.sum())
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "label", "split"))
        for photo, label in zip(photos, labels, strict=True):
            writer.writerow((photo.path.resolve(), classes[label], photo.split))


def _frozen(asked: argparse.Namespace, paths: Sequence[Path], labels: Labels) -> Floats:
    from keras.applications import MobileNet
    from PIL import Image

    from trainer.judging.label_errors import out_of_fold

    network = MobileNet((128, 128, 3), alpha=asked.alpha, include_top=False, weights=str(asked.weights), pooling="avg")
    parts = []
    for start in range(0, len(paths), 64):
        photos = [Image.open(path).convert("RGB").resize((128, 128)) for path in paths[start : start + 64]]
        parts.append(np.asarray(network(np.stack(photos).astype(np.float32) / 127.5 - 1, training=False)))
    return out_of_fold(np.concatenate(parts), labels, [str(path) for path in paths], labels.max() + 1, 0)


def _show(name: str, path: Path) -> None:
    import keras

    from exporter.training_run import read_training_run
    from models.process import default_cache
    from trainer.data.dataset import Split
    from trainer.data.photo_cache import PixelStore
    from trainer.judging.evaluate import judge
    from trainer.judging.label_errors import out_of_fold
    from trainer.learning.training import Predictor, Training, labels_of
    from trainer.run import open_run
    from trainer.splits.assigned import read_splits
    from trainer.splits.prepare import Prepared

    run = open_run(path)
    args = run.args()
    prepared = Prepared([photo for photo in read_splits(run.splits) if photo.present], [], args.classes, ())
    store = PixelStore(default_cache(), args.preprocess)
    training = Training(args, store, prepared.of(Split.TRAIN), prepared.of(Split.VAL), run)
    predictor = Predictor(keras.saving.load_model(run.best, compile=False), store)
    unseen = judge(predictor, training, prepared, read_training_run(path).folds).out_of_fold
    photos = [*training.photos, *training.held]
    labels, groups = labels_of(photos, args.classes), [photo.group for photo in photos]
    wrong = np.array([photo.label != photo.path.parent.name for photo in photos])
    features = predictor.features([photo.sha256 for photo in photos])
    ask = partial(out_of_fold, features, labels, groups, len(args.classes), args.seed)
    said = _alone(features, labels, groups, args.seed) | {"mean of the three": ask()}
    if unseen:
        row_of = dict(zip(unseen.photos, unseen.probabilities, strict=True))
        folds = np.stack([row_of[photo] for photo in photos])
        said |= {"fold networks": folds, "mean of all four": ask(folds)}
    _show_found(name, said, labels, wrong)


def _show_found(name: str, said: dict[str, Floats], labels: Labels, wrong: npt.NDArray[np.bool_]) -> None:
    from trainer.judging.label_errors import LEAST_ODDS

    title = (
        f"{name}: {len(labels):,} photos, {wrong.sum()} labels wrong; odds of {LEAST_ODDS:g}; precision of the first"
    )
    table = Table("judged by", "listed", "right", "found", *map(str, SHOWN), "average precision", title=title)
    for who, probabilities in said.items():
        own = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-30)
        odds = probabilities.max(axis=1) / own
        ranked, listed = wrong[np.argsort(-odds, kind="stable")], odds >= LEAST_ODDS
        figures = [wrong[listed].mean(), *(ranked[:rows].mean() for rows in SHOWN), _average_precision(ranked)]
        figures.insert(1, wrong[listed].sum() / max(1, wrong.sum()))
        table.add_row(who, f"{listed.sum()}", *(f"{figure:.2f}" for figure in figures))
    console.print(table)


def _alone(features: Floats, labels: Labels, groups: Sequence[str], seed: int) -> dict[str, Floats]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
    from threadpoolctl import threadpool_limits

    from models.statistics.calibration import calibrated, fit_temperature
    from trainer.judging.folds import assign_folds
    from trainer.judging.label_errors import FOLDS

    ways = {
        "discriminant analysis": [LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)],
        "logistic regression": [LogisticRegression(C=0.01, max_iter=1_000, tol=0.1 / (labels.max() + 1))],
        "neighbours": [Normalizer(), KNeighborsClassifier(20)],
    }
    cut, said = PredefinedSplit(assign_folds(labels, groups, seed, FOLDS)), {}
    for who, way in ways.items():
        root = FunctionTransformer(lambda given: np.sign(given) * np.sqrt(np.abs(given)))
        with threadpool_limits(1):
            found = cross_val_predict(
                make_pipeline(root, StandardScaler(), *way), features, labels, cv=cut, method="predict_proba"
            )
        logits = np.log(np.maximum(found, 1e-30))
        said[who] = calibrated(logits, fit_temperature(logits, labels))
    return said


def _average_precision(ranked: npt.NDArray[np.bool_]) -> float:
    precisions = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precisions[ranked].mean()) if ranked.any() else float("nan")


def _speed(photos: int, classes: int, width: int) -> str:
    from trainer.judging.label_errors import out_of_fold

    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, photos)
    features = (rng.normal(size=(photos, width)) + rng.normal(0, 0.35, (classes, width))[labels]).astype(np.float32)
    began, worked = time.monotonic(), time.process_time()
    out_of_fold(features, labels, [str(place) for place in range(photos)], classes, 0)
    took, worked = time.monotonic() - began, time.process_time() - worked
    return f"{photos:,} photos, {classes:,} classes, {width:,} features: {took:.1f} s, {worked:.1f} processor s"


if __name__ == "__main__":
    main()
