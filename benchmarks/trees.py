"""How often a tree's promises are broken, at each level and overall, and the coverage that the tree adds.

    python benchmarks/trees.py [--draws 40] [--seed 0]
    python benchmarks/trees.py --run runs/train/clothing [--run runs/train/clothing-1]

Without ``--run``, populations are simulated as in ``promises.py``. Their classes have one or two levels of parents, and
classes under one node are confused more often. Each draw samples rows and finds thresholds as a training does. The
known probabilities give the share of right labels at each level. A promise is broken if this share is below the target:
at any level, or for all rows that are labelled without a person. 5% of the draws may break each promise.

With ``--run``, the tree CLOTHING is added to finished trainings on the ten classes of the clothing photos. Thresholds
come from the held-out photos of network and folds, and are measured on the test photos, with and without the tree.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from promises import FIXED, NETWORKS, POPULATION, Networks, World, draw_held, draw_rows, world_of
from rich.console import Console
from rich.table import Table

from models.preprocess import preprocess
from models.statistics.calibration import calibrated, class_logits
from models.statistics.confidence import TARGETS
from models.statistics.intervals import proportion_interval
from models.statistics.thresholds import HeldOutLogits, fit_confidence, label_levels
from models.taxonomy import REVIEW, Taxonomy

if TYPE_CHECKING:
    from models.statistics.confidence import Confidence
    from trainer.data.dataset import Split
    from trainer.judging.figures import AchievedPrecision
    from trainer.run import Run

SIZES = ((340, 0), (340, 2700), (1500, 0), (0, 1500), (3000, 0))
"""Numbers of rows: of the network, and of all its folds together."""
APART = {3: (5.0, 3.0), 10: (7.0, 3.0), 80: (5.0, 4.0)}
"""Spread of the true logits: between the top nodes, and between the classes below a node."""
CLOTHING = {
    "t-shirt": "tops", "shirt": "tops", "longsleeve": "tops", "outwear": "tops",
    "pants": "bottoms", "shorts": "bottoms", "skirt": "bottoms",
}  # fmt: skip
"""``dress``, ``hat`` and ``shoes`` have no parent."""


def tree_of(classes: int) -> Taxonomy:
    """A tree with one level of parents, or two levels for 80 classes; the last of 3 or 10 classes has no parent."""
    names = tuple(f"{number:02d}" for number in range(classes))
    sizes = {3: (2,), 10: (4, 3, 2), 80: (5,) * 16}[classes]
    group = np.repeat(np.arange(len(sizes)), sizes)
    parents = {names[place]: f"g{number}" for place, number in enumerate(group.tolist())}
    if len(sizes) == 16:
        parents |= {f"g{number}": f"t{number // 4}" for number in range(16)}
    return Taxonomy(names, parents)


def draw_world(rng: np.random.Generator, networks: Networks, tree: Taxonomy) -> World:
    """A population with a long tail of classes; classes under one node have similar logits."""
    count = len(tree.classes)
    tail = -np.log(np.arange(1, count + 1))
    far, near = APART[count]
    truth = rng.normal(0, near, (POPULATION, count)) + tail - tail.mean()
    for level in range(tree.top):
        own = np.where(tree.above[:, level] < 0, len(tree.nodes) + np.arange(count), tree.above[:, level])
        spread = far if level == tree.top - 1 else near
        truth += rng.normal(0, spread, (POPULATION, len(tree.nodes) + count))[:, own]
    return world_of(rng, truth, networks)


@dataclass
class Tally:
    """Counts of draws and of broken promises, and sums of coverage."""

    draws: int = 0
    overall: int = 0
    any_level: int = 0
    leaves: int = 0
    covered: float = 0.0
    at_leaf: float = 0.0
    alone: float = 0.0


def simulate(draws: int, seed: int) -> dict[tuple[str, float], Tally]:
    """Sample rows of all worlds, find thresholds with and without the tree, and count."""
    found: dict[tuple[str, float], Tally] = defaultdict(Tally)
    for number, networks in enumerate(NETWORKS):
        for classes in APART:
            tree, rng = tree_of(classes), np.random.default_rng([seed, number, classes])
            world = draw_world(rng, networks, tree)
            for size in SIZES:
                for turn in range(draws):
                    fixed = TARGETS[turn % len(TARGETS)] - FIXED if networks.fixed else None
                    _draw(rng, world, tree, size, fixed, [found[networks.name, target] for target in TARGETS])
    return found


def _draw(
    rng: np.random.Generator,
    world: World,
    tree: Taxonomy,
    size: tuple[int, int],
    fixed: float | None,
    tallies: list[Tally],
) -> None:
    validation, folds = draw_held(world, size, lambda logits, count: _drawn(rng, world, tree, logits, count, fixed))
    with_tree, alone = (fit_confidence(validation, None, folds, tree=one) for one in (tree, None))
    said = calibrated(world.logits, with_tree.temperature)
    guesses, known = said.argmax(axis=1), np.ones(len(said), np.bool_)
    for target, plain, tally in zip(with_tree.targets, alone.targets, tallies, strict=True):
        if fixed is not None and fixed + FIXED != target.precision:
            continue
        levels = label_levels(said, known, target.thresholds, target.nodes, tree)
        truth = _chances(world.chances, guesses, tree) if fixed is None else np.full((tree.top + 1, len(said)), fixed)
        broken = [
            bool((levels == level).any()) and truth[level][levels == level].mean() < target.precision
            for level in range(tree.top + 1)
        ]
        labelled = np.flatnonzero(levels != REVIEW)
        tally.draws += 1
        tally.any_level += any(broken)
        tally.leaves += broken[0]
        tally.overall += bool(len(labelled)) and truth[levels[labelled], labelled].mean() < target.precision
        tally.covered += len(labelled) / len(levels)
        tally.at_leaf += float((levels == 0).mean())
        tally.alone += float((label_levels(said, known, plain.thresholds, {}, None) == 0).mean())


def _drawn(
    rng: np.random.Generator, world: World, tree: Taxonomy, logits: np.ndarray, count: int, fixed: float | None
) -> HeldOutLogits:
    """Sample rows as in ``promises.py``; with ``fixed``, a wrong row is wrong at every level."""
    held = draw_rows(rng, world, logits, count, fixed)
    if fixed is None:
        return held
    stranger = np.array(
        [
            next(other for other in range(len(tree.classes)) if _strangers(tree, one, other))
            for one in range(len(tree.classes))
        ]
    )
    guesses = held.logits.argmax(axis=1)
    return replace(held, labels=np.where(held.labels == guesses, guesses, stranger[guesses]))


def _strangers(tree: Taxonomy, one: int, other: int) -> bool:
    ways = [{tree.classes[place], *tree.ancestors(tree.classes[place])} for place in (one, other)]
    return not ways[0] & ways[1]


def _chances(chances: np.ndarray, guesses: np.ndarray, tree: Taxonomy) -> np.ndarray:
    """Chance that each level's answer is right ``(levels, n)``; 0 if a level has no node."""
    rows = np.arange(len(guesses))
    sums = np.stack(
        [chances[:, [node in tree.ancestors(name) for name in tree.classes]].sum(axis=1) for node in tree.nodes], 1
    )
    above = tree.above[guesses]
    nodes = [np.where(above[:, level] < 0, 0.0, sums[rows, above[:, level]]) for level in range(tree.top)]
    return np.stack([chances[rows, guesses], *nodes])


def show_simulation(found: dict[tuple[str, float], Tally]) -> None:
    """Print a row for each network: broken promises at each target, and coverages."""
    console = Console(width=200)
    for title, cells in (
        ("broken overall; at one level or more; of classes", ("overall", "any_level", "leaves")),
        ("labelled at any level; at the class; without a tree", ("covered", "at_leaf", "alone")),
    ):
        table = Table(title, *map(str, TARGETS))
        for networks in NETWORKS:
            tallies = [found[networks.name, target] for target in TARGETS]
            texts = ["; ".join(f"{getattr(one, cell) / max(1, one.draws):.1%}" for cell in cells) for one in tallies]
            table.add_row(networks.name, *texts)
        console.print(table)
    alike = [networks.name for networks in NETWORKS if not networks.unlike]
    for cell, words in (("overall", "overall"), ("any_level", "at one level or more"), ("leaves", "of classes")):
        hits, draws = (
            sum(getattr(found[name, t], kind) for name in alike for t in TARGETS) for kind in (cell, "draws")
        )
        low, high = proportion_interval(hits, draws)
        share = f"{hits:,} of {draws:,}: {hits / draws:.2%} ({low:.2%} to {high:.2%})"
        console.print(f"broken {words}, networks similar to their folds: {share}")


def measure_run(path: Path) -> None:
    """Print the precision of a finished training on its test photos, with the tree CLOTHING and without a tree."""
    from exporter.options import load_tensorflow

    load_tensorflow()
    from trainer.data.dataset import Split
    from trainer.judging.figures import distances
    from trainer.run import open_run

    run = open_run(path)
    args, before = run.args(), run.read_confidence()
    tree = Taxonomy(args.classes, CLOTHING)
    validation, test = _held_out(run, Split.VAL, Split.TEST)
    folds = [HeldOutLogits.read(file) for file in sorted(path.glob("folds/*/answers.npz"))]
    alone, inside = (
        fit_confidence(validation, before.unknown, folds, cv=args.pools_folds, tree=one) for one in (None, tree)
    )
    if abs(alone.temperature / before.temperature - 1) > 0.01:
        msg = f"Expected the photos and network of the evaluation of {path}, which have changed."
        raise SystemExit(msg)
    said = calibrated(test.logits, alone.temperature)
    console = Console(width=200)
    console.print(_achieved(path.name, said, test, alone, inside, tree))
    away = distances(said, test.labels, tree)
    console.print(
        f"accuracy {np.mean(said.argmax(axis=1) == test.labels):.3f} of {len(test.labels)}; errors by distance: {away}"
    )


def _held_out(run: "Run", *splits: "Split") -> list[HeldOutLogits]:
    import keras

    from models.statistics.out_of_distribution import DistanceHead
    from trainer.splits.assigned import group_numbers, read_splits

    args, limit = run.args(), run.read_confidence().unknown
    network = keras.saving.load_model(run.best, compile=False)
    ends = keras.Model(network.inputs, [network.get_layer(name).output for name in ("logits", "features")])
    with run.unknown.open("rb") as file:
        head = DistanceHead.read(file)
    found = []
    for split in splits:
        photos = [photo for photo in read_splits(run.splits) if photo.split is split and photo.present]
        photos = [photo for photo in photos if photo.label in args.classes]
        pixels = np.stack([preprocess(photo.path.read_bytes(), args.preprocess) for photo in photos])
        logits, features = ends.predict(pixels, batch_size=32, verbose=0)
        known = np.ones(len(photos), np.bool_) if limit is None else head.score(features) <= limit.limit
        labels = np.array([args.classes.index(one.label) for one in photos])
        found.append(HeldOutLogits(class_logits(logits), labels, known, group_numbers(photos)))
    return found


def _achieved(
    name: str, said: np.ndarray, test: HeldOutLogits, alone: "Confidence", inside: "Confidence", tree: Taxonomy
) -> Table:
    from trainer.judging.figures import realised

    heads = ("without a tree", "with a tree", "at the class", "above the class", "all")
    table = Table(f"{name}: asked for", *heads, title_justify="left")
    for plain, target in zip(alone.targets, inside.targets, strict=True):
        flat = realised(said, test.labels, test.known, plain, None)
        found = realised(said, test.labels, test.known, target, tree)
        levels = map(_words, found.levels)
        table.add_row(f"{target.precision}", _words(flat), f"{found.coverage:.1%}", *levels, _words(found))
    return table


def _words(found: "AchievedPrecision") -> str:
    if found.precision is None:
        return "none"
    low, high = found.precision_95
    right = found.automatic - found.wrong
    return f"{found.coverage:.1%}: {right} of {found.automatic}, {found.precision:.3f} ({low:.3f}-{high:.3f})"


def main() -> None:
    """Simulate, or measure a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40, help="draws for each network, tree and number of rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, action="append", help="a finished training on the clothing photos")
    arguments = parser.parse_args()
    for run in arguments.run or ():
        measure_run(run)
    if not arguments.run:
        show_simulation(simulate(arguments.draws, arguments.seed))


if __name__ == "__main__":
    main()
