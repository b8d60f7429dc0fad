"""How well the out-of-distribution score separates photos of unseen classes from known classes.

    python benchmarks/unknown.py photos/ --leave-out shoes dress hat --time-limit 5m
    python benchmarks/unknown.py photos/ --leave-out hat pants --none shoes dress --each 100 --epochs 8 --folds 0

``hangtag train`` trains a network for each left-out class, on the other classes. All photos of the left-out class are
compared with the test photos of the other classes: by Hangtag's score (distance), by energy, and by 1 − confidence.

With ``--none``, one network is trained without all named classes, and photos of the ``--none`` classes are its
``_none`` photos. Its score is compared with a score that has not learned from ``_none`` photos: on the left-out
classes, and on unseen ``_none`` photos. ``--each`` limits the training photos of a class.
"""

import argparse
import csv
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from material import hangtag

from exporter.options import load_tensorflow
from models.photo import NONE


def main() -> None:
    """Train without each class, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folders train, validation and test, with class folders")
    parser.add_argument("--leave-out", nargs="+", required=True, metavar="CLASS")
    parser.add_argument("--none", nargs="+", default=[], metavar="CLASS", help="classes whose photos are _none")
    parser.add_argument("--each", type=int, metavar="N", help="limit of training photos for each class")
    parser.add_argument("--runs", type=Path, help="folder for the runs; existing runs are reused")
    asked, options = parser.parse_known_args()  # unknown options go to hangtag train
    load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        runs = asked.runs or Path(folder)
        for left_out in [asked.leave_out] if asked.none else [[name] for name in asked.leave_out]:
            run = runs / "-".join(["without", *left_out, *(["none", *asked.none] if asked.none else [])])
            if not run.exists():
                table = run.with_suffix(".csv")
                runs.mkdir(parents=True, exist_ok=True)
                _write_table(asked.photos, left_out, asked.none, asked.each, table)
                hangtag("train", table, "--out", runs, "--name", run.name, *options)
            if asked.none:
                _compare(run, asked.photos, left_out, asked.none)
            else:
                print(json.dumps({"left_out": left_out[0], **_scores(run, asked.photos, left_out[0])}))


def _write_table(photos: Path, left_out: Sequence[str], none: Sequence[str], each: int | None, table: Path) -> None:
    chance, rows = random.Random(0), []
    for folder in sorted(path for path in photos.glob("*/*") if path.is_dir() and path.name not in left_out):
        files = sorted(folder.iterdir())
        if each is not None and folder.parent.name == "train":
            files = chance.sample(files, min(each, len(files)))
        label = NONE if folder.name in none else folder.name
        rows += [(str(path.resolve()), label, folder.parent.name) for path in files]
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "label", "split"))
        writer.writerows(rows)


class _Judge:
    def __init__(self, path: Path) -> None:
        import keras

        from trainer.run import open_run
        from trainer.splits.assigned import read_splits

        self.run = open_run(path)
        self.args = self.run.args()
        network = keras.saving.load_model(self.run.best, compile=False)
        self.ends = keras.Model(network.inputs, [network.get_layer(name).output for name in ("logits", "features")])
        self.photos = [photo for photo in read_splits(self.run.splits) if photo.present]

    def ask(self, paths: Sequence[Path]) -> tuple[Any, Any]:
        """Logits and features."""
        import numpy as np

        from models.preprocess import preprocess

        pixels = np.stack([preprocess(path.read_bytes(), self.args.preprocess) for path in paths])
        logits, features = self.ends.predict(pixels, batch_size=128, verbose=0)
        return logits, features


def _scores(run_path: Path, photos: Path, left_out: str) -> dict[str, Any]:
    from scipy.special import logsumexp

    from models.statistics.calibration import calibrated
    from models.statistics.out_of_distribution import DistanceHead
    from trainer.data.dataset import Split

    judge = _Judge(run_path)
    sure = judge.run.read_confidence()
    known = [photo.path for photo in judge.photos if photo.split is Split.TEST]
    strange = sorted(photos.glob(f"*/{left_out}/*"))
    with judge.run.unknown.open("rb") as file:
        head = DistanceHead.read(file)

    def scores_of(paths: list[Path]) -> tuple[Any, Any, Any]:
        logits, features = judge.ask(paths)
        energy = logits.mean(axis=1) - logsumexp(logits, axis=1)
        return head.score(features), energy, -calibrated(logits, 1.0).max(axis=1)

    ours, others = scores_of(known), scores_of(strange)
    names = ("distance", "energy", "confidence")
    limit = sure.unknown.limit if sure.unknown else float("inf")
    return {
        "known": len(known),
        "unknown": len(strange),
        "auroc": {name: round(_auroc(a, b), 3) for name, a, b in zip(names, ours, others, strict=True)},
        "known_sent_to_review": round(float((ours[0] > limit).mean()), 3),
        "unknown_sent_to_review": round(float((others[0] > limit).mean()), 3),
    }


def _compare(run: Path, photos: Path, left_out: Sequence[str], none: Sequence[str]) -> None:
    import numpy as np

    from models.statistics.out_of_distribution import fit_out_of_distribution
    from trainer.data.dataset import Split

    judge = _Judge(run)

    def features(*, split: Split, outliers: bool = False) -> tuple[Any, Any]:
        found = [photo for photo in judge.photos if photo.split is split and (photo.label == NONE) is outliers]
        labels = [-1 if outliers else judge.args.classes.index(photo.label) for photo in found]
        return judge.ask([photo.path for photo in found])[1], np.array(labels)

    learned, held, test = features(split=Split.TRAIN), features(split=Split.VAL)[0], features(split=Split.TEST)[0]
    outliers = features(split=Split.TRAIN, outliers=True)[0]
    scores = [fit_out_of_distribution(*learned, held, shown) for shown in (outliers[:0], outliers)]
    every = {name: sorted(photos.glob(f"*/{name}/*")) for name in (*left_out, *none)}
    strange = {f"{name} (left out)": every[name] for name in left_out}
    strange |= {f"{name} (_none)": [path for path in every[name] if path.parts[-3] != "train"] for name in none}
    for name, paths in strange.items():
        found = judge.ask(paths)[1]
        both = [(score.head.score(test), score.head.score(found), score.limit) for score in scores]
        line = {
            "class": name,
            "photos": len(paths),
            "known": len(test),
            "outliers": len(outliers),
            "auroc": [round(_auroc(ours, others), 3) for ours, others, _ in both],
            "known_sent_to_review": [round(float((ours > limit).mean()), 3) for ours, _, limit in both],
            "unknown_sent_to_review": [round(float((others > limit).mean()), 3) for _, others, limit in both],
        }
        print(json.dumps(line))


def _auroc(known: Any, strange: Any) -> float:  # noqa: ANN401 - of NumPy, which is loaded late
    import numpy as np
    from sklearn.metrics import roc_auc_score

    truth = [False] * len(known) + [True] * len(strange)
    return float(roc_auc_score(truth, np.concatenate([known, strange])))


if __name__ == "__main__":
    main()
