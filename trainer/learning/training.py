"""Trains one network, and predicts the classes of photos. In a pretrained network, the head is trained first."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from models.statistics.calibration import class_logits
from models.whole_file import replace_file
from trainer.data.photo_cache import SHARD, FeatureStore, PixelStore
from trainer.learning.batches import Batches
from trainer.learning.loop import FitOutcome, FitView, TrainingBudget, ValidationPhotos, fit, loss_and_accuracy
from trainer.learning.recipe import Recipe, class_weights, recipe_for
from trainer.learning.training_step import Learner, Pace, measure_pace
from trainer.networks.build import build_network, features_model
from trainer.networks.efficientnet_lite import late_layers
from trainer.request import Arch, Balance, NamedWeights, parse_weights
from trainer.run import EpochFigures, Run, RunArgs
from trainer.splits.assigned import AssignedPhoto

_CHUNK: Final = 128
_TIMED: Final = 3
_HEAD_PHOTOS: Final = 20_000
"""A head alone is trained on at most this many photos, because all features must fit in memory."""
_CROSS_VALIDATED: Final = 2_000
"""The head's penalty is chosen on at most this many photos."""
_HEAD_FOLDS: Final = 5
_STRENGTHS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_LEAST_SPREAD: Final = 1e-6


@dataclass(frozen=True)
class Predictions:
    """A network's class logits ``float32 (n, classes)`` and features ``float32 (n, D)``."""

    logits: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]


class Predictor:
    """Runs a network with layers named ``features`` and ``logits``, once per photo.

    ``saved``: a cache of features on disk, only for a frozen body.
    """

    def __init__(self, network: keras.Model, store: PixelStore, saved: FeatureStore | None = None) -> None:
        self.network = network
        self._store, self._saved = store, saved
        body = partial(features_model(network), training=False)
        self._body = tf.function(body, reduce_retracing=True, autograph=False)
        self._rows: dict[str, npt.NDArray[np.float32]] = {}

    def predict(self, sha256s: Sequence[str]) -> Predictions:
        """The network's predictions for photos, in the order of the photos."""
        features = self.features(sha256s)
        return Predictions(apply_head(self.network.get_layer("logits").get_weights(), features), features)

    def features(self, sha256s: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the inputs of the last layer for photos, ``float32 (n, D)``."""
        self.compute(sha256s)
        width = self.network.get_layer("logits").input.shape[-1]
        return np.array([self._rows[sha256] for sha256 in sha256s], np.float32).reshape(-1, width)

    def compute(self, sha256s: Sequence[str], advance: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Compute the features of photos that have none yet. ``advance`` gets (done, total)."""
        new = [sha256 for sha256 in dict.fromkeys(sha256s) if sha256 not in self._rows]
        if self._saved and new:
            self._rows |= self._saved.take(new)
            new = [sha256 for sha256 in new if sha256 not in self._rows]
        for start in range(0, len(new), _CHUNK):
            advance(start, len(new))
            end = min(start + _CHUNK, len(new))
            pixels = tf.cast(self._store.take(new[start:end]), tf.float32)
            self._rows |= zip(new[start:end], self._body(pixels).numpy(), strict=True)
            if self._saved and (end % SHARD == 0 or end == len(new)):  # a crash loses at most one shard
                self._saved.add({sha256: self._rows[sha256] for sha256 in new[(end - 1) // SHARD * SHARD : end]})

    def images_per_s(self, sha256s: Sequence[str]) -> float:
        """Photos per second, without the time for decoding. Needs at least one photo."""
        pixels = tf.cast(self._store.take(sha256s[:_CHUNK]), tf.float32)
        self._body(pixels)  # warm-up
        began = time.monotonic()
        for _ in range(_TIMED):
            self._body(pixels)
        return _TIMED * len(pixels) / (time.monotonic() - began)


def new_network(args: RunArgs, *, begun: bool = False) -> keras.Model:
    """A run's initial network. The same seed gives the same network.

    ``begun``: do not read the initial weights; the training has saved weights.
    """
    keras.utils.set_random_seed(args.seed)
    weights = NamedWeights.NONE if begun else parse_weights(args.weights)
    return build_network(args.arch, args.preprocess.size, len(args.classes), weights=weights, alpha=args.alpha)


def recipe_of(args: RunArgs) -> Recipe:
    """The training recipe of a run's architecture."""
    return recipe_for(args.arch, pretrained=args.pretrained)


def pace_here(args: RunArgs) -> Pace:
    """Measure the training speed of a run's network on this machine."""
    network, recipe = new_network(args, begun=True), recipe_of(args)
    return measure_pace(Learner(network, recipe, prepare_layers(network, recipe)), args.preprocess.size, args.batch)


def labels_of(photos: Sequence[AssignedPhoto], classes: Sequence[str]) -> npt.NDArray[np.intp]:
    """The class index of each photo, ``(n,)``."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[photo.label] for photo in photos], np.intp)


@dataclass(frozen=True)
class Training:
    """Trains one network on ``photos``, and validates it on ``held``.

    ``outliers``: photos without a product, to fit the out-of-distribution score. ``features``: a cache of features
    of the frozen body.
    """

    args: RunArgs
    store: PixelStore
    photos: Sequence[AssignedPhoto]
    held: Sequence[AssignedPhoto]
    run: Run
    outliers: Sequence[AssignedPhoto] = ()
    features: FeatureStore | None = None

    @cached_property
    def labels(self) -> npt.NDArray[np.intp]:
        """Class indices ``(n,)`` of the training photos."""
        return labels_of(self.photos, self.args.classes)

    def batches(self) -> Batches:
        """The training batches."""
        return Batches(
            self.store,
            [photo.sha256 for photo in self.photos],
            self.labels,
            classes=len(self.args.classes),
            batch=self.args.batch,
            seed=self.args.seed,
            augmentation=None if self.args.is_frozen else recipe_of(self.args).augmentation,
        )

    def train(self, network: keras.Model, deadline: float | None, view: FitView) -> FitOutcome:
        """Train a network of :func:`new_network` in place. Continues a stopped training.

        ``deadline`` is a time of :func:`time.monotonic`, or None without a limit.
        """
        args, recipe = self.args, recipe_of(self.args)
        if recipe.head_first and not self.run.state.is_file():
            self.fit_head(Predictor(network, self.store, self.features))
        learner = Learner(network, recipe, prepare_layers(network, recipe), self.class_weights)
        names = [photo.sha256 for photo in self.held]
        held = ValidationPhotos(
            lambda start, end: self.store.take(names[start:end]), labels_of(self.held, args.classes)
        )
        outcome = fit(learner, recipe, self.batches(), held, self.run, TrainingBudget(args.epochs, deadline), view)
        if not args.cv or outcome.interrupted or not outcome.history:
            return outcome
        # With few validation photos, an early epoch may be best by chance.
        self.run.forget_judgement()  # the stored figures describe another epoch
        replace_file(self.run.best, self.run.last.read_bytes())
        return replace(outcome, best_epoch=outcome.history[-1].epoch)

    def head_rows(self, predictor: Predictor) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp], list[str]]:
        """Features, class indices and groups of random training photos (``_HEAD_PHOTOS`` at most), to fit a head."""
        chosen = np.random.default_rng(self.args.seed).permutation(len(self.photos))[:_HEAD_PHOTOS]
        features = predictor.features([self.photos[i].sha256 for i in chosen])
        return features, self.labels[chosen], [self.photos[i].group for i in chosen]

    def fit_head(self, predictor: Predictor) -> float:
        """Fit only the last layer, in place: a logistic regression on features. Returns the inverse penalty."""
        features, labels, groups = self.head_rows(predictor)
        strength = best_strength(features, labels, groups, self.args.seed)
        layer = predictor.network.get_layer("logits")
        layer.set_weights(fit_head(features, labels, layer.units, strength, self.class_weights))
        return strength

    @cached_property
    def class_weights(self) -> npt.NDArray[np.float32] | None:
        """Weights of the classes, ``(classes,)``. None if classes are not weighted."""
        if self.args.balance is not Balance.WEIGHTS:
            return None
        return class_weights(np.bincount(self.labels, minlength=len(self.args.classes)).tolist())


def head_figures(training: Training, predictor: Predictor, seconds: float) -> EpochFigures:
    """The loss and accuracy of a fitted head, for ``results.csv``. The epoch is 0."""
    figures: dict[str, float] = {}
    for name, photos in (("train", training.photos), ("val", training.held)):
        labels = labels_of(photos, training.args.classes)
        logits = predictor.predict([photo.sha256 for photo in photos]).logits
        figures |= zip((f"{name}_loss", f"{name}_accuracy"), loss_and_accuracy(logits, labels), strict=True)
    size, pace = training.args.preprocess.size, len(training.photos) / max(seconds, 1e-9)
    return EpochFigures(epoch=0, lr=0.0, size=size, seconds=seconds, images_per_s=pace, best=True, **figures)


def fit_head(
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.intp],
    units: int,
    strength: float,
    class_weights: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fit a logistic regression to features ``float32 (n, D)``. Returns kernel ``(D, units)`` and bias ``(units,)``.

    ``strength`` is the inverse penalty. For classes without photos, the head predicts low probabilities. ``units`` is
    1 for two classes.
    """
    present = np.unique(labels)
    kernel, bias = np.zeros((features.shape[1], units), np.float32), np.full(units, -np.log(len(labels)), np.float32)
    if len(present) == 1:
        bias[:] = np.where(np.arange(units) + (units == 1) == present, -bias, bias)
        return kernel, bias
    mean, spread = features.mean(axis=0), features.std(axis=0) + _LEAST_SPREAD
    weights = None if class_weights is None else class_weights[labels]
    with threadpool_limits(1):  # threads would slow down such small matrix products
        fitted = _logistic(strength).fit((features - mean) / spread, labels, weights)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if units > 1 and len(present) == 2:  # noqa: PLR2004 - coef_ then has one row
        coefficients, intercept = np.stack([-coefficients[0], coefficients[0]]) / 2, np.array([-1, 1]) * intercept / 2
    rows = present if units > 1 else slice(None)
    bias += intercept.min()
    kernel[:, rows] = (coefficients / spread).T
    bias[rows] = intercept - coefficients @ (mean / spread)
    return kernel, bias


def apply_head(head: Sequence[npt.NDArray[np.float32]], features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Compute class logits ``float32 (n, classes)`` from features, with a head's kernel and bias."""
    kernel, bias = head
    return class_logits(features @ kernel + bias)


def best_strength(
    features: npt.NDArray[np.float32], labels: npt.NDArray[np.intp], groups: Sequence[str], seed: int
) -> float:
    """Choose an inverse penalty by cross-validation. With only one group, choose the smallest."""
    chosen = np.random.default_rng(seed).permutation(len(labels))[:_CROSS_VALIDATED]
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + _LEAST_SPREAD)
    features, labels, names = scaled[chosen], labels[chosen], np.array(groups)[chosen]
    losses = np.zeros(len(_STRENGTHS))
    folds = min(_HEAD_FOLDS, len(set(names)))
    with threadpool_limits(1):
        for learned, held in GroupKFold(folds).split(features, labels, names) if folds > 1 else ():
            present = np.unique(labels[learned])
            known = np.isin(labels[held], present)
            if len(present) > 1 and known.any():
                truths = np.searchsorted(present, labels[held][known])
                for place, strength in enumerate(_STRENGTHS):
                    fitted = _logistic(strength).fit(features[learned], labels[learned])
                    log_shares = fitted.predict_log_proba(features[held][known])
                    losses[place] -= log_shares[np.arange(len(log_shares)), truths].sum()
    return _STRENGTHS[int(losses.argmin())]


def _logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=1_000, tol=1e-3)


def prepare_layers(network: keras.Model, recipe: Recipe) -> list[list[keras.Variable]]:
    """Freeze the layers that a recipe does not train. Returns the trained variables, from early to late.

    In pretrained networks every batch norm is frozen, because small batches would damage its statistics.
    """
    late = late_layers(Arch(network.name), network) if recipe.late_only else network.layers
    for layer in network.layers:
        rests = recipe.head_first and isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer in late and not rests
    return depth_groups(network, len(recipe.depth_rates))


def depth_groups(network: keras.Model, parts: int = 3) -> list[list[keras.Variable]]:
    """Divide the trainable variables into ``parts`` groups by layer, early layers first.

    Groups have almost equal numbers of layers. Groups may be empty. The head is in the last group.
    """
    head = network.get_layer("logits")
    learning = [layer for layer in network.layers if layer.trainable_variables and layer is not head]
    cuts = [len(learning) * part // parts for part in range(parts + 1)]
    groups = [
        [variable for layer in learning[start:end] for variable in layer.trainable_variables]
        for start, end in pairwise(cuts)
    ]
    groups[-1].extend(head.trainable_variables)
    return groups
