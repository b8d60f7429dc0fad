from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.learning.balance import MOST_WEIGHT, balance_note, choose_balance, class_weights, sampling_order
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
few_labels = st.lists(st.integers(0, 5), max_size=200)


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


def order_of(labels, seed=0):
    return sampling_order(np.array(labels, np.intp), np.random.default_rng(seed))


def test_classes_are_shown_by_the_square_root_of_their_size():
    labels = [0] * 400 + [1] * 100 + [2] * 25
    assert Counter(np.array(labels)[order_of(labels)].tolist()) == {0: 300, 1: 150, 2: 75}


@given(few_labels, st.integers(0, 9))
def test_an_epoch_is_as_long_as_ever_and_the_same_for_the_same_state(labels, seed):
    order = order_of(labels, seed)
    assert order.dtype == np.intp
    assert len(order) == len(labels)
    assert np.array_equal(order, order_of(labels, seed))


@given(few_labels)
def test_every_photo_of_a_rare_class_is_shown_and_rare_ones_oftener(labels):
    counts, shown = Counter(labels), Counter(order_of(labels).tolist())
    roots = sum(map(sqrt, counts.values()))
    share = Counter(labels[place] for place in shown.elements())
    for label, count in counts.items():
        times = [shown[place] for place, own in enumerate(labels) if own == label]
        assert max(times) - min(times) <= 1
        assert abs(share[label] - len(labels) * sqrt(count) / roots) < 1 + 1e-6
        if len(labels) * sqrt(count) / roots >= count:
            assert min(times) >= 1
        for other, more in counts.items():
            if more > count:
                assert share[label] / count > share[other] / more - 1 / count - 1 / more


def test_another_part_of_a_large_class_is_shown_in_another_epoch():
    labels = [0] * 100 + [1] * 4
    assert set(order_of(labels, 1).tolist()) != set(order_of(labels, 2).tolist())
