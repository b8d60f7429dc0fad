import numpy as np
import pytest

from models.statistics.out_of_distribution import relative_difference

SCORES = np.array([100.0, -50.0, 200.0])


def test_equals_do_not_differ():
    assert relative_difference(SCORES, SCORES, 10.0).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("limit", "sizes"), [(10.0, [100.0, 100.0, 200.0]), (-150.0, [150.0, 150.0, 200.0]), (1e6, [1e6, 1e6, 1e6])]
)
def test_the_size_is_the_largest_of_score_limit_and_median(limit, sizes):
    assert relative_difference(SCORES, SCORES + 1.0, limit) == pytest.approx([1.0 / size for size in sizes])


def test_one_strange_photo_makes_no_difference_small():
    scores = np.array([1.0, 1.0, 1.0, 1e9])
    assert relative_difference(scores, scores + np.array([0.1, 0, 0, 0]), 1.0)[0] == pytest.approx(0.1)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_infinitely_far(wrong):
    assert relative_difference(SCORES, np.array([wrong, -50.0, 200.0]), 10.0).tolist() == [np.inf, 0.0, 0.0]
    assert relative_difference(np.array([wrong]), np.array([wrong]), 10.0).tolist() == [np.inf]


def test_scores_that_are_all_nothing_can_be_compared():
    assert relative_difference(np.zeros(2), np.zeros(2), 0.0).tolist() == [0.0, 0.0]
    assert relative_difference(np.zeros(0), np.zeros(0), 0.0).tolist() == []


def test_scores_that_are_nothing_but_rounding_agree():
    assert relative_difference(np.full(3, 1e-10), np.full(3, -2e-9), 1e-10).max() < 1e-3
