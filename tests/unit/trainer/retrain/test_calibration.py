import numpy as np
import pytest

from models.statistics.calibration import expected_calibration_error
from trainer.retrain.compare_predictions import compare_calibration


def made_up(rows=600, extra=0.0, seed=0):
    """Two classes; the likelier is right as often as it says, or less often by so much."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.7, 1, rows).astype(np.float32)
    right = rng.random(rows) < confidence - extra
    return confidence, right


def surety(confidence, right):
    return confidence.astype(np.float64), right


def test_the_errors_are_those_of_an_evaluation():
    good, bad = made_up(), made_up(extra=0.2)
    found = compare_calibration(surety(*good), surety(*bad), np.arange(600))
    for (confidence, right), error in ((good, found.champion), (bad, found.challenger)):
        both = np.stack([confidence, 1 - confidence], axis=1)
        assert error == pytest.approx(expected_calibration_error(both, np.where(right, 0, 1)), abs=1e-6)


def test_the_interval_holds_the_difference_and_says_which_is_worse():
    found = compare_calibration(surety(*made_up()), surety(*made_up(extra=0.2)), np.arange(600))
    low, high = found.difference_95
    assert 0 < low < found.challenger - found.champion < high


def test_it_is_the_same_each_time():
    both = surety(*made_up()), surety(*made_up(seed=1))
    assert compare_calibration(*both, np.arange(600)) == compare_calibration(*both, np.arange(600))


def test_equal_models_differ_by_nothing():
    one = surety(*made_up())
    assert compare_calibration(one, one, np.arange(600)).difference_95 == (0.0, 0.0)


def test_copies_of_photos_do_not_make_it_surer():
    both = [made_up(200), made_up(200, seed=1)]
    once = compare_calibration(*(surety(*one) for one in both), np.arange(200))
    four = [surety(confidence.repeat(4), right.repeat(4)) for confidence, right in both]
    again = compare_calibration(*four, np.arange(200).repeat(4))
    alone = compare_calibration(*four, np.arange(800))
    width = [found.difference_95[1] - found.difference_95[0] for found in (once, again, alone)]
    assert width[1] == pytest.approx(width[0], rel=0.15)
    assert width[2] < 0.7 * width[1]


def test_of_no_photos_nothing_is_said():
    nothing = np.empty(0), np.empty(0, bool)
    assert compare_calibration(nothing, nothing, np.empty(0, int)) is None
