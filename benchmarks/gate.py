"""How often the gate promotes a challenger that is equal, better, worse, or worse on one class. Nothing is trained.

    python benchmarks/gate.py [--trials 240] [--seed 0] [--photos FOLDER --weights FILE]

Each trial samples test photos of ten classes, and the probabilities of champion and challenger. Each model has
thresholds from its own held-out photos. The models share a part of each photo's noise, so they make errors on the same
photos, like two trainings of one network. One photo in two hundred has a wrong label. The gate has its default limits.

With --photos (class folders at any depth) and --weights (Keras's MobileNet 0.25 without its top), a second table has
real networks: heads on frozen features, fitted on different photos and different numbers of photos. 60% of the photos
are held out from all heads. The heads are compared on 372 held-out photos; their true difference is measured on all
held-out photos.

"Before" is the gate up to commit b81bef8: accuracy above 0 with a 95% interval above −1 point, a 95% interval for each
of up to ten classes, and coverage with each model's own thresholds alone.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq
from scipy.stats import norm

from models.statistics.fixed_sequence import proved_rows
from trainer.data.dataset import Split
from trainer.retrain.compare_predictions import ModelPredictions, compare_calibration, compare_predictions
from trainer.retrain.config import ClassMap, GateSettings
from trainer.retrain.cycle_folder import Comparison, Footprint
from trainer.retrain.gate import judge
from trainer.splits.assigned import AssignedPhoto

CLASSES = 10
SIZES = np.array([0.2, 0.17, 0.14, 0.12, 0.1, 0.08, 0.07, 0.05, 0.04, 0.03])
"""Share of each class in the photos."""
HURT = 4
"""Index of the class on which some challengers are worse; it has a tenth of the photos."""
ACCURACY = 0.85
SHARED = 0.8
"""Share of the noise's variance that both models have in common. One model alone errs on about 10% of the photos."""
WRONG_LABELS = 0.005
PRECISION = 0.95
FOOTPRINT = Footprint(compared_bytes=1_000_000, default_bytes=1_000_000, images_per_s=400.0)
COUNTS = (150, 372, 1500)
HELD = 1000
REVIEWED = (0, 20, 40, 80)
"""Numbers of reviewed photos in the test; the present gate allows 0."""


@dataclass(frozen=True)
class Truth:
    """A challenger's true quality.

    Attributes:
        name: row of the table.
        points: recall of the challenger minus recall of the champion, in hundredths.
        hurt: this difference for the class HURT.
        heat: flattens (above 1) or sharpens (below 1) the challenger's probabilities after calibration.
        champion_heat: the champion's ``heat``.
    """

    name: str
    points: float = 0.0
    hurt: float | None = None
    heat: float = 1.0
    champion_heat: float = 1.0

    def recall(self) -> np.ndarray:
        """The true recall of each class, ``(classes,)``."""
        recall = np.full(CLASSES, ACCURACY + self.points / 100)
        if self.hurt is not None:
            recall[HURT] = ACCURACY + self.hurt / 100
        return recall.round(4)


TRUTHS = (
    *(Truth("equal" if not points else f"{points:+d} points", points) for points in (-3, -2, -1, 0, 1, 2, 3, 4)),
    Truth("equal, one class of ten −30", 0, -30),
    Truth("+3 points, one class of ten −15", 3, -15),
    Truth("+3 points, one class of ten −30", 3, -30),
    Truth("−1 point; the champion is overconfident", -1, champion_heat=0.7),
)


def main() -> None:
    """Run the trials and show the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=Path, help="labelled photos, for the table of real networks")
    parser.add_argument("--weights", type=Path, help="MobileNet 0.25 without its top, as Keras saves it")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    console = Console(width=180)
    if arguments.photos and arguments.weights:
        console.print(_networks(rng, arguments.trials, arguments.photos, arguments.weights))
    console.print(_promotions(rng, arguments.trials))
    console.print(_unlucky_thresholds(rng, arguments.trials))
    console.print(_reviewed(rng, arguments.trials))
    console.print(_flattery(rng, max(1, arguments.trials // 4)))
    console.print(_calibrations(rng, max(1, arguments.trials // 4)))


def _promotions(rng: np.random.Generator, trials: int) -> Table:
    """Promotions of each challenger. Tests of 1,500 photos get fewer trials: their results vary less."""
    title = "promoted by the default gate, before → after (after: refused for accuracy, interval, recall, coverage)"
    table = Table("challenger", *(f"{photos:,} test photos" for photos in COUNTS), title=title)
    for truth in TRUTHS:
        turns = {photos: trials if photos < 1000 else max(1, trials // 4) for photos in COUNTS}
        table.add_row(truth.name, *(_cell([_drawn(rng, n, truth) for _ in range(k)]) for n, k in turns.items()))
    return table


def _cell(drawn: list[Comparison]) -> str:
    before, after = ([rule(found) for found in drawn] for rule in (_before, _after))
    shares = [np.mean([all(passed.values()) for passed in found]) for found in (before, after)]
    failed = ", ".join(
        f"{np.mean([not passed.get(name, True) for passed in after]):.0%}"
        for name in ("accuracy", "interval", "recall", "coverage")
    )
    return f"{shares[0]:.1%} → {shares[1]:.1%} ({failed})"


def _after(found: Comparison) -> dict[str, bool]:
    return {check.name: check.passed for check in judge(GateSettings(), found, None).checks}


def _before(found: Comparison) -> dict[str, bool]:
    limits, automation = GateSettings(), found.automation
    compared = [(one.points, one.points_95) for one in found.classes.values() if one.points_95 is not None]
    wider = norm.isf(min(0.025, 0.25 / len(compared))) / norm.isf(0.025)
    ends = [(low + high) / 2 + wider * (high - low) / 2 for _, (low, high) in compared]
    lost = [-points > limits.max_class_loss_points and end < 0 for (points, _), end in zip(compared, ends, strict=True)]
    fewer = -automation.points > limits.max_coverage_loss_points and automation.points_95[1] < 0
    return _after(found) | {
        "accuracy": found.points > limits.min_gain_points,
        "interval": found.points_95[0] >= -limits.max_loss_points,
        "recall": not any(lost),
        "coverage": not fewer,
    }


def _drawn(rng: np.random.Generator, count: int, truth: Truth, held: int = HELD) -> Comparison:
    photos, truths = _photos(count)
    shared = rng.normal(size=(count, CLASSES))
    shown = np.where(rng.random(count) < WRONG_LABELS, rng.integers(0, CLASSES, count), truths)
    champion = _model(rng, "champion", Truth("champion", heat=truth.champion_heat), shared, shown, held)
    challenger = _model(rng, "challenger", truth, shared, shown, held)
    return compare_predictions(photos, champion, challenger, ClassMap())


@cache
def _photos(count: int) -> tuple[list[AssignedPhoto], np.ndarray]:
    truths = np.searchsorted(np.cumsum(SIZES), (np.arange(count) + 0.5) / count)
    photos = [
        AssignedPhoto(Path(f"{number}.jpg"), str(label), Split.TEST, f"{number:064}", f"g{number}")
        for number, label in enumerate(truths)
    ]
    return photos, truths


def _model(
    rng: np.random.Generator, name: str, truth: Truth, shared: np.ndarray, shown: np.ndarray, held: int
) -> ModelPredictions:
    labels = rng.choice(CLASSES, held, p=SIZES)
    seen = np.where(rng.random(held) < WRONG_LABELS, rng.integers(0, CLASSES, held), labels)
    said = _probabilities(rng.normal(size=(held, CLASSES)), seen, truth)
    order = np.argsort(-said.max(axis=1), kind="stable")
    falling = said.max(axis=1)[order]
    rows = proved_rows(falling, (said.argmax(axis=1) == labels)[order], PRECISION)
    limit = falling[rows - 1] if rows else np.inf
    noise = np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * rng.normal(size=shared.shape)
    probabilities = _probabilities(noise, shown, truth)
    sure = probabilities.max(axis=1) >= limit
    names = tuple(str(label) for label in range(CLASSES))
    return ModelPredictions(name, names, probabilities, sure, PRECISION, sure, PRECISION, FOOTPRINT)


def _probabilities(noise: np.ndarray, shown: np.ndarray, truth: Truth) -> np.ndarray:
    skill = _skills(truth)
    scores = noise.copy()
    scores[np.arange(len(shown)), shown] += skill[shown]
    odds = np.median(skill) / truth.heat * (scores - scores.max(axis=1, keepdims=True))
    likelihoods = np.exp(odds)
    return (likelihoods / likelihoods.sum(axis=1, keepdims=True)).astype(np.float32)


@cache
def _skills(truth: Truth) -> np.ndarray:
    return np.array([brentq(lambda skill, wanted: _recall(skill) - wanted, 0.0, 8.0, (at,)) for at in truth.recall()])


def _recall(skill: float) -> float:
    at = np.linspace(-7, 7, 1401)
    return float(np.trapezoid(norm.pdf(at) * norm.cdf(at + skill) ** (CLASSES - 1), at))


def _unlucky_thresholds(rng: np.random.Generator, trials: int) -> Table:
    table = Table("challenger", "held-out photos", "refused for coverage, 372 test photos: before → after")
    for truth in (Truth("equal"), Truth("3 points worse", -3)):
        for held in (340, 1000, 3000):
            drawn = [_drawn(rng, 372, truth, held) for _ in range(trials)]
            shares = [np.mean([not rule(found)["coverage"] for found in drawn]) for rule in (_before, _after)]
            table.add_row(truth.name, f"{held:,}", " → ".join(f"{share:.1%}" for share in shares))
    return table


def _reviewed(rng: np.random.Generator, trials: int) -> Table:
    title = "372 random test photos and reviewed photos (the champion was unsure)"
    table = Table("challenger", *(f"{extra} reviewed" for extra in REVIEWED), title=f"promoted, of {title}")
    for truth in (Truth("equal"), Truth("-1 points", -1), Truth("-2 points", -2)):
        promoted = []
        for extra in REVIEWED:
            drawn = [_with_reviewed(rng, truth, extra) for _ in range(trials)]
            gained = np.mean([found.points for found in drawn])
            promoted.append(f"{np.mean([all(_after(found).values()) for found in drawn]):.1%} ({gained:+.2f} points)")
        table.add_row(truth.name, *promoted)
    return table


def _with_reviewed(rng: np.random.Generator, truth: Truth, extra: int) -> Comparison:
    """Add reviewed photos: the twelfth of a catalogue with the champion's lowest confidences."""
    count = 372 + 12 * extra
    truths = rng.choice(CLASSES, count, p=SIZES)
    shared = rng.normal(size=(count, CLASSES))
    shown = np.where(rng.random(count) < WRONG_LABELS, rng.integers(0, CLASSES, count), truths)
    champion = _model(rng, "champion", Truth("champion"), shared, shown, HELD)
    challenger = _model(rng, "challenger", truth, shared, shown, HELD)
    least_sure = 372 + np.argsort(champion.probabilities[372:].max(axis=1))[:extra]
    kept = np.concatenate([np.arange(372), least_sure])
    photos = [AssignedPhoto(Path(f"{at}.jpg"), str(truths[at]), Split.TEST, f"{at:064}", f"g{at}") for at in kept]
    cut = (
        replace(one, probabilities=one.probabilities[kept], sure=one.sure[kept], own_sure=one.own_sure[kept])
        for one in (champion, challenger)
    )
    return compare_predictions(photos, *cut, ClassMap())


def _flattery(rng: np.random.Generator, trials: int, cycles: int = 12) -> Table:
    table = Table(
        "gate", "accuracy on the frozen test, minus the true accuracy", "promotions", title=f"after {cycles} cycles"
    )
    for name, rule in (("before", _before), ("after", _after)):
        found = [_frozen(rng, cycles, rule) for _ in range(trials)]
        looks, promotions = np.mean(found, axis=0)
        error = np.std([look for look, _ in found]) / np.sqrt(trials)
        table.add_row(name, f"{looks:+.1f} ± {2 * error:.1f} points", f"{promotions:.1f}")
    return table


def _frozen(rng: np.random.Generator, cycles: int, rule: Callable[[Comparison], dict[str, bool]]) -> tuple[float, int]:
    photos, truths = _photos(372)
    shared, points, promotions = rng.normal(size=(len(photos), CLASSES)), 0.0, 0
    champion = _model(rng, "champion", Truth("champion"), shared, truths, HELD)
    for _ in range(cycles):
        gain = round(float(rng.normal(0, 1)), 1)
        challenger = _model(rng, "challenger", Truth("challenger", points + gain), shared, truths, HELD)
        found = compare_predictions(photos, champion, challenger, ClassMap())
        if all(rule(found).values()):
            champion, points, promotions = challenger, points + gain, promotions + 1
    right = champion.probabilities.argmax(axis=1) == truths
    seen = _model(rng, "first", Truth("first"), shared, truths, HELD).probabilities.argmax(axis=1) == truths
    return 100 * (right.mean() - seen.mean()) - points, promotions


def _calibrations(rng: np.random.Generator, trials: int) -> Table:
    title = "refused for calibration; the champion is calibrated"
    table = Table("photos", "challenger overconfident by", "refused", title=title)
    for photos in (372, 2000):
        for extra in (0.0, 0.02, 0.05, 0.10):
            refused = [_too_sure(rng, photos, extra) for _ in range(trials)]
            table.add_row(f"{photos:,}", f"{extra:.2f}", f"{np.mean(refused):.1%}")
    return table


def _too_sure(rng: np.random.Generator, photos: int, extra: float) -> bool:
    truth = rng.beta(4, 0.6, photos)
    before, after = rng.random(photos) < truth, rng.random(photos) < truth
    after = np.where(rng.random(photos) < 0.5, before, after)
    found = compare_calibration((truth, before), (np.minimum(1.0, truth + extra), after), np.arange(photos))
    drawn = _drawn(rng, 150, TRUTHS[0]).model_copy(update={"calibration": found})
    return not _after(drawn)["calibration"]


def _networks(rng: np.random.Generator, trials: int, folder: Path, weights: Path) -> Table:
    features, labels = _features(folder, weights)
    order = rng.permutation(len(labels))
    test, known = np.split(order, [len(order) * 3 // 5])
    rows: dict[int, list[tuple[float, bool, bool]]] = {}
    for _ in range(max(1, trials // 2)):
        sizes = rng.integers(len(known) // 4, len(known), 2)
        both = [_head(features, labels, rng.choice(known, size, replace=False), test) for size in sizes]
        right = [said.argmax(axis=1) == labels[test] for said in both]
        for one, other in ((0, 1), (1, 0)):
            points = round(100 * float(right[other].mean() - right[one].mean()))
            drawn = (_compared(rng, labels[test], both[one], both[other]) for _ in range(10))
            found = [(one.won + one.lost, all(_before(one).values()), all(_after(one).values())) for one in drawn]
            rows.setdefault(points, []).extend(found)
    title = "real networks, 372 of the held-out photos: promoted by the default gate"
    table = Table("true difference", "comparisons", "discordant", "promoted: before → after", title=title)
    for points, found in sorted(rows.items()):
        discordant, before, after = np.mean(found, axis=0)
        table.add_row(f"{points:+d}", str(len(found)), f"{discordant / 372:.1%}", f"{before:.1%} → {after:.1%}")
    return table


def _features(folder: Path, weights: Path) -> tuple[np.ndarray, np.ndarray]:
    from keras.applications import MobileNet
    from PIL import Image

    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in {".jpg", ".jpeg", ".png"})
    network = MobileNet((160, 160, 3), alpha=0.25, include_top=False, weights=str(weights), pooling="avg")
    parts = []
    for start in range(0, len(files), 64):
        photos = [Image.open(file).convert("RGB").resize((160, 160)) for file in files[start : start + 64]]
        parts.append(np.asarray(network(np.stack(photos).astype(np.float32) / 127.5 - 1, training=False)))
    return np.concatenate(parts), np.unique([file.parent.name for file in files], return_inverse=True)[1]


def _head(features: np.ndarray, labels: np.ndarray, learned: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    said = np.zeros((len(test), labels.max() + 1), np.float32)
    said[:, np.unique(labels[learned])] = head.fit(features[learned], labels[learned]).predict_proba(features[test])
    return said


def _compared(rng: np.random.Generator, truths: np.ndarray, before: np.ndarray, after: np.ndarray) -> Comparison:
    chosen, names = rng.choice(len(truths), 372, replace=False), tuple(str(label) for label in range(before.shape[1]))
    photos = [
        AssignedPhoto(Path(f"{at}.jpg"), str(truths[at]), Split.TEST, f"{at:064}", f"g{at}") for at in chosen.tolist()
    ]
    champion, challenger = (
        ModelPredictions(name, names, said, sure, PRECISION, sure, PRECISION, FOOTPRINT)
        for name, said in (("champion", before[chosen]), ("challenger", after[chosen]))
        for sure in [said.max(axis=1) > 0.8]
    )
    return compare_predictions(photos, champion, challenger, ClassMap())


if __name__ == "__main__":
    main()
