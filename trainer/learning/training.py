"""One network, taught on some photos and held against others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.data.pixel_store import PixelStore
from trainer.learning.balance import class_weights, sampling_order
from trainer.learning.batches import Batches, one_hot
from trainer.learning.loop import FitOutcome, FitView, Held, Limits, fit
from trainer.learning.predictions import features_of
from trainer.learning.recipe import Recipe, recipe_for
from trainer.learning.training_step import Learner
from trainer.networks.build import build_network
from trainer.networks.choice import NamedWeights, parse_weights
from trainer.networks.depth import depth_groups, freeze_norms
from trainer.request import Balance
from trainer.run import Run, RunArgs
from trainer.splits.assigned import AssignedPhoto

__all__ = ["HEAD_PHOTOS", "Lesson", "labels_of", "new_network", "recipe_of", "train_head"]


_HEAD_BATCH: Final = 256
_HEAD_RECIPE: Final = Recipe(
    size=0,
    epochs=0,
    batch=_HEAD_BATCH,
    rate=1e-2,
    weight_decay=0.05,
    cosine=True,
    smoothing=0.1,
    average=0.0,
    augmentation=None,
)


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
    """Teach a network's last layer, in place.

    Args:
        network: ends in layers named ``features``, ``logits`` and ``probabilities``.
        features: of the training photos, ``float32 (n, D)``.
        labels: class indices ``(n,)``.
        classes: how many there are.
        epochs: passes over the features.
        seed: of their order.
        class_weights: what a photo of each class counts; none where all count the same.
    """
    learner = _head_learner(network, class_weights)
    batch = min(_HEAD_BATCH, len(features))
    steps = len(features) // batch
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(features))
        for step in range(steps):
            chosen = np.sort(order[step * batch : (step + 1) * batch])
            rate = _HEAD_RECIPE.rate * (1.0 - (epoch * steps + step) / (epochs * steps))
            learner.step(tf.constant(features[chosen]), tf.constant(one_hot(labels[chosen], classes)), rate, 0.0)


def _head_learner(network: keras.Model, class_weights: npt.NDArray[np.float32] | None) -> Learner:
    """A learner of the last layer alone; it is the network's own layer, so the network learns with it."""
    layer = network.get_layer("logits")
    head = keras.Model(network.get_layer("features").output, layer.output)
    return Learner(network, _HEAD_RECIPE, [layer.trainable_variables], class_weights, logits=head)


HEAD_PHOTOS: Final = 20_000
"""At most so many photos teach the head alone: their features are held in memory."""


def recipe_of(args: RunArgs) -> Recipe:
    """How a run's network learns."""
    return replace(recipe_for(args.arch, pretrained=args.weights != "none"), bfloat16=args.bfloat16)


def new_network(args: RunArgs, *, begun: bool = False) -> keras.Model:
    """A run's network as it begins; the same for the same seed.

    Args:
        args: of the run.
        begun: whether what it has learned already will be put into it: the weights it began with may be gone by now.
    """
    keras.utils.set_random_seed(args.seed)
    weights = NamedWeights.NONE if begun else parse_weights(args.weights)
    return build_network(args.arch, args.preprocess.size, len(args.classes), weights=weights, alpha=args.alpha)


def labels_of(photos: Sequence[AssignedPhoto], classes: Sequence[str]) -> npt.NDArray[np.intp]:
    """Class indices ``(n,)``."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[photo.label] for photo in photos], np.intp)


@dataclass(frozen=True)
class Lesson:
    """What one network learns from.

    Attributes:
        args: of the run.
        store: the pixels.
        photos: to learn from.
        held: to see how good it is.
        run: where weights and figures are kept.
    """

    args: RunArgs
    store: PixelStore
    photos: Sequence[AssignedPhoto]
    held: Sequence[AssignedPhoto]
    run: Run

    def batches(self) -> Batches:
        """What the network sees."""
        args, labels = self.args, self._labels()
        sampled = args.balance is Balance.SAMPLE
        return Batches(
            self.store,
            [photo.sha256 for photo in self.photos],
            labels,
            classes=len(args.classes),
            batch=args.batch,
            seed=args.seed,
            augmentation=recipe_of(args).augmentation,
            order=(lambda random: sampling_order(labels, random)) if sampled else None,
        )

    def teach(self, network: keras.Model, deadline: float | None, view: FitView) -> FitOutcome:
        """Teach a network, in place; what was taught before a stop is taken up.

        Args:
            network: as :func:`new_network` made it.
            deadline: by :func:`time.monotonic`; none where time does not matter.
            view: told of each step and epoch.
        """
        args, recipe = self.args, recipe_of(self.args)
        if recipe.head_epochs and not self.run.state.is_file():
            self._teach_head(network, recipe.head_epochs)
        if recipe.keep_norms:
            freeze_norms(network)
        groups = depth_groups(network, len(recipe.depth_rates))
        return fit(
            Learner(network, recipe, groups, self._class_weights()),
            recipe,
            self.batches(),
            Held(self._held_pixels, labels_of(self.held, args.classes)),
            self.run,
            Limits(args.epochs, args.patience, deadline),
            view,
        )

    def _teach_head(self, network: keras.Model, epochs: int) -> None:
        chosen = np.random.default_rng(self.args.seed).permutation(len(self.photos))[:HEAD_PHOTOS]
        sha256s, labels = [self.photos[i].sha256 for i in chosen], self._labels()[chosen]
        both = [features_of(network, sha256s, self.store, mirrored=mirrored) for mirrored in (False, True)]
        train_head(
            network,
            np.concatenate(both),
            np.concatenate([labels, labels]),
            classes=len(self.args.classes),
            epochs=epochs,
            seed=self.args.seed,
            class_weights=self._class_weights(),
        )

    def _labels(self) -> npt.NDArray[np.intp]:
        return labels_of(self.photos, self.args.classes)

    def _class_weights(self) -> npt.NDArray[np.float32] | None:
        if self.args.balance is not Balance.WEIGHTS:
            return None
        return class_weights(np.bincount(self._labels(), minlength=len(self.args.classes)).tolist())

    def _held_pixels(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        return self.store.take([photo.sha256 for photo in self.held[start:end]])
