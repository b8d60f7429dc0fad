"""What tests of a training read of a run, and the args of one that never was."""

import csv

import keras
import numpy as np

from models.preprocess import PreprocessSpec
from models.statistics.calibration import class_logits
from tests.paper_cycle import PAPER_ARGS
from trainer.splits.assigned import read_splits

CLASSES = ("clock", "cushion", "dress", "hat", "lamp", "t-shirt", "trousers", "vase")

ARGS = PAPER_ARGS.model_copy(
    update={"name": "shop", "data": "/srv/photos", "preprocess": PreprocessSpec(size=64), "classes": ("hat", "vase")}
    | {"epochs": 40, "batch": 64, "patience": 15, "seed": 7, "made_with": {"keras": "3.15.1"}}
)


def splits_of(trained, split):
    return [photo for photo in read_splits(trained.result.run.splits) if photo.split is split]


def arrays(path):
    with np.load(path, allow_pickle=False) as found:
        return found["pixels"], found["labels"]


def files_of(folder):
    """All of them, but for the copies of validation photos."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in files if not name.startswith("export/originals/")}


FILES = {
    *("README.md", "args.json", "notes.txt", "splits.csv", "excluded.csv", "predictions.csv", "label_issues.csv"),
    *("confidence.json", "evaluation.json", "results.csv", "report.html"),
    *("confusion_matrix.png", "results.png", "train_batch.jpg"),
    *("export/train_sample.npz", "export/unknown.npz", "export/val.npz"),
    *("weights/best.keras", "weights/last.keras", "weights/state.npz"),
}


def best_logits(run, pixels):
    """Class logits of the best network."""
    network = keras.saving.load_model(run.best, compile=False)
    logits = keras.Model(network.inputs, network.get_layer("logits").output)
    return class_logits(logits.predict(pixels, verbose=0))


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def figures_of(path):
    """The rows of results.csv, but for what depends on the clock."""
    return [row.split(",")[:7] for row in (path / "results.csv").read_text().splitlines()]
