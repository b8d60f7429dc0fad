"""What tests of fitting begin with."""

from dataclasses import dataclass, field

import numpy as np

from trainer.learning.batches import Batches
from trainer.learning.recipe import Recipe
from trainer.learning.training_step import Learner

SIZE, PHOTOS, BATCH = 16, 8, 4


STEADY = Recipe(
    size=SIZE,
    epochs=5,
    batch=BATCH,
    rate=0.0,
    weight_decay=0.0,
    cosine=False,
    smoothing=0.0,
    average=0.0,
    augmentation=None,
)


@dataclass
class View:
    """Writes down what it is told, and does something after a step or an epoch."""

    on_step: object = None
    on_epoch: object = None
    steps: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    expected: list = field(default_factory=list)

    def step(self, done, total):
        self.steps.append((done, total))
        if self.on_step:
            self.on_step()

    def epoch(self, figures, epochs):
        self.epochs.append(figures)
        self.expected.append(epochs)
        if self.on_epoch:
            self.on_epoch(figures)


def batches_of(store, recipe, labels=(1,) * PHOTOS, classes=2):
    names = sorted(store.pixels, key=int)
    return Batches(
        store,
        names,
        np.array(labels),
        classes=classes,
        batch=recipe.batch,
        seed=3,
        augmentation=recipe.augmentation,
    )


def learner_of(network, recipe):
    return Learner(network, recipe, [network.trainable_variables])


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))
