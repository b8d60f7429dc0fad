"""Training one network: its head first, where it has learned from other photos, then the whole."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.data.photo_cache import PixelStore
from trainer.learning.balance import class_weights
from trainer.learning.batches import Batches, one_hot
from trainer.learning.loop import FitOutcome, FitView, Limits, ValidationPhotos, fit
from trainer.learning.predictions import features_of
from trainer.learning.recipe import Recipe, recipe_for
from trainer.learning.training_step import Learner, has_bfloat16, speeds_of_formats
from trainer.networks.build import build_network
from trainer.networks.choice import NamedWeights, parse_weights
from trainer.request import Balance
from trainer.run import Run, RunArgs
from trainer.splits.assigned import AssignedPhoto

__all__ = [
    "Training",
    "depth_groups",
    "freeze_norms",
    "in_quicker_format",
    "labels_of",
    "new_network",
    "speeds_here",
    "train_head",
]

_HEAD_PHOTOS: Final = 20_000
"""At most this many photos train the head alone: their features are held in memory."""
_WORTH_TIMING: Final = 500
"""Fewer steps are over before the timing of both number formats has paid."""
_WORTH_TIMING_S: Final = 120
_HEAD_RECIPE: Final = Recipe(size=0, epochs=0, batch=256, rate=1e-2)


def new_network(args: RunArgs, *, begun: bool = False) -> keras.Model:
    """A run's network as it begins; the same for the same seed.

    With ``begun``, no weights are loaded, since saved ones will replace them: the initial ones may be gone by now.
    """
    keras.utils.set_random_seed(args.seed)
    weights = NamedWeights.NONE if begun else parse_weights(args.weights)
    return build_network(args.arch, args.preprocess.size, len(args.classes), weights=weights, alpha=args.alpha)


def speeds_here(args: RunArgs) -> dict[str, float] | None:
    """Photos a second of a run's training steps in each number format; None where the processor has no bfloat16."""
    if not has_bfloat16():
        return None
    network = new_network(args, begun=True)
    recipe = recipe_for(args.arch, pretrained=args.weights != NamedWeights.NONE)
    groups = depth_groups(network, len(recipe.depth_rates))
    return speeds_of_formats(network, recipe, groups, args.preprocess.size, args.batch)


def in_quicker_format(
    args: RunArgs, photos: int, speeds: Callable[[RunArgs], dict[str, float] | None] = speeds_here
) -> RunArgs:
    """A run's args as it begins, with the number format in which training steps are quicker on this machine.

    Both are timed where the network can gain from bfloat16, the processor has it, and the training on so many
    ``photos`` is long enough; else it is float32. ``speeds`` times them, in photos a second.
    """
    recipe = recipe_for(args.arch, pretrained=args.weights != NamedWeights.NONE)
    steps = math.ceil(photos / args.batch) * args.epochs
    if steps < _WORTH_TIMING or (args.time_limit_s or math.inf) < _WORTH_TIMING_S or not recipe.bfloat16:
        return args
    found = speeds(args)
    if found is None:
        return args
    return args.model_copy(update={"bfloat16": found["bfloat16"] > found["float32"], "photos_per_s": found})


def labels_of(photos: Sequence[AssignedPhoto], classes: Sequence[str]) -> npt.NDArray[np.intp]:
    """Class indices ``(n,)``."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[photo.label] for photo in photos], np.intp)


@dataclass(frozen=True)
class Training:
    """The training of one network, with its training photos, and validation photos to judge it by."""

    args: RunArgs
    store: PixelStore
    photos: Sequence[AssignedPhoto]
    held: Sequence[AssignedPhoto]
    run: Run

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
            augmentation=self._recipe().augmentation,
            sampled=self.args.balance is Balance.SAMPLE,
        )

    def train(self, network: keras.Model, deadline: float | None, view: FitView) -> FitOutcome:
        """Train a network, as :func:`new_network` made it, in place; what was learned before a stop is taken up.

        ``deadline`` is by :func:`time.monotonic`; None if time does not matter.
        """
        args, recipe = self.args, self._recipe()
        if recipe.head_epochs and not self.run.state.is_file():
            self._train_head(network, recipe.head_epochs)
        if recipe.keep_norms:
            freeze_norms(network)
        learner = Learner(network, recipe, depth_groups(network, len(recipe.depth_rates)), self._class_weights())
        names = [photo.sha256 for photo in self.held]
        held = ValidationPhotos(
            lambda start, end: self.store.take(names[start:end]), labels_of(self.held, args.classes)
        )
        limits = Limits(args.epochs, args.patience, deadline)
        return fit(learner, recipe, self.batches(), held, self.run, limits, view)

    def _recipe(self) -> Recipe:
        recipe = recipe_for(self.args.arch, pretrained=self.args.weights != NamedWeights.NONE)
        return replace(recipe, bfloat16=self.args.bfloat16)

    def _train_head(self, network: keras.Model, epochs: int) -> None:
        chosen = np.random.default_rng(self.args.seed).permutation(len(self.photos))[:_HEAD_PHOTOS]
        sha256s = [self.photos[i].sha256 for i in chosen]
        both = [features_of(network, sha256s, self.store, mirrored=mirrored) for mirrored in (False, True)]
        train_head(
            network,
            np.concatenate(both),
            np.tile(self.labels[chosen], 2),
            classes=len(self.args.classes),
            epochs=epochs,
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
    *,
    classes: int,
    epochs: int,
    seed: int,
    class_weights: npt.NDArray[np.float32] | None,
) -> None:
    """Train a network's last layer alone, in place, on features ``float32 (n, D)`` that are made once."""
    layer = network.get_layer("logits")  # the network's own, so the network learns with it
    head = keras.Model(network.get_layer("features").output, layer.output)
    learner = Learner(network, _HEAD_RECIPE, [layer.trainable_variables], class_weights, logits=head)
    batch = min(_HEAD_RECIPE.batch, len(features))
    steps = len(features) // batch
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(features))
        for step in range(steps):
            chosen = np.sort(order[step * batch : (step + 1) * batch])
            rate = _HEAD_RECIPE.rate * (1.0 - (epoch * steps + step) / (epochs * steps))
            learner.step(tf.constant(features[chosen]), tf.constant(one_hot(labels[chosen], classes)), rate, 0.0)


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
