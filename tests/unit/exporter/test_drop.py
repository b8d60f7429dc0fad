import numpy as np
import pytest

from exporter.cost import drop


def says(*labels):
    return np.eye(3, dtype=np.float32)[list(labels)]


def test_points_are_of_the_photos_that_are_no_longer_right():
    cost = drop(says(0, 1, 2, 0), says(0, 1, 0, 1), np.array([0, 1, 2, 2]))
    assert (cost.photos, cost.reference, cost.accuracy, cost.points) == (4, 0.75, 0.5, 25.0)
    assert cost.agreement == 0.5
    low, high = cost.points_95
    assert low < 25.0 < high


def test_a_model_that_is_more_often_right_loses_less_than_nothing():
    assert drop(says(0, 0), says(0, 1), np.array([0, 1])).points == -50.0


def test_models_that_agree_on_few_photos_are_not_known_to_agree():
    few, many = (drop(says(*[0] * n), says(*[0] * n), np.zeros(n, int)).points_95 for n in (10, 1000))
    assert few[0] == pytest.approx(-few[1])
    assert few[1] > 10
    assert 0 < many[1] < 1
