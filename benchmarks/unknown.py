"""Photos of a class that the network was never shown: how well the unknown score tells them from the others.

    python benchmarks/unknown.py photos/ --leave-out shoes hat --time-limit 5m

For each class named, a network is trained on the others by ``hangtag train``; then all photos of the class that was
left out are compared with the test photos of the others, by the score that Hangtag uses (distance), by energy, and by
the confidence turned round.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

from material import hangtag

from exporter.load_tensorflow import load_tensorflow


def main() -> None:
    """Train without each class, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="train, validation and test folders of class folders")
    parser.add_argument("--leave-out", nargs="+", required=True, metavar="CLASS")
    parser.add_argument("--runs", type=Path, help="folder for the runs; what is there already is not trained again")
    asked, options = parser.parse_known_args()  # what is not ours is for hangtag train
    load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        runs = asked.runs or Path(folder)
        for left_out in asked.leave_out:
            print(json.dumps({"left_out": left_out, **_measure(asked.photos, left_out, runs, options)}))


def _measure(photos: Path, left_out: str, runs: Path, options: list[str]) -> dict[str, Any]:
    run = runs / f"without-{left_out}"
    if not run.exists():
        table = runs / f"without-{left_out}.csv"
        runs.mkdir(parents=True, exist_ok=True)
        _write_table(photos, left_out, table)
        hangtag("train", table, "--out", runs, "--name", run.name, *options)
    return _scores(run, photos, left_out)


def _write_table(photos: Path, left_out: str, table: Path) -> None:
    rows = [
        (str(path.resolve()), path.parent.name, path.parent.parent.name)
        for path in sorted(photos.glob("*/*/*"))
        if path.parent.name != left_out
    ]
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "label", "split"))
        writer.writerows(rows)


def _scores(run_path: Path, photos: Path, left_out: str) -> dict[str, Any]:
    import keras
    import numpy as np
    from scipy.special import logsumexp
    from sklearn.metrics import roc_auc_score

    from models.preprocess import preprocess
    from models.statistics.calibration import calibrated
    from models.statistics.out_of_distribution import DistanceHead
    from trainer.data.dataset import Split
    from trainer.run import open_run
    from trainer.splits.assigned import read_splits

    run = open_run(run_path)
    args, sure = run.args(), run.read_confidence()
    network = keras.saving.load_model(run.best, compile=False)
    ends = keras.Model(network.inputs, [network.get_layer(name).output for name in ("logits", "features")])
    known = [photo.path for photo in read_splits(run.splits) if photo.present and photo.split is Split.TEST]
    strange = sorted(photos.glob(f"*/{left_out}/*"))
    with run.unknown.open("rb") as file:
        head = DistanceHead.read(file)

    def judge(paths: list[Path]) -> tuple[Any, Any, Any]:
        pixels = np.stack([preprocess(path.read_bytes(), args.preprocess) for path in paths])
        logits, features = ends.predict(pixels, batch_size=128, verbose=0)
        energy = logits.mean(axis=1) - logsumexp(logits, axis=1)
        return head.score(features), energy, -calibrated(logits, 1.0).max(axis=1)

    ours, others = judge(known), judge(strange)
    names = ("distance", "energy", "confidence")
    limit = sure.unknown.limit if sure.unknown else float("inf")
    return {
        "known": len(known),
        "unknown": len(strange),
        "auroc": {
            name: round(roc_auc_score([False] * len(a) + [True] * len(b), np.concatenate([a, b])), 3)
            for name, a, b in zip(names, ours, others, strict=True)
        },
        "known_sent_to_review": round(float((ours[0] > limit).mean()), 3),
        "unknown_sent_to_review": round(float((others[0] > limit).mean()), 3),
    }


if __name__ == "__main__":
    main()
