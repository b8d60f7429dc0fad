import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.learning.recipe import Stage, mean_cost, rate_at, recipe_for, scale_at
from trainer.request import Arch

COSINE = recipe_for(Arch.CNN, pretrained=False)

progresses = st.floats(0, 1)


def test_the_rate_begins_and_ends_at_nothing_and_is_highest_after_the_first_tenth():
    assert rate_at(0.0, COSINE) == 0
    assert rate_at(0.1, COSINE) == pytest.approx(COSINE.rate)
    assert rate_at(0.55, COSINE) == pytest.approx(COSINE.rate / 2)
    assert rate_at(1.0, COSINE) == pytest.approx(0, abs=1e-12)


@given(progresses, progresses)
def test_the_rate_rises_and_then_falls(one, other):
    earlier, later = sorted((one, other))
    if later <= 0.1:
        assert rate_at(earlier, COSINE) <= rate_at(later, COSINE)
    if earlier >= 0.1:
        assert rate_at(earlier, COSINE) >= rate_at(later, COSINE) >= 0
    assert rate_at(later, COSINE) <= COSINE.rate


@pytest.mark.parametrize(
    ("arch", "pretrained", "photos", "epochs"),
    [
        (Arch.CNN, False, 3_000, 60),
        (Arch.CNN, False, 300, 160),
        (Arch.CNN, False, 30, 640),
        (Arch.CNN, True, 300, 80),
        (Arch.MOBILENET, False, 300, 40),
    ],
)
def test_few_photos_get_steps_enough(arch, pretrained, photos, epochs):
    recipe = recipe_for(arch, pretrained=pretrained)
    assert recipe.epochs_of(photos, recipe.batch) == epochs


def test_photos_are_small_until_a_stage_ends_and_then_full():
    found = [scale_at(progress, (Stage(0.3, 0.5), Stage(0.6, 0.75))) for progress in (0, 0.29, 0.3, 0.59, 0.6, 1)]
    assert found == [0.5, 0.5, 0.75, 0.75, 1, 1]
    assert scale_at(0, ()) == 1


@pytest.mark.parametrize(("progress", "cost"), [(0.0, 0.7), (0.25, 0.8), (0.5, 1.0), (0.75, 1.0), (1.0, 1.0)])
def test_epochs_of_smaller_photos_cost_less(progress, cost):
    """One of half the side takes 40% of the time."""
    assert mean_cost(progress, (Stage(until=0.5, scale=0.5),)) == pytest.approx(cost)
