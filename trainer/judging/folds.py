"""Folds: trains several networks, each without one part of the photos, and predicts the photos of that part."""

import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from models.statistics.out_of_distribution import OutOfDistribution, fit_out_of_distribution
from models.statistics.thresholds import HeldOutLogits
from models.whole_file import write_arrays
from trainer.learning.recipe import recipe_for
from trainer.learning.training import (
    Predictions,
    Predictor,
    Training,
    apply_head,
    fit_head,
    labels_of,
    new_network,
)
from trainer.request import NamedWeights
from trainer.run import EpochFigures, RunArgs, read_history
from trainer.splits.assigned import AssignedPhoto, group_numbers

Indices = npt.NDArray[np.intp]

_MOST_LEARNED: Final = 20_000
"""The largest number of photos on which the out-of-distribution score is fitted."""
_WATCHED: Final = 256
"""After each epoch, a fold's network is validated on at most this many photos."""


class Progress(Protocol):
    """Shows the progress of training the folds."""

    def advance(self, what: str, done: int, total: int) -> None:
        """Show the progress of a step."""

    def note(self, text: str) -> None:
        """Show a note."""


def train_folds(training: Training, deadline: float | None, progress: Progress) -> list[HeldOutLogits] | None:
    """Train a network for each fold, and store its predictions for the held-out photos.

    Predictions of an earlier process are read from disk. Returns None after Ctrl-C.
    """
    folds, parts, args = [], _divide(training), _args_of_a_fold(training)
    for number, (learned, held) in enumerate(parts, 1):
        part = replace(training, args=args, photos=learned, held=held, run=training.run.fold(number))
        now = time.monotonic()
        until = None if deadline is None else now + (deadline - now) / (len(parts) - number + 1)
        what = f"{'Cross-validation, network' if args.cv else 'Fold'} {number} of {len(parts)}"
        view = _FoldView(progress, what, args.epochs, len(read_history(part.run.history)))
        if part.run.answers.is_file():
            predictions = HeldOutLogits.read(part.run.answers, advice="delete it")
        else:
            network = new_network(args, begun=part.run.state.is_file())
            if replace(part, held=held[:_WATCHED]).train(network, until, view).interrupted:
                return None
            # Use the last epoch: choosing the best epoch on these photos would make the figures too optimistic.
            predictor = Predictor(network, part.store)
            predictions = _keep(part, predictor, predictor.predict([photo.sha256 for photo in part.held]))
        shutil.rmtree(part.run.best.parent, ignore_errors=True)  # only predictions are kept
        folds.append(predictions)
    return folds


def fit_folds_of_heads(
    training: Training, predictor: Predictor, strength: float, progress: Progress
) -> list[HeldOutLogits]:
    """Fit a head for each fold on frozen features, and store its logits for the held-out photos."""
    folds, parts = [], _divide(training)
    units = predictor.network.get_layer("logits").units
    for number, (learned, held) in enumerate(parts, 1):
        progress.advance("Cross-validation", number - 1, len(parts))
        part = replace(training, photos=learned, held=held, run=training.run.fold(number))
        features, labels, _ = part.head_rows(predictor)
        head = fit_head(features, labels, units, strength, part.class_weights)
        own = predictor.features([photo.sha256 for photo in held])
        folds.append(_keep(part, predictor, Predictions(apply_head(head, own), own)))
    return folds


def held_out(
    predictor: Predictor, training: Training, photos: Sequence[AssignedPhoto], predictions: Predictions
) -> tuple[HeldOutLogits, OutOfDistribution]:
    """Collect a network's logits for held-out photos, and fit its out-of-distribution score."""
    chosen, others = (
        np.random.default_rng(training.args.seed).permutation(len(photos_of))[:_MOST_LEARNED]
        for photos_of in (training.photos, training.outliers)
    )
    features = predictor.features([training.photos[i].sha256 for i in chosen])
    outliers = predictor.features([training.outliers[i].sha256 for i in others])
    with threadpool_limits(1):  # one thread is faster
        score = fit_out_of_distribution(features, training.labels[chosen], predictions.features, outliers)
        known = score.head.score(predictions.features) <= score.limit
    labels = labels_of(photos, training.args.classes)
    return HeldOutLogits(predictions.logits, labels, known, group_numbers(photos)), score


def assign_folds(labels: Indices, groups: Sequence[str], seed: int, folds: int) -> Indices:
    """Assign each group to the fold with the fewest photos of its class, large groups first.

    A group's class is its most frequent class. Groups of equal size are shuffled. Returns the folds ``(n,)``.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for group, label in zip(groups, labels.tolist(), strict=True):
        members[group].append(label)
    names = sorted(members)
    shuffled = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    total = np.zeros(folds, np.intp)
    of_class: defaultdict[int, Indices] = defaultdict(lambda: np.zeros(folds, np.intp))
    chosen = {}
    for name in sorted(shuffled, key=lambda name: -len(members[name])):
        own = of_class[min(Counter(members[name]).items(), key=lambda item: (-item[1], item[0]))[0]]
        chosen[name] = fold = int(np.lexsort((total, own))[0])
        own[fold] += len(members[name])
        total[fold] += len(members[name])
    return np.array([chosen[group] for group in groups], np.intp)


def held_photos(training: Training) -> list[AssignedPhoto]:
    """The photos that the folds predict, in the order of the predictions."""
    return [photo for _, held in _divide(training) for photo in held]


def _args_of_a_fold(training: Training) -> RunArgs:
    args = training.args
    epochs, weights = args.epochs, args.fold_weights or args.weights
    if args.time_limit_s is not None:
        epochs = len(read_history(training.run.history)) or epochs
    if args.fold_weights is not None:
        epochs = max(epochs, recipe_for(args.arch, pretrained=args.fold_weights != NamedWeights.NONE).epochs)
    return args.model_copy(update={"epochs": max(1, round(epochs * args.share_of_epochs)), "weights": weights})


def _divide(training: Training) -> list[tuple[list[AssignedPhoto], list[AssignedPhoto]]]:
    count = training.args.folds
    if not count:
        return []
    groups = [photo.group for photo in training.photos]
    fold_of = assign_folds(training.labels, groups, training.args.seed, count)
    parts: list[tuple[list[AssignedPhoto], list[AssignedPhoto]]] = [([], []) for _ in range(count)]
    for photo, own in zip(training.photos, fold_of.tolist(), strict=True):
        for fold, part in enumerate(parts):
            # photos that a model chose for review are never held out, because they are harder than most
            if fold != own or not photo.chosen:
                part[fold == own].append(photo)
    return [(learned, held) for learned, held in parts if learned and held]


def _keep(part: Training, predictor: Predictor, predictions: Predictions) -> HeldOutLogits:
    held, _ = held_out(predictor, part, part.held, predictions)
    write_arrays(part.run.answers, **vars(held))
    return held


@dataclass
class _FoldView:
    progress: Progress
    what: str
    epochs: int
    done: int

    def step(self, done: int, total: int) -> None:
        self.progress.advance(self.what, self.done * total + done, max(self.epochs, self.done + 1) * total)

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        self.done, self.epochs = figures.epoch, epochs

    def note(self, text: str) -> None:
        self.progress.note(text)
