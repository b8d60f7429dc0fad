import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.learning.recipe import Stage, epochs_left_in, rate_at, recipe_for, scale_at
from trainer.request import Arch

COSINE, STEADY = recipe_for(Arch.CNN, pretrained=False), recipe_for(Arch.SIMPLE, pretrained=False)
SMALLER_FIRST = (Stage(until=0.5, scale=0.5),)

progresses = st.floats(0, 1)
stages = st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0.1, 1)), max_size=4).map(
    lambda pairs: tuple(map(Stage, sorted(until for until, _ in pairs), sorted(scale for _, scale in pairs)))
)
"""Photos never get smaller again."""


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


@pytest.mark.parametrize(
    ("seconds", "progress", "epochs"),
    [(100, 0.0, 16), (100, 0.25, 13), (100, 0.5, 10), (100, 0.75, 10), (9, 0.9, 1), (0, 0.5, 1), (-5, 0.5, 1)],
)
def test_epochs_of_smaller_photos_cost_less(seconds, progress, epochs):
    """Ten seconds a full epoch, two and a half for one of half the side."""
    assert epochs_left_in(seconds, progress, 10.0, SMALLER_FIRST) == epochs


@given(st.floats(0.1, 1000), st.floats(0, 0.99), st.floats(0.1, 10), stages)
def test_what_is_planned_takes_no_longer_than_there_is_time(seconds, progress, full_epoch_s, planned):
    epochs = epochs_left_in(seconds, progress, full_epoch_s, planned)
    begins = [progress + (1 - progress) * number / epochs for number in range(epochs)]
    takes = math.fsum(full_epoch_s * scale_at(begin, planned) ** 2 for begin in begins)
    assert epochs == 1 or takes <= seconds * (1 + 1e-9)


@given(st.floats(0.1, 1000), st.floats(0.1, 1000), st.floats(0, 0.99), stages)
def test_more_time_is_never_fewer_epochs(one, other, progress, planned):
    little, much = sorted((one, other))
    assert epochs_left_in(little, progress, 1.0, planned) <= epochs_left_in(much, progress, 1.0, planned)
