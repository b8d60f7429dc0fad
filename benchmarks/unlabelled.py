"""What photos without labels bring: some labelled photos alone, with the others without labels, and with all labels.

    python benchmarks/unlabelled.py PHOTOS --labeled 300 --draws 5 [--skip-all] -- --arch mobilenet ... --folds 0

``PHOTOS`` has the folders train and test, each with a folder a class. Each draw takes so many photos of train, whatever
their classes, and leaves the others without labels; ``--each`` takes the same number of each class. The accuracy is on
test, which no training is told of. What follows ``--`` is passed to ``hangtag train``. Each training is printed as it
ends, then means with their standard deviation over draws, the gain draw by draw, how much of the gain of all labels
that is, what the training itself said that it brought, and the seconds beside the labelled photos alone.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np

Photos = list[tuple[Path, str]]


@dataclass(frozen=True)
class Trained:
    """One training: its accuracy on test, its seconds, and what it said of photos without labels."""

    accuracy: float
    seconds: float
    said: dict[str, Any]


def main() -> None:
    """Print a line for each training, and a summary."""
    own, _, options = " ".join(sys.argv[1:]).partition(" -- ")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--labeled", type=int, default=300)
    parser.add_argument("--each", type=int, help="labelled photos of each class, instead of --labeled")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw, which is its seed, too")
    parser.add_argument("--skip-all", action="store_true", help="train with no labels but the drawn ones")
    asked = parser.parse_args(own.split())
    every, test = _photos(asked.photos / "train"), _photos(asked.photos / "test")
    found: dict[str, list[Trained]] = {}
    for draw in range(asked.first, asked.first + asked.draws):
        labelled, others = _draw(every, asked.labeled, asked.each, draw)
        kinds = {"labelled alone": (labelled, []), "--unlabeled": (labelled, others)}
        for kind, (known, unknown) in kinds.items() if asked.skip_all else {**kinds, "all labels": (every, [])}.items():
            trained = _train(known, unknown, test, draw, options.split())
            found.setdefault(kind, []).append(trained)
            kept = f", student kept: {trained.said['kept']}" if trained.said else ""
            print(f"draw {draw}, {kind}: {trained.accuracy:.4f}, {trained.seconds:.0f} s{kept}", flush=True)
    _summarize(found)


def _photos(folder: Path) -> Photos:
    return sorted((path, path.parent.name) for path in folder.glob("*/*"))


def _draw(every: Photos, count: int, each: int | None, seed: int) -> tuple[Photos, Photos]:
    order = np.random.default_rng(seed).permutation(len(every)).tolist()
    chosen, taken = set(order[:count]), dict[str, int]()
    if each is not None:
        chosen = set()
        for place in order:
            label = every[place][1]
            if taken.get(label, 0) < each:
                taken[label] = taken.get(label, 0) + 1
                chosen.add(place)
    return [every[i] for i in sorted(chosen)], [one for i, one in enumerate(every) if i not in chosen]


def _train(known: Photos, unknown: Photos, test: Photos, seed: int, options: Sequence[str]) -> Trained:
    with tempfile.TemporaryDirectory() as folder:
        rows = [*((path, label, "open") for path, label in known), *((path, label, "test") for path, label in test)]
        _write(
            Path(folder, "draw.csv"), [("image", "label", "split"), *((path.resolve(), *rest) for path, *rest in rows)]
        )
        _write(Path(folder, "others.csv"), [("image",), *((path.resolve(),) for path, _ in unknown)])
        others = ("--unlabeled", "others.csv") if unknown else ()
        command = [sys.executable, "-m", "hangtag", "train", "draw.csv", "--out", folder, "--name", "run", *others]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        begin = time.monotonic()
        subprocess.run(
            [*command, "--seed", str(seed), *options],
            env=environment,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds, run = time.monotonic() - begin, Path(folder, "run")
        said = json.loads((run / "self_training.json").read_text()) if unknown else {}
        return Trained(json.loads((run / "evaluation.json").read_text())["test"]["accuracy"], seconds, said)


def _write(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _summarize(found: dict[str, list[Trained]]) -> None:
    print()
    for kind, runs in found.items():
        accuracies, seconds = [run.accuracy for run in runs], mean(run.seconds for run in runs)
        print(f"{kind:15} {mean(accuracies):.4f} ± {pstdev(accuracies):.4f}, {seconds:.0f} s")
    alone, taught = found["labelled alone"], found["--unlabeled"]
    gains = [other.accuracy - one.accuracy for one, other in zip(alone, taught, strict=True)]
    print(f"gain by draw: {', '.join(f'{100 * gain:+.1f}' for gain in gains)}; mean {100 * mean(gains):+.2f} points")
    said = [f"{100 * run.said['gain']:+.1f}{'' if run.said['kept'] else ' (refused)'}" for run in taught]
    print(f"the trainings said: {', '.join(said)}")
    print(
        f"seconds beside labelled alone: {mean(b.seconds / a.seconds for a, b in zip(alone, taught, strict=True)):.2f}"
    )
    if whole := found.get("all labels"):
        most = mean(run.accuracy for run in whole) - mean(run.accuracy for run in alone)
        print(f"of the {100 * most:.1f} points that all labels bring: {mean(gains) / most:.0%}")


if __name__ == "__main__":
    main()
