"""How often promises are kept on new photos, with scores of real networks.

    python benchmarks/promises_kept.py PHOTOS --weights FILE [--draws 30]
    python benchmarks/promises_kept.py --drawn 5000 [-- train options]

Each draw takes some classes and some of their photos from ``PHOTOS`` (folders of class folders). It fits a head on
frozen features of a MobileNet 0.25 as a training does, and five more heads, each without a fifth of the photos. It
finds thresholds on each head's held-out photos, and measures them on all other photos of these classes. ``--drawn``
instead renders this many photos of products in ten colours, 80 classes, and runs ``hangtag train`` once, on half of the
photos.

Prints for each target the number of draws that promised the target, the coverage, and the possible coverage (at the
lowest threshold that keeps the target on these photos). Also prints how many labels were right, and how many draws
broke the promise by more than chance explains (5% level).
"""

import argparse
import csv
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from material import hangtag
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from exporter.options import load_tensorflow
from models.preprocess import IMAGE_SUFFIXES, PreprocessSpec, preprocess
from models.statistics.calibration import calibrated
from models.statistics.confidence import TARGETS
from models.statistics.thresholds import HeldOutLogits, automatic, fit_confidence

SIZE = 160
FOLDS = 5
VALIDATION = 0.1
PENALTY = 1e-2
"""Inverse strength of the penalty, near the best of the values that a training tries."""
BATCH = 64
COLOURS = (0, 3, 4, 5, 6, 7, 9, 11, 16, 22)
"""Indices of ten clearly different colours in the palette."""
BY_CHANCE = 0.05

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.intp]


@dataclass
class Kept:
    """One target's results, summed over draws."""

    draws: int = 0
    promised: int = 0
    covered: float = 0.0
    possible: float = 0.0
    automatic: int = 0
    wrong: int = 0
    broken: int = 0


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--weights", type=Path, help="weights of keras.applications.MobileNet, alpha 0.25")
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--drawn", type=int, metavar="PHOTOS", help="render products in ten colours instead")
    place = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    asked = parser.parse_args(sys.argv[1:place])
    if (asked.photos is None or asked.weights is None) == (asked.drawn is None):
        parser.error("give either PHOTOS and --weights, or --drawn")
    if asked.drawn:
        _train_on_drawn(asked.drawn, sys.argv[place + 1 :])
        return
    load_tensorflow()
    paths = sorted(path for path in asked.photos.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    names = sorted({path.parent.name for path in paths})
    labels = np.array([names.index(path.parent.name) for path in paths], np.intp)
    features = _features(paths, asked.weights)
    kept: dict[float, Kept] = defaultdict(Kept)
    accuracies, monotone = [], 0
    for seed in track(range(asked.draws), "Drawing"):
        random = np.random.default_rng(seed)
        accuracy, covered = _draw(features, labels, _some(labels, random), random, kept)
        accuracies.append(accuracy)
        monotone += all(loose >= strict for loose, strict in pairwise(covered))
    _show(kept, accuracies, monotone)


def _train_on_drawn(count: int, options: list[str]) -> None:
    """Render products; a class is a product in a colour. Every second photo is a test photo."""
    from trainer.sample.photo import PALETTE, draw_photo
    from trainer.sample.products import PRODUCTS

    random, products = np.random.default_rng(0), tuple(PRODUCTS)
    with tempfile.TemporaryDirectory() as name:
        folder, number = Path(name), 0
        with Progress() as progress:
            task = progress.add_task("Drawing photos", total=count)
            while number < count:
                photo = draw_photo(random, product := products[number % len(products)])
                if (colour := PALETTE.index(photo.body)) in COLOURS:
                    split = ("train", "test")[number // len(products) % 2]
                    place = folder / "photos" / split / f"{product} {COLOURS.index(colour)}"
                    place.mkdir(parents=True, exist_ok=True)
                    photo.image.save(place / f"{number:05d}.png")
                    number += 1
                    progress.advance(task)
        hangtag("train", folder / "photos", "--out", folder, "--name", "run", *options)
        evaluation = json.loads((folder / "run" / "evaluation.json").read_text())
        with (folder / "run" / "predictions.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    right = np.array([row["label"] == row["predicted"] for row in rows])
    confidence = np.array([float(row["confidence"]) for row in rows])
    kept: dict[float, Kept] = defaultdict(Kept)
    covered = []
    for target in TARGETS:
        judged = evaluation["coverage_at_precision"][f"{target:.2f}"]
        found, promised = judged["test"], any((judged[one] or {"coverage": 0})["coverage"] for one in ("val", "cv"))
        covered.append(found["coverage"])
        possible = _possible(right, confidence, target)
        _count(kept[target], target, found["automatic"], found["wrong"], found["coverage"], possible, promised=promised)
    _show(kept, [float(right.mean())], all(loose >= strict for loose, strict in pairwise(covered)))


def _features(paths: list[Path], weights: Path) -> Features:
    import keras

    from trainer.networks.build import build_network
    from trainer.request import Arch

    network = build_network(Arch.MOBILENET, SIZE, 3, weights=weights, alpha=0.25)
    ask = keras.Model(network.inputs, network.get_layer("features").output)
    spec = PreprocessSpec(size=SIZE)
    parts = [
        ask({"image": np.stack([preprocess(path.read_bytes(), spec) for path in paths[i : i + BATCH]])}).numpy()
        for i in track(range(0, len(paths), BATCH), "Looking at photos")
    ]
    return np.concatenate(parts)


def _some(labels: Labels, random: np.random.Generator) -> Labels:
    """Indices of a draw's photos: 25 to 200 photos of each class, and at most half of them; 3 classes or more."""
    classes = np.unique(labels)
    names = random.permutation(classes)[: random.integers(3, len(classes) + 1)]
    most = int(np.exp(random.uniform(np.log(25), np.log(200))))
    places = [random.permutation(np.flatnonzero(labels == name)) for name in names]
    return np.concatenate([own[: min(most, len(own) // 2)] for own in places])


def _draw(
    features: Features, labels: Labels, chosen: Labels, random: np.random.Generator, kept: dict[float, Kept]
) -> tuple[float, list[float]]:
    names, known = np.unique(labels[chosen], return_inverse=True)
    order = random.permutation(len(chosen))
    held = order[: max(10, round(VALIDATION * len(chosen)))]
    learned = order[len(held) :]
    fold_of = random.integers(0, FOLDS, len(learned))
    folds = []
    for fold in range(FOLDS):
        others, own = learned[fold_of != fold], learned[fold_of == fold]
        logits = _head(features[chosen[others]], known[others], len(names))(features[chosen[own]])
        folds.append(_held_out(logits, known[own]))
    said = _head(features[chosen[learned]], known[learned], len(names))
    confidence = fit_confidence(_held_out(said(features[chosen[held]]), known[held]), None, folds, cv=True)
    fresh = np.setdiff1d(np.flatnonzero(np.isin(labels, names)), chosen)
    truth = np.searchsorted(names, labels[fresh])
    probabilities = calibrated(said(features[fresh]), confidence.temperature)
    right = probabilities.argmax(axis=1) == truth
    covered = []
    for target in confidence.targets:
        rows = automatic(probabilities, np.ones(len(right), np.bool_), target.thresholds)
        count, wrong = int(rows.sum()), int((rows & ~right).sum())
        covered.append(count / len(right))
        possible = _possible(right, probabilities.max(axis=1), target.precision)
        promised = target.coverage > 0
        _count(kept[target.precision], target.precision, count, wrong, covered[-1], possible, promised=promised)
    return float(right.mean()), covered


def _possible(right: npt.NDArray[np.bool_], confidence: npt.NDArray[np.floating], target: float) -> float:
    """Coverage at the lowest threshold that keeps the target on the measured photos."""
    falling = right[np.argsort(-confidence, kind="stable")].cumsum() / np.arange(1, len(right) + 1)
    return float(np.flatnonzero(falling >= target).max(initial=-1) + 1) / len(right)


def _count(
    one: Kept, target: float, count: int, wrong: int, covered: float, possible: float, *, promised: bool
) -> None:
    one.draws += 1
    one.promised += promised
    one.covered += covered
    one.possible += possible
    one.automatic += count
    one.wrong += wrong
    one.broken += bool(count and binom.cdf(count - wrong, count, target) < BY_CHANCE)


def _head(features: Features, labels: Labels, classes: int) -> "_Head":
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    fitted = LogisticRegression(C=PENALTY, max_iter=1000, tol=1e-3).fit((features - mean) / spread, labels)
    return _Head(fitted, mean, spread, classes)


@dataclass(frozen=True)
class _Head:
    fitted: LogisticRegression
    mean: Features
    spread: Features
    classes: int

    def __call__(self, features: Features) -> Features:
        """Return logits ``(n, classes)``; classes without training photos have probabilities near 0."""
        said = self.fitted.predict_log_proba((features - self.mean) / self.spread)
        logits = np.full((len(features), self.classes), said.min() - 10.0, np.float32)
        logits[:, self.fitted.classes_] = said
        return logits


def _held_out(logits: Features, labels: Labels) -> HeldOutLogits:
    return HeldOutLogits(logits, labels, np.ones(len(labels), np.bool_), np.arange(len(labels)))


def _show(kept: dict[float, Kept], accuracies: list[float], monotone: int) -> None:
    table = Table("target", "promised", "coverage", "possible", "right", "broken")
    for target in TARGETS:
        one = kept[target]
        precision = f"{one.automatic - one.wrong} of {one.automatic}"
        if one.automatic:
            precision += f", {1 - one.wrong / one.automatic:.3f}"
        shares = (f"{total / one.draws:.1%}" for total in (one.covered, one.possible))
        times = (f"{number} of {one.draws}" for number in (one.promised, one.broken))
        table.add_row(f"{target}", next(times), *shares, precision, next(times))
    console = Console(width=120)
    console.print(table)
    spread = f"{min(accuracies):.3f} to {max(accuracies):.3f}"
    console.print(f"Accuracy {np.mean(accuracies):.3f} ({spread}).")
    console.print(f"Coverage does not rise with the target in {int(monotone)} of {len(accuracies)}.")


if __name__ == "__main__":
    main()
