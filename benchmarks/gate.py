"""How often the gate promotes a challenger that is equal, better, worse, or worse in one class. Nothing is trained.

    python benchmarks/gate.py [--trials 400] [--seed 0]

Test photos of ten classes are drawn again and again, with who is right on each: so many of them are discordant (one
model is right, the other wrong), as two trainings of one network are. Whether calibration and cost pass is another
matter: the last tables have calibration, and what is labelled without a person.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from models.statistics.paired import Paired, compare_pairs
from models.statistics.thresholds import HeldOutRows, automatic, precision_targets
from trainer.retrain.compare_predictions import compare_calibration
from trainer.retrain.config import GateSettings
from trainer.retrain.gate import judge
from trainer.retrain.records import (
    AutomaticLabels,
    Automation,
    Calibration,
    ClassComparison,
    Comparison,
    Footprint,
)

ACCURACY = 0.87
COVERAGE = 0.75
FOOTPRINT = Footprint(bytes=1_000_000, images_per_s=400.0)


@dataclass(frozen=True)
class Truth:
    """A challenger as it really is.

    Attributes:
        name: for the table.
        points: its recall less the champion's, in hundredths, of every class but the first.
        first: the same of the first class.
    """

    name: str
    points: float
    first: float


TRUTHS = (
    Truth("equal", 0, 0),
    Truth("1 point better", 1, 1),
    Truth("3 points better", 3, 3),
    Truth("5 points better", 5, 5),
    Truth("2 points worse", -2, -2),
    Truth("3 points better, one class 15 worse", 5, -15),
    Truth("3 points better, one class 30 worse", 20 / 3, -30),
)


def main() -> None:
    """Draw the trials and show the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    console = Console()
    for discordance in (0.05, 0.10):
        console.print(_promotions(rng, arguments.trials, discordance))
    console.print(_unlucky_classes(rng, arguments.trials))
    console.print(_products(rng, arguments.trials))
    console.print(_calibrations(rng, max(1, arguments.trials // 5)))
    console.print(_coverages(rng, arguments.trials))
    console.print(_unlucky_thresholds(rng, max(1, arguments.trials // 4)))


def _promotions(rng: np.random.Generator, trials: int, discordance: float) -> Table:
    title = f"promoted by the default gate; {discordance:.0%} of photos discordant"
    counts = (372, 2000)
    table = Table(
        "challenger", *(f"{n:,} photos: promoted; accuracy, interval, recall pass" for n in counts), title=title
    )
    for truth in TRUTHS:
        cells = []
        for photos in counts:
            passed = [_passed(_draw(rng, photos, 10, discordance, truth)) for _ in range(trials)]
            promoted = np.mean([all(found.values()) for found in passed])
            each = (np.mean([found[name] for found in passed]) for name in ("accuracy", "interval", "recall"))
            cells.append(f"{promoted:.1%}; " + ", ".join(f"{share:.1%}" for share in each))
        table.add_row(truth.name, *cells)
    return table


def _passed(comparison: Comparison) -> dict[str, bool]:
    return {check.name: check.passed for check in judge(GateSettings(), comparison, None).checks}


def _draw(rng: np.random.Generator, photos: int, classes: int, discordance: float, truth: Truth) -> Comparison:
    """A test split, classes of one size; a difference adds no more discordance than it must."""
    labels = np.arange(photos) % classes
    points = np.where(labels == 0, truth.first, truth.points) / 100
    share = np.maximum(discordance, np.abs(points))
    chance = rng.random(photos)
    won, lost = chance < (share + points) / 2, chance > 1 - (share - points) / 2
    both = rng.random(photos) < ACCURACY
    champion, challenger = (both & ~won) | lost, (both & ~lost) | won
    groups = np.arange(photos)
    whole = _pairs(champion, challenger, groups)
    return Comparison(
        champion="champion",
        challenger="challenger",
        photos=photos,
        champion_accuracy=whole.champion,
        challenger_accuracy=whole.challenger,
        won=whole.won,
        lost=whole.lost,
        points=whole.points,
        points_95=whole.points_95,
        smallest_points=whole.smallest_points,
        challenger_all=whole.challenger,
        all_photos=photos,
        classes={str(n): _class(champion[labels == n], challenger[labels == n]) for n in range(classes)},
        calibration=Calibration(champion=0.03, challenger=0.03, difference_95=(-0.01, 0.01)),
        champion_footprint=FOOTPRINT,
        challenger_footprint=FOOTPRINT,
    )


def _pairs(champion: np.ndarray, challenger: np.ndarray, groups: np.ndarray) -> Paired:
    found = compare_pairs(champion, challenger, groups)
    if found is None:
        msg = "Expected at least one photo of each class; draw more photos."
        raise ValueError(msg)
    return found


def _class(champion: np.ndarray, challenger: np.ndarray) -> ClassComparison:
    found = _pairs(champion, challenger, np.arange(len(champion)))
    return ClassComparison(
        photos=found.photos,
        champion=found.champion,
        challenger=found.challenger,
        won=found.won,
        lost=found.lost,
        points=found.points,
        points_95=found.points_95,
    )


def _unlucky_classes(rng: np.random.Generator, trials: int) -> Table:
    table = Table("classes", "photos", "refused", title="an equal challenger refused for recall alone; 10% discordant")
    for classes, photos in ((10, 372), (10, 2000), (50, 2000), (200, 2000), (200, 10_000)):
        turns = max(1, trials * 10 // max(classes, 30))
        refused = [not _passed(_draw(rng, photos, classes, 0.1, TRUTHS[0]))["recall"] for _ in range(turns)]
        table.add_row(f"{classes}", f"{photos:,}", f"{np.mean(refused):.1%} of {turns:,}")
    return table


def _products(rng: np.random.Generator, trials: int) -> Table:
    """Products of four photos on which both models answer alike: 500 facts that look like 2,000."""
    title = "95% intervals of an equal challenger that leave out 0; 10% discordant, 500 products of four photos"
    table = Table("groups are", "leave out 0", title=title)
    products, each = 500, 4
    groups = np.repeat(np.arange(products), each)
    missed = {"photos": 0, "products": 0}
    for _ in range(trials):
        chance = rng.random(products)
        won, lost = np.repeat(chance < 0.05, each), np.repeat(chance > 0.95, each)
        for name, numbers in (("photos", np.arange(len(groups))), ("products", groups)):
            found = _pairs(lost, won, numbers)
            missed[name] += not found.points_95[0] <= 0 <= found.points_95[1]
    for name, count in missed.items():
        table.add_row(name, f"{count / trials:.1%}")
    return table


def _calibrations(rng: np.random.Generator, trials: int) -> Table:
    table = Table(
        "photos", "challenger too sure by", "refused", title="refused for calibration; the champion has no error"
    )
    for photos in (372, 2000):
        for extra in (0.0, 0.02, 0.05, 0.10):
            refused = [_too_sure(rng, photos, extra) for _ in range(trials)]
            table.add_row(f"{photos:,}", f"{extra:.2f}", f"{np.mean(refused):.1%}")
    return table


def _too_sure(rng: np.random.Generator, photos: int, extra: float) -> bool:
    """Whether a challenger is refused that is right as often as the champion, and surer by so much."""
    truth = rng.beta(4, 0.6, photos)
    before, after = rng.random(photos) < truth, rng.random(photos) < truth
    agree = rng.random(photos) < 0.5
    after = np.where(agree, before, after)
    found = compare_calibration((truth, before), (np.minimum(1.0, truth + extra), after), np.arange(photos))
    drawn = _draw(rng, photos, 10, 0.1, TRUTHS[0]).model_copy(update={"calibration": found})
    return not _passed(drawn)["calibration"]


def _coverages(rng: np.random.Generator, trials: int) -> Table:
    table = Table("photos", "fewer labelled without a person", "refused", title="refused for coverage; 15% discordant")
    for photos in (372, 2000):
        for points in (0, 5, 10, 15):
            refused = [_leaves_more_to_people(rng, photos, points / 100) for _ in range(trials)]
            table.add_row(f"{photos:,}", f"{points} points", f"{np.mean(refused):.1%}")
    return table


def _leaves_more_to_people(rng: np.random.Generator, photos: int, loss: float) -> bool:
    chance = rng.random(photos)
    newly, lost = chance < (0.15 - loss) / 2, chance > 1 - (0.15 + loss) / 2
    both = rng.random(photos) < COVERAGE
    return _coverage_refused((both & ~newly) | lost, (both & ~lost) | newly)


def _coverage_refused(before: np.ndarray, after: np.ndarray) -> bool:
    """Of what champion and challenger label without a person."""
    found = _pairs(before, after, np.arange(len(before)))
    champion, challenger = (
        AutomaticLabels(photos=int(sure.sum()), wrong=0, right_95=(0.0, 1.0)) for sure in (before, after)
    )
    automation = Automation(
        champion_precision=0.95,
        challenger_precision=0.95,
        own_precision=0.95,
        champion=champion,
        challenger=challenger,
        own=challenger,
        everywhere=challenger,
        points=found.points,
        points_95=found.points_95,
    )
    drawn = _draw(np.random.default_rng(0), len(before), 10, 0.1, TRUTHS[0])
    return not _passed(drawn.model_copy(update={"automation": automation}))["coverage"]


def _unlucky_thresholds(rng: np.random.Generator, trials: int) -> Table:
    """Two equal models: what differs is which held rows each found its thresholds on, and a third of what it sees."""
    table = Table(
        "held rows", "photos", "refused", title="an equal challenger refused for coverage; thresholds learned for 0.95"
    )
    for held, photos in ((340, 372), (340, 2000), (1000, 372), (3000, 372)):
        refused = []
        for _ in range(trials):
            truths, shared = rng.integers(0, 10, photos), rng.normal(size=(photos, 10))
            refused.append(_coverage_refused(*(_labelled(rng, held, truths, shared) for _ in range(2))))
        table.add_row(f"{held:,}", f"{photos:,}", f"{np.mean(refused):.1%}")
    return table


def _labelled(rng: np.random.Generator, held: int, truths: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Which photos a model labels without a person, with thresholds of so many held rows."""
    labels = rng.integers(0, 10, held)
    rows = HeldOutRows(_probabilities(rng.normal(size=(held, 10)), labels), labels, np.ones(held, np.bool_))
    [target] = [target for target in precision_targets(rows) if target.precision == 0.95]
    seen = np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.normal(size=shared.shape)
    return automatic(_probabilities(seen, truths), np.ones(len(truths), np.bool_), target.thresholds)


def _probabilities(noise: np.ndarray, truths: np.ndarray, skill: float = 3.0) -> np.ndarray:
    """Of a model that is right on some 87% and exactly as sure as it is right."""
    scores = noise.copy()
    scores[np.arange(len(truths)), truths] += skill
    odds = np.exp(skill * (scores - scores.max(axis=1, keepdims=True)))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


if __name__ == "__main__":
    main()
