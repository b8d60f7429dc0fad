"""Accuracy and precision after training on few photos: random samples of a labelled set, measured on its test split.

    python benchmarks/few_photos.py PHOTOS --per-class 25 50 100 --draws 5 --checkout EARLIER . -- --arch mobilenet ...

``PHOTOS`` has the folders train, validation and test with class folders. Samples come only from train and validation.
Each ``--checkout`` of Hangtag trains on each sample. Options after ``--`` go to ``hangtag train``. Prints for each
checkout and number of photos the mean test accuracy, its standard deviation over samples, and the seconds of a
training. If the training estimated its accuracy by folds, prints the estimate's error, and how many intervals contained
the test accuracy. Prints for each target how many trainings promised it, the precision on test photos, and how many
trainings broke the promise by more than chance explains.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np
from scipy.stats import binom

BY_CHANCE = 0.05

Rows = list[tuple[Path, str, str]]


def main() -> None:
    """Print a line for each number of photos and checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--per-class", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed of the first sample")
    parser.add_argument("--classes", nargs="+")
    parser.add_argument("--checkout", type=Path, nargs="+", default=[Path()])
    parser.add_argument("--keep", type=Path, help="folder for evaluations, reused by later runs")
    own, _, options = " ".join(sys.argv[1:]).partition(" -- ")
    arguments = parser.parse_args(own.split())
    classes = arguments.classes or sorted(folder.name for folder in (arguments.photos / "test").iterdir())
    for count in arguments.per_class:
        found: dict[Path, list[dict[str, Any]]] = {checkout: [] for checkout in arguments.checkout}
        for draw in range(arguments.first, arguments.first + arguments.draws):
            rows = _draw(arguments.photos, classes, count, draw)
            for checkout in arguments.checkout:
                kept = f"{checkout.resolve().name}-{len(classes)}-classes-{count}-each-{draw}.json"
                file = arguments.keep and arguments.keep / kept
                train = partial(_train, rows, checkout.resolve(), draw, options.split())
                found[checkout].append(_kept(file, train))
                accuracy = found[checkout][-1]["test"]["accuracy"]
                print(f"{count} a class, draw {draw}, {checkout}: {accuracy:.3f}", file=sys.stderr, flush=True)
        for checkout, runs in found.items():
            print(f"{count:4d} a class of {len(classes)}  {checkout!s:12}  {_line(runs)}", flush=True)
            for target in runs[0]["coverage_at_precision"]:
                print(f"    {target}: {_promise(runs, target)}", flush=True)


def _kept(file: Path | None, train: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    if file is None:
        return train()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(train()))
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _draw(photos: Path, classes: list[str], count: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    rows: Rows = []
    for name in classes:
        there = sorted(file for split in ("train", "validation") for file in (photos / split / name).iterdir())
        rows += [(there[i], name, "open") for i in random.permutation(len(there))[:count]]
        rows += [(file, name, "test") for file in sorted((photos / "test" / name).iterdir())]
    return rows


def _train(rows: Rows, checkout: Path, seed: int, options: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / "draw.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [("image", "label", "split"), *((path.resolve(), *rest) for path, *rest in rows)]
            )
        command = [sys.executable, "-m", "hangtag", "train", f"{folder}/draw.csv", "--out", folder, "--name", "run"]
        begin = time.monotonic()
        subprocess.run(
            [*command, "--seed", str(seed), *options],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            cwd=folder,
            check=True,
            capture_output=True,
        )
        seconds = time.monotonic() - begin
        evaluation = json.loads((Path(folder) / "run" / "evaluation.json").read_text())
    return {**evaluation, "seconds": seconds}


def _line(runs: list[dict[str, Any]]) -> str:
    accuracy = [run["test"]["accuracy"] for run in runs]
    words = [
        f"accuracy {', '.join(f'{one:.3f}' for one in accuracy)}: {mean(accuracy):.3f} ± {pstdev(accuracy):.3f}",
        f"{mean(run['seconds'] for run in runs):.0f} s",
    ]
    if all(run.get("cv") for run in runs):
        off = [run["cv"]["accuracy"] - run["test"]["accuracy"] for run in runs]
        held = [run["cv"]["accuracy_95"][0] <= run["test"]["accuracy"] <= run["cv"]["accuracy_95"][1] for run in runs]
        words.append(f"error of folds {mean(off):+.3f} ± {pstdev(off):.3f}, {sum(held)} of {len(runs)} intervals right")
    return ", ".join(words)


def _promise(runs: list[dict[str, Any]], target: str) -> str:
    kept = [run["coverage_at_precision"][target]["test"] for run in runs]
    promised = sum(
        bool(one["coverage"]) for run in runs for one in run["thresholds"] if one["precision"] == float(target)
    )
    automatic, wrong = sum(one["automatic"] for one in kept), sum(one["wrong"] for one in kept)
    broken = [
        one["automatic"] and binom.cdf(one["automatic"] - one["wrong"], one["automatic"], float(target)) < BY_CHANCE
        for one in kept
    ]
    return (
        f"promised in {promised} of {len(runs)}, coverage {mean(one['coverage'] for one in kept):.1%}, "
        f"{automatic - wrong} of {automatic} right, broken in {sum(map(bool, broken))}"
    )


if __name__ == "__main__":
    main()
