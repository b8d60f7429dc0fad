import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.statistics.calibration import ReliabilityBin, expected_calibration_error, reliability

rows = st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.7, 0.83, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60)


def said(confidence, right):
    """Two-class probabilities with these confidences, and labels that agree where they are right."""
    confidence = np.array(confidence, np.float32)
    return np.stack([confidence, 1 - confidence], axis=1), np.where(right, 0, 1)


def test_bins_hold_as_many_rows_each():
    bins = reliability(*said(np.linspace(0.5, 1, 300), [True] * 300))
    assert [part.count for part in bins] == [20] * 15


def test_figures_worked_out_by_hand():
    probabilities, labels = said([0.9, 0.6, 0.8, 0.7], [True, False, False, True])
    low, high = reliability(probabilities, labels, bins=2)
    assert (low.confidence, low.accuracy, low.count) == (pytest.approx(0.65), 0.5, 2)
    assert (high.confidence, high.accuracy, high.count) == (pytest.approx(0.85), 0.5, 2)
    assert expected_calibration_error(probabilities, labels, bins=2) == pytest.approx((0.15 + 0.35) / 2)


def test_rows_of_one_confidence_share_a_bin():
    probabilities, labels = said([0.75] * 8, [True] * 6 + [False] * 2)
    assert reliability(probabilities, labels) == (ReliabilityBin(0.75, 0.75, 8),)
    assert expected_calibration_error(probabilities, labels) == 0


def test_fewer_rows_than_bins_have_a_bin_each():
    assert [part.count for part in reliability(*said([0.6, 0.9, 0.7], [True] * 3))] == [1, 1, 1]


def test_no_rows_no_bins():
    nothing = np.empty((0, 3), np.float32), np.empty(0, np.intp)
    assert reliability(*nothing) == ()
    assert expected_calibration_error(*nothing) == 0


@given(rows, st.integers(1, 20), st.randoms(use_true_random=False))
def test_every_row_is_in_one_bin_and_their_order_does_not_matter(pairs, bins, random):
    found = reliability(*said(*zip(*pairs, strict=True)), bins)
    assert sum(part.count for part in found) == len(pairs)
    assert 1 <= len(found) <= bins
    assert [part.confidence for part in found] == sorted({part.confidence for part in found})
    random.shuffle(pairs)
    again = reliability(*said(*zip(*pairs, strict=True)), bins)
    assert [(part.accuracy, part.count) for part in found] == [(part.accuracy, part.count) for part in again]


def test_labels_drawn_from_the_probabilities_err_little_and_overconfident_ones_much():
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 1, 20_000)
    honest = said(confidence, rng.random(20_000) < confidence)
    boasting = said(confidence, rng.random(20_000) < confidence - 0.2)
    assert expected_calibration_error(*honest) < 0.02
    assert expected_calibration_error(*boasting) == pytest.approx(0.2, abs=0.02)
