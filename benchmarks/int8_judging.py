"""How often a lighter variant ships, by what it truly loses and by how many photos judge it, simulated.

    python benchmarks/int8_judging.py [--allowed 0.5] [--draws 2000]

Each kind of variant changes a share of the labels of unseen photos, of training photos another share, and loses and
wins a share; these are what int8 of trained networks did on 2,000 unseen photos (docs/measurements.md), and some worse
ones. Three rules are compared: the points lost on validation, the lower end of their 95% interval, and the estimate of
``exporter.cost.drop``, which ``hangtag export`` goes by.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from exporter.cost import Drop, drop

KINDS = {
    "mobilenet 0.25, gains 0.9": (0.062, 0.015, 0.0245, 0.027),
    "cnn, loses 0.4": (0.0165, 0.0065, 0.002, 0.0195),
    "loses 0.3": (0.025, 0.009, 0.006, 0.015),
    "loses 0.8": (0.04, 0.016, 0.008, 0.02),
    "loses 1.5": (0.06, 0.03, 0.015, 0.04),
    "loses 3": (0.10, 0.055, 0.025, 0.06),
    "loses 8.8": (0.25, 0.138, 0.05, 0.2),
    "mobilenet 0.25 as before, loses 9.8": (0.2965, 0.164, 0.0655, 0.38),
}
"""Of unseen photos the share whose label changes, is lost, and won; of training photos the share that changes."""
PHOTOS = ((30, 85), (100, 200), (341, 256), (1000, 256), (5000, 256))
"""Validation and training photos that are compared."""


def main() -> None:
    """Simulate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--allowed", type=float, default=0.5)
    parser.add_argument("--draws", type=int, default=2000)
    asked = parser.parse_args()
    table = Table(
        "variant", *(f"{known}+{others}" for known, others in PHOTOS), title="Ships: points, interval, estimate"
    )
    chance = np.random.default_rng(0)
    for kind, shares in KINDS.items():
        cells = []
        for known, others in PHOTOS:
            costs = [_drawn(chance, known, others, *shares) for _ in range(asked.draws)]
            rules = ([c.points for c in costs], [c.points_95[0] for c in costs], [c.estimate for c in costs])
            cells.append(" ".join(f"{(np.array(rule) <= asked.allowed).mean():.2f}" for rule in rules))
        table.add_row(kind, *cells)
    Console(width=160).print(table)


def _drawn(
    chance: np.random.Generator, known: int, others: int, changed: float, lost: float, won: float, trained: float
) -> Drop:
    """The drop of labels that are drawn: class 0 is right, a lost label becomes 1, a won one was 1."""
    shares = [lost, won, changed - lost - won, 1 - changed]
    kinds = chance.choice(4, known, p=shares)
    before, after = np.array([0, 1, 1, 0])[kinds], np.array([1, 0, 2, 0])[kinds]
    flipped = (chance.random(others) < trained).astype(int)
    scores = np.eye(3)
    every = np.concatenate([before, np.zeros(others, int)]), np.concatenate([after, flipped])
    return drop(scores[every[0]], scores[every[1]], np.zeros(known, int))


if __name__ == "__main__":
    main()
