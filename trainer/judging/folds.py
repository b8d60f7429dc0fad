"""Folds: more networks, each trained without a part of the photos, whose predictions for that part are honest."""

import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import keras
import numpy as np
import numpy.typing as npt

from models.arrays import write_arrays
from models.statistics.out_of_distribution import OutOfDistribution, fit_out_of_distribution
from models.statistics.thresholds import HeldOutLogits
from trainer.learning.predictions import Predictions, features_of, predict
from trainer.learning.recipe import recipe_for
from trainer.learning.training import Training, labels_of, new_network
from trainer.networks.choice import NamedWeights
from trainer.run import EpochFigures, RunArgs, read_history
from trainer.splits.assigned import AssignedPhoto, group_numbers
from trainer.splits.unlabelled import Fate, read_unlabelled

Advance = Callable[[str, int, int], None]
Indices = npt.NDArray[np.intp]

_MOST_LEARNED: Final = 20_000
"""The most photos that the out-of-distribution score is fitted on."""
_SHARE_OF_EPOCHS: Final = 1 / 3
"""Of a training's epochs, how many a fold's network gets where it is not trained in full.

It need not be as good as the network itself, only as honest: a confidence of 0.9 must be right as often.
"""
CV_FOLDS: Final = 5
_FEW: Final = 1_500
"""With fewer photos, every fold's network is trained in full: a tenth of them is too few to validate on."""
_ENOUGH_HELD: Final = 1_500
"""With fewer validation photos a precision of 0.98 covers so few rows that folds are worth their time: a network with
an accuracy of 0.86 proved it on 340 photos for a fifth of them at best, on 3,400 for half."""
_FOLDS: Final = 2
_FEWEST_EPOCHS: Final = 12
"""With fewer epochs folds learn too little to prove anything, above all in a third of them."""


def is_cross_validated(photos: int, epochs: int) -> bool:
    """Whether training and validation photos together are so few that all are judged out of fold."""
    return photos < _FEW and epochs >= _FEWEST_EPOCHS


def choose_folds(held: int, learned: int, epochs: int) -> int:
    """How many folds to train if a person names no number.

    2 if validation is small, the folds add more photos than it has, and there are epochs enough to learn in; else 0.
    """
    return _FOLDS if held < min(_ENOUGH_HELD, learned) and epochs >= _FEWEST_EPOCHS else 0


def deadline_of_main(args: RunArgs, end: float | None) -> float | None:
    """By when the network itself must be trained so that its folds can be until ``end``; by :func:`time.monotonic`.

    Each of k folds learns from (k - 1) / k of the photos, for a third of the epochs, or for all with ``cv``.
    """
    now, folds = time.monotonic(), max(0, args.folds - 1) * _share_of_epochs(args)
    return None if end is None else now + (end - now) / (1 + folds)


def fewest_epochs(training: Training) -> int:
    """How many epochs a network gets at least before there is time for its folds: half of what suits it, or 12."""
    args = training.args
    recipe = recipe_for(args.arch, pretrained=args.weights != NamedWeights.NONE)
    return min(args.epochs, max(_FEWEST_EPOCHS, recipe.epochs_of(len(training.photos), args.batch) // 2))


def seconds_of_all(args: RunArgs, own: float) -> float:
    """Seconds that a network and its folds take, if it takes ``own`` by itself."""
    return own * (1 + max(0, args.folds - 1) * _share_of_epochs(args))


def train_folds(
    training: Training,
    count: int,
    deadline: float | None,
    advance: Advance,
    what: str = "",
    fewest: int = 0,
    note: Callable[[str], None] = lambda text: None,
) -> list[HeldOutLogits] | None:
    """Train a network for each of ``count`` folds, and keep what it predicts for the photos it has not learned from.

    Predictions that an earlier run has made are taken from disk. ``deadline``, for all folds, is by
    :func:`time.monotonic`; ``advance`` is told (what, done, total) of the running fold's epochs. Each network is asked
    about the candidates among the training's photos without labels, too (:func:`write_guesses`). ``note`` is told what
    a person should know at once.

    With a deadline, each gets its share of the epochs that the training's own network had, and of the time that is
    left. With ``fewest``, all folds are given up where one has time for fewer epochs than half of that share of them
    which a fold gets.

    Returns:
        The predictions of each fold, none if they were given up; None if somebody stopped it.
    """
    folds, parts = [], _divide(training, count)
    args, asked = _args_of_a_fold(training, deadline), candidates_of(training)
    enough = max(1, round(min(fewest * _share_of_epochs(args), args.epochs) / 2)) if fewest else 0
    for number, (learned, held) in enumerate(parts, 1):
        part = replace(training, args=args, photos=learned, held=held, run=training.run.fold(number))
        now = time.monotonic()
        until = None if deadline is None else now + (deadline - now) / (len(parts) - number + 1)
        name = "cross-validation, network" if args.cv else "fold"
        words = f"{what}{name} {number} of {len(parts)}"
        done = len(read_history(part.run.history))
        view = FoldView(advance, f"{words[0].upper()}{words[1:]}", args.epochs, done, note)
        predictions = _kept(part)
        if predictions is None:
            if fewest and deadline is not None and now >= deadline:
                return []
            network = new_network(part.args, begun=part.run.state.is_file())
            outcome = part.train(network, until, view, enough)
            if outcome.interrupted:
                return None
            if outcome.lacked_time:
                return []
            predictions = _predict(network, part, asked)
        shutil.rmtree(part.run.best.parent, ignore_errors=True)  # its predictions are all that is needed of it
        folds.append(predictions)
    return folds


def held_out(
    network: keras.Model, training: Training, photos: Sequence[AssignedPhoto], predictions: Predictions
) -> tuple[HeldOutLogits, OutOfDistribution]:
    """What a network predicted for photos that it has not learned from, and its out-of-distribution score."""
    chosen, others = (
        np.random.default_rng(training.args.seed).permutation(len(found))[:_MOST_LEARNED]
        for found in (training.photos, training.outliers)
    )
    features = features_of(network, [training.photos[i].sha256 for i in chosen], training.store)
    outliers = predict(network, [training.outliers[i].sha256 for i in others], training.store).features
    score = fit_out_of_distribution(features, training.labels[chosen], predictions.features, outliers)
    known = score.head.score(predictions.features) <= score.limit
    labels = labels_of(photos, training.args.classes)
    return HeldOutLogits(predictions.logits, labels, known, group_numbers(photos)), score


def candidates_of(training: Training) -> list[str]:
    """SHA-256s of the photos without labels that no network has been asked about yet."""
    photos = read_unlabelled(training.run.unlabeled)
    return [photo.sha256 for photo in photos if photo.fate is Fate.CANDIDATE]


def write_guesses(network: keras.Model, training: Training, asked: Sequence[str], score: OutOfDistribution) -> None:
    """Write ``guesses.npz`` of a training's run: what its network says of photos without labels, if there are any.

    ``logits``, ``float32 (n, classes)``, are the mean of those of a photo and of its mirror image; ``known``, ``bool
    (n,)``, says whether the out-of-distribution score is within its limit.
    """
    if not asked:
        return
    plain, mirrored = (predict(network, asked, training.store, mirrored=one) for one in (False, True))
    known = score.head.score(plain.features) <= score.limit
    write_arrays(training.run.guesses, logits=(plain.logits + mirrored.logits) * np.float32(0.5), known=known)


def assign_folds(labels: Indices, groups: Sequence[str], seed: int, folds: int) -> Indices:
    """Deal the groups of each class to the fold that has fewest photos of it, large groups first.

    A group counts as of its commonest class; the seed orders groups of one size. A number for each photo ``(n,)``.
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
    """The training photos in the order in which the folds predict them."""
    return [photo for _, held in _divide(training, training.args.folds) for photo in held]


def _args_of_a_fold(training: Training, deadline: float | None) -> RunArgs:
    """A fold's weights and epochs: a third, or all with ``cv``. Other weights may need more, as their recipe says.

    With a deadline, all are those that the network itself had.
    """
    args = training.args
    epochs, weights = args.epochs, args.fold_weights or args.weights
    if deadline is not None:
        epochs = len(read_history(training.run.history)) or epochs
    if args.fold_weights is not None:
        epochs = max(epochs, recipe_for(args.arch, pretrained=args.fold_weights != NamedWeights.NONE).epochs)
    return args.model_copy(update={"epochs": max(1, round(epochs * _share_of_epochs(args))), "weights": weights})


def _share_of_epochs(args: RunArgs) -> float:
    return 1.0 if args.cv else _SHARE_OF_EPOCHS


def _divide(training: Training, count: int) -> list[tuple[list[AssignedPhoto], list[AssignedPhoto]]]:
    """Photos to learn from and to hold back; there are no more folds than groups."""
    if not count:
        return []
    groups = [photo.group for photo in training.photos]
    fold_of = assign_folds(training.labels, groups, training.args.seed, count)
    parts: list[tuple[list[AssignedPhoto], list[AssignedPhoto]]] = [([], []) for _ in range(count)]
    for photo, own in zip(training.photos, fold_of.tolist(), strict=True):
        for fold, part in enumerate(parts):
            part[fold == own].append(photo)
    return [(learned, held) for learned, held in parts if learned and held]


def _predict(network: keras.Model, part: Training, asked: Sequence[str]) -> HeldOutLogits:
    # The last epoch predicts: to take its best by these very photos would flatter it.
    predictions = predict(network, [photo.sha256 for photo in part.held], part.store)
    held, score = held_out(network, part, part.held, predictions)
    write_guesses(network, part, asked, score)
    write_arrays(part.run.answers, **vars(held))
    return held


def _kept(part: Training) -> HeldOutLogits | None:
    if not part.run.answers.is_file():
        return None
    return HeldOutLogits.read(part.run.answers, advice="delete it")


class FoldView:
    """Shows the epochs of a network as one piece of work, of which ``done`` were done before."""

    def __init__(
        self, advance: Advance, what: str, epochs: int, done: int, note: Callable[[str], None] = lambda text: None
    ) -> None:
        self._advance = advance
        self._note = note
        self._what = what
        self._epochs = epochs
        self._done = done

    def step(self, done: int, total: int) -> None:
        """A step is done."""
        self._advance(self._what, self._done * total + done, max(self._epochs, self._done + 1) * total)

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """An epoch is done."""
        self._done, self._epochs = figures.epoch, epochs

    def note(self, text: str) -> None:
        """Something that a person should know at once."""
        self._note(text)
