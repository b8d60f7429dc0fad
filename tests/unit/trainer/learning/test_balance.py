import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.learning.balance import MOST_WEIGHT, balance_note, choose_balance, class_weights
from trainer.request import Balance


@pytest.mark.parametrize("counts", [[], [0, 0], [5], [30, 10], [30, 10, 0], [10, 10]])
def test_classes_within_a_ratio_of_three_are_left_alone(counts):
    assert choose_balance(counts, None) is Balance.NONE
    assert balance_note(counts, None) is None


@pytest.mark.parametrize("counts", [[31, 10], [1000, 900, 1], [31, 10, 0]])
def test_beyond_it_photos_are_weighed(counts):
    assert choose_balance(counts, None) is Balance.WEIGHTS


@given(st.lists(st.integers(0, 1000)), st.sampled_from(Balance))
def test_a_wish_is_obeyed_without_a_word(counts, wished):
    assert choose_balance(counts, wished) is wished
    assert balance_note(counts, wished) is None


sizes = st.lists(st.integers(0, 100_000), min_size=1)


def test_classes_have_the_same_say():
    assert class_weights([10, 20, 40]) * [10, 20, 40] == pytest.approx([70 / 3] * 3)
    assert class_weights([5, 5]).tolist() == [1, 1]


def test_a_photo_weighs_at_most_so_much_more_than_one_of_the_largest_class():
    weights = class_weights([100_000, 10, 1])
    assert weights / weights[0] == pytest.approx([1, MOST_WEIGHT, MOST_WEIGHT])


@given(sizes)
def test_the_mean_over_photos_is_one(counts):
    weights = class_weights(counts)
    assert (weights.dtype, weights.shape) == (np.float32, (len(counts),))
    assert np.average(weights, weights=counts if any(counts) else None) == pytest.approx(1, rel=1e-5)


@given(sizes)
def test_a_rarer_class_never_weighs_less(counts):
    weights = class_weights(counts)
    assert (np.diff(weights[np.argsort(counts, kind="stable")]) <= 0).all()
    assert weights.max() <= weights.min() * MOST_WEIGHT * (1 + 1e-5)
