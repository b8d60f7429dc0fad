"""How often a promise of 0.95 is broken if a catalogue has another mix of classes than the training photos.

Simulated networks with hard and easy classes are proved on 1,500 photos. Then each network labels jobs with other
shares of classes: hard classes 1.6 to 2.2 times as common, one class at 40%, or random shares. A promise is broken if
fewer than 95% of the labels are right, measured on 40,000 more photos of the job's mix.

``python benchmarks/label_shift.py [TRIALS]`` runs 100 trials by default, in half an hour.
"""

import sys
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from exporter.assemble import proof_rows
from models.drift import LabelShift, has_drifted
from models.statistics.calibration import calibrated, fit_temperature
from models.statistics.thresholds import HeldOutRows, automatic, precision_targets

PROMISE, PROOF, MEASURED = 0.95, 1_500, 40_000
MIXES = {"as trained": 1, "hard × 1.6": 1.6, "hard × 1.9": 1.9, "hard × 2.2": 2.2, "one class 40%": 0.4, "random": 1}


@dataclass(frozen=True)
class World:
    """A number of classes; three in eight are hard."""

    classes: int

    def shares(self, mix: str, random: np.random.Generator) -> npt.NDArray[np.float64]:
        """The share of each class in a job."""
        shares = np.ones(self.classes)
        if mix == "random":
            return random.dirichlet(shares)
        if mix.startswith("one"):
            shares[0] = MIXES[mix] / (1 - MIXES[mix]) * (self.classes - 1)
        shares[: self.hard] *= MIXES[mix] if mix.startswith("hard") else 1
        return shares / shares.sum()

    @property
    def hard(self) -> int:
        """Number of hard classes."""
        return self.classes * 3 // 8

    def draw(
        self, random: np.random.Generator, rows: int, shares: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
        """Sample logits and labels of ``rows`` photos."""
        labels = random.choice(self.classes, rows, p=shares)
        logits = random.normal(size=(rows, self.classes))
        logits[np.arange(rows), labels] += np.where(labels < self.hard, 2.2, 5.0) + 0.1 * np.log(self.classes / 8)
        return (3 * logits).astype(np.float32), labels


def trial(world: World, mix: str, job: int, random: np.random.Generator) -> tuple[float, ...] | None:
    """Precision and coverage, each before and after; whether drift warns. None without a proved promise."""
    usual, shares = np.full(world.classes, 1 / world.classes), world.shares(mix, random)
    logits, labels = world.draw(random, PROOF, usual)
    temperature = fit_temperature(logits, labels)
    own = HeldOutRows(calibrated(logits, temperature), labels, np.ones(PROOF, np.bool_), np.arange(PROOF))
    targets = precision_targets(own)
    thresholds = next(target.thresholds for target in targets if target.precision == PROMISE)
    proof = proof_rows([own], list(map(str, range(world.classes))), [target.thresholds for target in targets])
    if proof is None or set(thresholds) == {None}:
        return None
    shift = LabelShift(proof, thresholds)
    seen = calibrated(world.draw(random, job, shares)[0], temperature)
    shift.add(seen.argmax(axis=1), seen.max(axis=1))
    expected = shift.expected(PROMISE)
    logits, labels = world.draw(random, MEASURED, shares)
    found = calibrated(logits, temperature)
    sure = automatic(found, np.ones(MEASURED, np.bool_), thresholds)
    kept = sure & (found.max(axis=1) >= ((expected and expected.raised) or 0))
    right = found.argmax(axis=1) == labels
    both = (seen.argmax(axis=1), own.probabilities.argmax(axis=1))
    counts = (np.bincount(guesses, minlength=world.classes).tolist() for guesses in both)
    precisions = (right[chosen].mean() if chosen.any() else 1.0 for chosen in (sure, kept))
    return *precisions, sure.mean(), kept.mean(), has_drifted(*counts)


def main(trials: int) -> None:
    """Print a line for each kind of job."""
    print("classes  rows of the job  mix            broken before  after  coverage before  after  drift warned")
    for classes, job, mix in product((8, 80), (500, 20_000), MIXES):
        random = np.random.default_rng(7)
        done = [found for _ in range(trials) if (found := trial(World(classes), mix, job, random))]
        before, after, coverage, kept, warned = map(np.array, zip(*done, strict=True))
        print(
            f"{classes:7}  {job:15,}  {mix:13}  {(before < PROMISE).mean():13.1%}  {(after < PROMISE).mean():5.1%}"
            f"  {coverage.mean():15.1%}  {kept.mean():5.1%}  {warned.mean():12.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
