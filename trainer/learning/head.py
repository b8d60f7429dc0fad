"""The head of a network that has learned from other photos: it learns first, alone, on features that are made once."""

from typing import Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.learning.batches import one_hot
from trainer.learning.learner import Learner
from trainer.learning.recipe import Recipe

__all__ = ["train_head"]

_BATCH: Final = 256
_RECIPE: Final = Recipe(
    size=0,
    epochs=0,
    batch=_BATCH,
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
    batch = min(_BATCH, len(features))
    steps = len(features) // batch
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(features))
        for step in range(steps):
            chosen = np.sort(order[step * batch : (step + 1) * batch])
            rate = _RECIPE.rate * (1.0 - (epoch * steps + step) / (epochs * steps))
            learner.step(tf.constant(features[chosen]), tf.constant(one_hot(labels[chosen], classes)), rate, 0.0)


def _head_learner(network: keras.Model, class_weights: npt.NDArray[np.float32] | None) -> Learner:
    """A learner of the last layer alone; it is the network's own layer, so the network learns with it."""
    layer = network.get_layer("logits")
    head = keras.Model(network.get_layer("features").output, layer.output)
    return Learner(network, _RECIPE, [layer.trainable_variables], class_weights, logits=head)
