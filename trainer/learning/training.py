"""Training one network, its head first where it has learned from other photos; and its predictions."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from models.statistics.calibration import class_logits
from models.whole_file import replace_file
from trainer.data.photo_cache import PixelStore
from trainer.learning.batches import Batches
from trainer.learning.loop import FitOutcome, FitView, Limits, ValidationPhotos, fit
from trainer.learning.recipe import Recipe, class_weights, recipe_for
from trainer.learning.training_step import Learner, Pace, measure_pace
from trainer.networks.build import build_network
from trainer.request import Balance, NamedWeights, parse_weights
from trainer.run import Run, RunArgs
from trainer.splits.assigned import AssignedPhoto

_CHUNK: Final = 128
_TIMED: Final = 3


@dataclass(frozen=True)
class Predictions:
    """A network's class logits ``float32 (n, classes)``, and the features ``float32 (n, D)`` that it decides by."""

    logits: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]


def predict(network: keras.Model, sha256s: Sequence[str], store: PixelStore, *, mirrored: bool = False) -> Predictions:
    """Show photos to a network with layers named ``features`` and ``logits``, a few at a time.

    With ``mirrored``, left and right are exchanged.
    """
    layers = [network.get_layer("logits").output, network.get_layer("features").output]
    ask = _compiled(keras.Model(network.inputs, layers))
    parts = [ask(pixels[:, :, ::-1] if mirrored else pixels) for pixels in _chunks(store, sha256s)]
    if not parts:
        return Predictions(*(np.zeros((0, max(2, layer.shape[-1])), np.float32) for layer in layers))
    logits, features = (np.concatenate([part[i].numpy() for part in parts]) for i in (0, 1))
    return Predictions(class_logits(logits), features)


def features_of(
    network: keras.Model, sha256s: Sequence[str], store: PixelStore, *, mirrored: bool = False
) -> npt.NDArray[np.float32]:
    """What a network's last layer decides by, ``float32 (n, D)``; of photos with left and right exchanged, if asked."""
    return predict(network, sha256s, store, mirrored=mirrored).features


def images_per_s(network: keras.Model, sha256s: Sequence[str], store: PixelStore) -> float:
    """How many photos a network judges in a second, decoding not counted; at least one photo."""
    ask = _compiled(network)
    pixels = next(_chunks(store, sha256s))
    ask(pixels)  # makes everything ready
    began = time.monotonic()
    for _ in range(_TIMED):
        ask(pixels)
    return _TIMED * len(pixels) / (time.monotonic() - began)


def _chunks(store: PixelStore, sha256s: Sequence[str]) -> Iterator[tf.Tensor]:
    for start in range(0, len(sha256s), _CHUNK):
        yield tf.cast(store.take(sha256s[start : start + _CHUNK]), tf.float32)


def _compiled(model: keras.Model) -> Callable[[tf.Tensor], Any]:
    compiled: Callable[[tf.Tensor], Any] = tf.function(
        lambda pixels: model(pixels, training=False), reduce_retracing=True
    )
    return compiled


_HEAD_PHOTOS: Final = 20_000
"""At most this many photos train the head alone: their features are held in memory."""
_CROSS_VALIDATED: Final = 2_000
"""The most features (each photo has two) that the penalty of the head is chosen on."""
_HEAD_FOLDS: Final = 5
_STRENGTHS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_LEAST_SPREAD: Final = 1e-6


def new_network(args: RunArgs, *, begun: bool = False) -> keras.Model:
    """A run's network as it begins; the same for the same seed.

    With ``begun``, no weights are loaded, since saved ones will replace them: the initial ones may be gone by now.
    """
    keras.utils.set_random_seed(args.seed)
    weights = NamedWeights.NONE if begun else parse_weights(args.weights)
    return build_network(args.arch, args.preprocess.size, len(args.classes), weights=weights, alpha=args.alpha)


def recipe_of(args: RunArgs) -> Recipe:
    """How a run's network learns."""
    return replace(recipe_for(args.arch, pretrained=args.pretrained), bfloat16=args.bfloat16)


def pace_here(args: RunArgs, formats: Sequence[str]) -> Pace:
    """How fast a run's network learns on this machine, in these number formats."""
    network, recipe = new_network(args, begun=True), recipe_of(args)
    groups = depth_groups(network, len(recipe.depth_rates))
    return measure_pace(network, recipe, groups, args.preprocess.size, args.batch, formats)


def labels_of(photos: Sequence[AssignedPhoto], classes: Sequence[str]) -> npt.NDArray[np.intp]:
    """Class indices ``(n,)``."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[photo.label] for photo in photos], np.intp)


@dataclass(frozen=True)
class Training:
    """The training of one network, with its training photos, and validation photos to judge it by.

    ``outliers`` show no product: the unknown score learns from them, the network does not.
    """

    args: RunArgs
    store: PixelStore
    photos: Sequence[AssignedPhoto]
    held: Sequence[AssignedPhoto]
    run: Run
    outliers: Sequence[AssignedPhoto] = ()

    @cached_property
    def labels(self) -> npt.NDArray[np.intp]:
        """Class indices ``(n,)`` of the photos to learn from."""
        return labels_of(self.photos, self.args.classes)

    def batches(self) -> Batches:
        """What the network sees."""
        return Batches(
            self.store,
            [photo.sha256 for photo in self.photos],
            self.labels,
            classes=len(self.args.classes),
            batch=self.args.batch,
            seed=self.args.seed,
            augmentation=recipe_of(self.args).augmentation,
        )

    def train(self, network: keras.Model, deadline: float | None, view: FitView) -> FitOutcome:
        """Train a network, as :func:`new_network` made it, in place; what was learned before a stop is taken up.

        ``deadline`` is by :func:`time.monotonic`; None if time does not matter.
        """
        args, recipe = self.args, recipe_of(self.args)
        if recipe.head_first and not self.run.state.is_file():
            self._train_head(network)
        if recipe.keep_norms:
            freeze_norms(network)
        learner = Learner(network, recipe, depth_groups(network, len(recipe.depth_rates)), self._class_weights())
        names = [photo.sha256 for photo in self.held]
        held = ValidationPhotos(
            lambda start, end: self.store.take(names[start:end]), labels_of(self.held, args.classes)
        )
        outcome = fit(learner, recipe, self.batches(), held, self.run, Limits(args.epochs, deadline), view)
        if not args.cv or outcome.interrupted or not outcome.history:
            return outcome
        # A few validation photos choose by chance: an early epoch may be the best on thirty of them.
        self.run.forget_judgement()  # if somebody stopped it before, that epoch was judged
        replace_file(self.run.best, self.run.last.read_bytes())
        return replace(outcome, last_is_best=True)

    def _train_head(self, network: keras.Model) -> None:
        chosen = np.random.default_rng(self.args.seed).permutation(len(self.photos))[:_HEAD_PHOTOS]
        sha256s = [self.photos[i].sha256 for i in chosen]
        both = [features_of(network, sha256s, self.store, mirrored=mirrored) for mirrored in (False, True)]
        train_head(
            network,
            np.concatenate(both),
            np.tile(self.labels[chosen], 2),
            [self.photos[i].group for i in chosen] * 2,
            seed=self.args.seed,
            class_weights=self._class_weights(),
        )

    def _class_weights(self) -> npt.NDArray[np.float32] | None:
        if self.args.balance is not Balance.WEIGHTS:
            return None
        return class_weights(np.bincount(self.labels, minlength=len(self.args.classes)).tolist())


def train_head(
    network: keras.Model,
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.intp],
    groups: Sequence[str],
    *,
    seed: int,
    class_weights: npt.NDArray[np.float32] | None = None,
) -> None:
    """Fit a network's last layer alone, in place: a logistic regression on features ``float32 (n, D)`` of its body.

    Its penalty is chosen by cross-validation, with groups kept whole. Classes without photos stay unlikely.
    """
    present = np.unique(labels)
    if len(present) == 1:
        return
    mean, spread = features.mean(axis=0), features.std(axis=0) + _LEAST_SPREAD
    scaled, weights = (features - mean) / spread, None if class_weights is None else class_weights[labels]
    with threadpool_limits(1):  # in such small products, threads wait for each other: 20 s became 1 on a busy machine
        strength = _best_strength(scaled, labels, groups, seed)
    fitted = _logistic(strength).fit(scaled, labels, weights)
    kernel, bias = (np.array(array) for array in network.get_layer("logits").get_weights())
    kernel[:], bias[:] = 0.0, fitted.intercept_.min() - np.log(len(labels))
    rows = present if kernel.shape[1] > 1 else slice(None)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if kernel.shape[1] > 1 and len(present) == 2:  # noqa: PLR2004 - one row for the second of two
        coefficients, intercept = np.stack([-coefficients[0], coefficients[0]]) / 2, np.array([-1, 1]) * intercept / 2
    kernel[:, rows] = (coefficients / spread).T
    bias[rows] = intercept - coefficients @ (mean / spread)
    network.get_layer("logits").set_weights([kernel, bias])


def _best_strength(
    features: npt.NDArray[np.float32], labels: npt.NDArray[np.intp], groups: Sequence[str], seed: int
) -> float:
    """The inverse penalty whose predictions for photos left out are best, by cross-entropy; else the strongest."""
    chosen = np.random.default_rng(seed).permutation(len(labels))[:_CROSS_VALIDATED]
    features, labels, names = features[chosen], labels[chosen], np.array(groups)[chosen]
    losses = np.zeros(len(_STRENGTHS))
    folds = min(_HEAD_FOLDS, len(set(names)))
    for learned, held in GroupKFold(folds).split(features, labels, names) if folds > 1 else ():
        present = np.unique(labels[learned])
        known = np.isin(labels[held], present)
        if len(present) > 1 and known.any():
            for place, strength in enumerate(_STRENGTHS):
                fitted = _logistic(strength).fit(features[learned], labels[learned])
                said = fitted.predict_log_proba(features[held][known])
                losses[place] -= said[np.arange(len(said)), np.searchsorted(fitted.classes_, labels[held][known])].sum()
    return _STRENGTHS[int(losses.argmin())]


def _logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=1_000, tol=1e-3)


def freeze_norms(network: keras.Model) -> None:
    """Keep every batch norm as it is: small batches would spoil statistics that were learned on millions of photos.

    Layer norms have no statistics, and learn.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def depth_groups(network: keras.Model, parts: int = 3) -> list[list[keras.Variable]]:
    """The trainable variables from early to late, for rates that rise with depth.

    ``parts`` groups have as many layers each, give or take one; the head is in the last. Early groups are empty where
    fewer layers than groups can be trained.
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
