import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.learning.recipe import (
    MOST_WEIGHT,
    class_weights,
    rate_at,
    recipe_for,
)
from trainer.request import Arch

COSINE = recipe_for(Arch.CNN, pretrained=False)


def test_the_rate_begins_and_ends_at_nothing_and_is_highest_after_the_first_tenth():
    assert rate_at(0.0, COSINE) == 0
    assert rate_at(0.1, COSINE) == pytest.approx(COSINE.rate)
    assert rate_at(0.55, COSINE) == pytest.approx(COSINE.rate / 2)
    assert rate_at(1.0, COSINE) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("arch", "pretrained", "photos", "epochs"),
    [
        (Arch.CNN, False, 3_000, 60),
        (Arch.CNN, False, 300, 160),
        (Arch.CNN, False, 30, 640),
        (Arch.CNN, True, 300, 80),
        (Arch.MOBILENET, False, 300, 40),
        (Arch.EFFICIENTNET_LITE0, True, 3_000, 6),
        (Arch.EFFICIENTNET_LITE0, True, 240, 24),
        (Arch.EFFICIENTNET_LITE0, True, 20, 40),
    ],
)
def test_few_photos_get_steps_enough(arch, pretrained, photos, epochs):
    recipe = recipe_for(arch, pretrained=pretrained)
    assert recipe.epochs_of(photos, recipe.batch) == epochs


def test_fine_tuning_of_many_photos_takes_a_larger_batch():
    recipe = recipe_for(Arch.EFFICIENTNET_LITE0, pretrained=True)
    assert (recipe.batch_of(1_499), recipe.batch_of(1_500)) == (16, 32)
    assert recipe.epochs_of(2_000, 512) == 40


sizes = st.lists(st.integers(0, 100_000), min_size=1)


def test_a_photos_weight_is_limited():
    weights = class_weights([100_000, 10, 1])
    assert weights / weights[0] == pytest.approx([1, MOST_WEIGHT, MOST_WEIGHT])


@given(sizes)
def test_the_mean_over_photos_is_one(counts):
    weights = class_weights(counts)
    assert (weights.dtype, weights.shape) == (np.float32, (len(counts),))
    assert np.average(weights, weights=counts if any(counts) else None) == pytest.approx(1, rel=1e-5)
