from dataclasses import replace

import numpy as np
import pytest

from tests.unit.trainer.learning.steady import PHOTOS, SIZE, STEADY, batches_of, held_of, learner_of
from tests.unit.trainer.run_files import Diary
from trainer.learning.loop import TrainingBudget, fit
from trainer.run import Run


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture
def photos(make_store):
    return make_store(np.random.default_rng(0).integers(0, 256, (PHOTOS, SIZE, SIZE, 3), np.uint8))


@pytest.fixture
def fit_once(run, photos, logits_network):
    """Fits a network with constant output (0.7 for the second class) to photos of the second class only."""

    def fit_with(rate=1e-4, epochs=5, view=None, truths=(1, 1, 1), cosine=False):
        recipe = replace(STEADY, rate=rate, cosine=cosine)
        learner, limits = learner_of(logits_network(), recipe), TrainingBudget(epochs)
        return fit(learner, recipe, batches_of(photos, recipe), held_of(truths), run, limits, view or Diary())

    return fit_with
