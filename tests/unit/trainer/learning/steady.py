"""Materials for tests of fitting."""

import numpy as np

from trainer.learning.batches import Batches
from trainer.learning.loop import ValidationPhotos
from trainer.learning.recipe import Recipe
from trainer.learning.training_step import Learner

SIZE, PHOTOS, BATCH = 16, 8, 4


STEADY = Recipe(epochs=5, batch=BATCH, rate=0.0, weight_decay=0.0, cosine=False, smoothing=0.0)


def batches_of(store, recipe, labels=(1,) * PHOTOS, classes=2):
    names = sorted(store.pixels, key=int)
    options = {"batch": recipe.batch, "seed": 3, "augmentation": recipe.augmentation}
    return Batches(store, names, np.array(labels), classes=classes, **options)


def held_of(truths):
    return ValidationPhotos(lambda start, end: np.full((end - start, SIZE, SIZE, 3), 128, np.uint8), np.array(truths))


def learner_of(network, recipe):
    return Learner(network, recipe, [network.trainable_variables])
