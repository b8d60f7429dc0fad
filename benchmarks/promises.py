"""How often a promised precision is broken, and how near the coverage is to the best possible. Nothing is trained.

    python benchmarks/promises.py [--draws 60] [--seed 0] [--before REVISION]

Each world is a population of rows with known probabilities of each class, a network, and two weaker networks as its
folds. Each draw samples rows and labels, and finds thresholds as a training does. The known probabilities give the
share of right labels above the thresholds. A promise is broken if this share is below the target; 5% of the draws may
break it. The best possible coverage is the coverage at the lowest threshold at which the network keeps the target.

``--before`` compares with an earlier revision's ``models/statistics/thresholds.py`` on the same draws.
"""

import argparse
import importlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from models.statistics import thresholds
from models.statistics.calibration import calibrated
from models.statistics.confidence import TARGETS
from models.statistics.intervals import proportion_interval
from models.statistics.thresholds import HeldOutLogits, automatic

POPULATION = 5000
CLASSES = (3, 10, 80)
SIZES = ((150, 0), (150, 1200), (340, 0), (340, 2700), (1500, 0), (3000, 0), (0, 300), (0, 1500))
"""Numbers of rows: of the network, and of all its folds together."""
SPREAD = {3: 5.0, 10: 7.0, 80: 6.0}
"""Spread of the true logits by number of classes; accuracies are near 0.88, 0.84 and 0.70."""
FIXED = 0.001
"""In the hardest case, each row is right with a probability of the target minus this number."""


@dataclass(frozen=True)
class Networks:
    """How a network and its folds differ from the truth.

    Attributes:
        name: row of the table.
        heat, fold_heat: factor of the logits; a temperature corrects it.
        uneven, fold_uneven: how much the factor's logarithm varies between rows; no temperature corrects it.
        noise, fold_noise: standard deviation of the noise on the logits.
        wrong_labels: share of random labels.
        bad_class: added to the logit of the largest class, which makes each network overconfident on this class.
        fixed: at every confidence, rows are right slightly less often than the target (FIXED).
        unlike: the folds' precision does not hold for the network. The second table leaves out this case.
        repeats: copies of each picture, under the same label.
    """

    name: str
    heat: float = 1.0
    fold_heat: float = 1.0
    uneven: float = 0.0
    fold_uneven: float = 0.0
    noise: float = 0.0
    fold_noise: float = 1.0
    wrong_labels: float = 0.0
    bad_class: float = 0.0
    fixed: bool = False
    unlike: bool = False
    repeats: int = 1


NETWORKS = (
    Networks("calibrated"),
    Networks("all overconfident", heat=3.0, fold_heat=3.0, noise=0.5),
    Networks("all underconfident", heat=0.4, fold_heat=0.4, noise=0.5),
    Networks("overconfident on wrong rows", uneven=0.5, fold_uneven=0.5, noise=1.0, fold_noise=1.5),
    Networks("1% wrong labels", noise=0.5, wrong_labels=0.01),
    Networks("2% wrong labels", noise=0.5, wrong_labels=0.02),
    Networks("overconfident on one class", noise=0.5, bad_class=3.0),
    Networks("folds more confident on wrong rows", fold_uneven=0.7),
    Networks("network more confident on wrong rows", uneven=0.35, unlike=True),
    Networks("network far more confident on wrong rows", uneven=0.7, unlike=True),
    Networks("precision just below the target", fixed=True, unlike=True),
    Networks("each picture twice", noise=0.5, unlike=True, repeats=2),
    Networks("each picture four times", noise=0.5, unlike=True, repeats=4),
)


@dataclass(frozen=True)
class World:
    """A population: probabilities of the labels, and logits of the network and its folds, each ``(n, classes)``.

    Each sampled row is repeated ``repeats`` times.
    """

    chances: np.ndarray
    logits: np.ndarray
    folds: tuple[np.ndarray, ...]
    repeats: int = 1


@dataclass
class Tally:
    """Counts of draws and of draws with a broken promise; sums of coverage and of the best coverage."""

    draws: int = 0
    broken: int = 0
    coverage: float = 0.0
    best: float = 0.0


Tallies = dict[tuple[str, str, float], Tally]


def main() -> None:
    """Simulate, and show the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--draws", type=int, default=60, help="draws for each network, number of classes and number of rows"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--before", help="revision for a comparison")
    arguments = parser.parse_args()
    codes = [_earlier(arguments.before), thresholds] if arguments.before else [thresholds]
    tallies = [_tallies(code, arguments.draws, arguments.seed) for code in codes]
    console = Console(width=200)
    for kind, title in (("network", "networks"), ("rows", "rows of the network + of its folds")):
        console.print(_table(kind, title, tallies))
    if arguments.before:
        console.print(f"In each cell: {arguments.before}; below, the present code.")


def _earlier(revision: str) -> Any:  # noqa: ANN401 - a module
    package = "earlier_statistics"
    archive = subprocess.run(
        ["git", "archive", revision, "models/statistics"],  # noqa: S607 - the git on the user's PATH
        check=True, capture_output=True, cwd=Path(__file__).parents[1],
    ).stdout  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
        for path in (Path(folder) / "models" / "statistics").rename(Path(folder) / package).iterdir():
            path.write_text(path.read_text().replace("models.statistics", package))
        sys.path.insert(0, folder)
        return importlib.import_module(f"{package}.thresholds")


def draw_world(rng: np.random.Generator, networks: Networks, classes: int) -> World:
    """A population with a long tail of classes."""
    tail = -np.log(np.arange(1, classes + 1))
    truth = rng.normal(0, SPREAD[classes], (POPULATION, classes)) + tail - tail.mean()
    return world_of(rng, truth, networks)


def world_of(rng: np.random.Generator, truth: np.ndarray, networks: Networks) -> World:
    """A population with these true logits ``(n, classes)``, and the logits of the networks."""
    chances = calibrated(truth, 1.0).astype(np.float64)
    chances = (1 - networks.wrong_labels) * chances + networks.wrong_labels / truth.shape[1]
    own = _seen(rng, truth, networks, networks.heat, networks.uneven, networks.noise)
    folds = tuple(
        _seen(rng, truth, networks, networks.fold_heat, networks.fold_uneven, networks.fold_noise) for _ in range(2)
    )
    return World(chances, own, folds, networks.repeats)


def _seen(
    rng: np.random.Generator, truth: np.ndarray, networks: Networks, heat: float, uneven: float, noise: float
) -> np.ndarray:
    seen = truth + rng.normal(0, 1, truth.shape) * noise
    seen[:, 0] += networks.bad_class
    return (seen * heat * np.exp(rng.normal(0, 1, (len(truth), 1)) * uneven)).astype(np.float32)


def _tallies(code: Any, draws: int, seed: int) -> Tallies:  # noqa: ANN401 - a module
    found: Tallies = defaultdict(Tally)
    for number, networks in enumerate(NETWORKS):
        for classes in CLASSES:
            rng = np.random.default_rng([seed, number, classes])
            world = draw_world(rng, networks, classes)
            for own, others in SIZES:
                for turn in range(draws):
                    fixed = TARGETS[turn % len(TARGETS)] - FIXED if networks.fixed else None
                    _draw(code, rng, networks, world, (own, others), fixed, found)
    return found


def _draw(
    code: Any,  # noqa: ANN401 - a module
    rng: np.random.Generator,
    networks: Networks,
    world: World,
    size: tuple[int, int],
    fixed: float | None,
    found: Tallies,
) -> None:
    validation, folds = draw_held(world, size, lambda logits, count: draw_rows(rng, world, logits, count, fixed))
    confidence = code.fit_confidence(validation, None, folds, cv=not size[0])
    said = calibrated(world.logits, confidence.temperature)
    guesses, known = said.argmax(axis=1), np.ones(len(said), np.bool_)
    truth = world.chances[np.arange(len(said)), guesses] if fixed is None else np.full(len(said), fixed)
    falling = truth[np.argsort(-said.max(axis=1))]
    above = falling.cumsum() / np.arange(1, len(falling) + 1)
    for target in confidence.targets:
        if fixed is not None and fixed + FIXED != target.precision:
            continue
        chosen = automatic(said, known, target.thresholds)
        best = np.flatnonzero(above >= target.precision).max(initial=-1) + 1
        for key in (("network", networks.name), ("rows", _rows_text(size))):
            if key[0] == "rows" and networks.unlike:
                continue
            tally = found[*key, target.precision]
            tally.draws += 1
            tally.broken += bool(chosen.any()) and truth[chosen].mean() < target.precision
            tally.coverage += float(chosen.mean())
            tally.best += best / len(above)


def draw_held(
    world: World, size: tuple[int, int], draw: Callable[[np.ndarray, int], HeldOutLogits]
) -> tuple[HeldOutLogits, list[HeldOutLogits]]:
    """Sample rows of the network, and of each fold that has rows; ``draw(logits, n)`` samples ``n`` rows."""
    own, others = size
    validation = draw(world.logits, own)
    return validation, [draw(logits, others // len(world.folds)) for logits in world.folds] if others else []


def draw_rows(
    rng: np.random.Generator, world: World, logits: np.ndarray, count: int, fixed: float | None
) -> HeldOutLogits:
    """Sample rows of a network from its logits of the population. ``fixed``: the probability that a row is right."""
    pictures = rng.integers(0, len(logits), -(-count // world.repeats))
    labels = (rng.random((len(pictures), 1)) > world.chances[pictures].cumsum(axis=1)).sum(axis=1)
    places = np.repeat(pictures, world.repeats)[:count]
    seen, labels = logits[places], np.repeat(labels, world.repeats)[:count].clip(max=logits.shape[1] - 1)
    if fixed is not None:
        guesses = seen.argmax(axis=1)
        labels = np.where(rng.random(count) < fixed, guesses, (guesses + 1) % logits.shape[1])
    groups = np.repeat(np.arange(len(pictures)), world.repeats)[:count]
    return HeldOutLogits(seen, labels, np.ones(count, np.bool_), groups)


def _rows_text(size: tuple[int, int]) -> str:
    return " + ".join(f"{rows:,}" for rows in size)


def _table(kind: str, title: str, tallies: Sequence[Tallies]) -> Table:
    table = Table(title, *(f"{target}: broken; coverage" for target in TARGETS))
    for name in dict.fromkeys(key[1] for key in tallies[-1] if key[0] == kind):
        cells = [[_cell(one[kind, name, target]) for one in tallies] for target in TARGETS]
        table.add_row(name, *("\n".join(cell) for cell in cells))
    return table


def _cell(tally: Tally) -> str:
    low, high = proportion_interval(tally.broken, tally.draws)
    covered = f"{tally.coverage / tally.best:.0%}" if tally.best > 0.001 * tally.draws else "none possible"
    return f"{tally.broken / max(1, tally.draws):.1%} ({low:.0%}-{high:.0%}); {covered}"


if __name__ == "__main__":
    main()
