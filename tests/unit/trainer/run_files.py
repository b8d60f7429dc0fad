"""Readers of a run's files, a view that records a training, and made-up args."""

import csv
import signal
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.statistics.calibration import class_logits
from tests.paper_cycle import PAPER_ARGS
from trainer.run import read_history
from trainer.splits.assigned import read_splits

CLASSES = ("clock", "cushion", "dress", "hat", "lamp", "t-shirt", "trousers", "vase")

ARGS = PAPER_ARGS.model_copy(
    update={"name": "shop", "data": Path("/srv/photos"), "image_size": 64, "classes": ("hat", "vase")}
    | {"epochs": 40, "batch": 64, "seed": 7, "made_with": {"keras": "3.15.1"}}
)


class Killed(BaseException):
    """Ends a training at once, like a kill, without cleanup."""


def kill(*_):
    raise Killed


def press_ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


def nothing(*_): ...


@dataclass
class Diary:
    """A training view that records its calls and runs an action on each."""

    on_prepared: Callable[..., Any] = nothing
    on_advance: Callable[..., Any] = nothing
    on_step: Callable[..., Any] = nothing
    on_epoch: Callable[..., Any] = nothing
    on_goes_on: Callable[..., Any] = nothing
    advanced: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    expected: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def prepared(self, prepared, args):
        self.on_prepared(prepared, args)

    def advance(self, what, done, total):
        self.advanced.append((what, done, total))
        self.on_advance(what)

    def step(self, done, total):
        self.steps.append((done, total))
        self.on_step(len(self.steps))

    def epoch(self, figures, epochs):
        self.epochs.append(figures)
        self.expected.append(epochs)
        self.on_epoch(figures.epoch)

    def note(self, text):
        self.notes.append(text)

    def goes_on(self, evaluation, run, args, seconds):
        self.on_goes_on(evaluation, run, args, seconds)

    @property
    def advanced_with(self):
        """Each kind of work once."""
        return list(dict.fromkeys(what for what, _, _ in self.advanced))


def at(moment, act):
    """Act at this step, epoch or piece of work."""
    return lambda now, *_: act() if now == moment else None


def splits_of(run, split):
    return [photo for photo in read_splits(run.splits) if photo.split is split]


def arrays(path):
    with np.load(path, allow_pickle=False) as found:
        return found["pixels"], found["labels"]


def files_of(folder):
    """All files except the copies of validation photos."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in files if not name.startswith("export/originals/")}


FILES = {
    *("README.md", "args.json", "notes.txt", "splits.csv", "excluded.csv", "predictions.csv", "label_issues.csv"),
    *("confidence.json", "evaluation.json", "classes.csv", "results.csv", "report.html"),
    "confusion_matrix.png",
    *("export/train_sample.npz", "export/unknown.npz", "export/val.npz"),
    *("weights/best.keras", "weights/last.keras", "weights/state.npz"),
}


def best_logits(run, pixels):
    network = keras.saving.load_model(run.best, compile=False)
    logits = keras.Model(network.inputs, network.get_layer("logits").output)
    return class_logits(logits.predict(pixels, verbose=0))


def same_weights(one, other):
    """Whether two networks, or files of networks, have the same weights to the bit."""
    networks = [net if isinstance(net, keras.Model) else keras.saving.load_model(net) for net in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*(net.get_weights() for net in networks), strict=True))


def awaken(network, pixels):
    """Make a random body with ReLU6 separate photos: batch norms keep these pixels' values between 0 and 6."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # keep only the next batch's statistics
            layer.beta.assign(np.full(layer.beta.shape, 3.0))
    keras.Model(network.inputs[0], network.output)(pixels.astype(np.float32), training=True)
    return network


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def figures_of(run):
    """The rows of results.csv without the columns of time."""
    return [astuple(row)[:7] for row in read_history(run.history)]
