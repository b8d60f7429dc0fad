import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.statistics.calibration import (
    COLDEST,
    HOTTEST,
    calibrated,
    class_logits,
    expected_calibration_error,
    fit_temperature,
    reliability,
)

finite = st.floats(-1e4, 1e4, width=32)
tables = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6), elements=finite)


def drawn(rows, heat, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (rows, classes)).astype(np.float32)
    chances = calibrated(logits, heat).cumsum(axis=1)
    labels = (rng.random((rows, 1)) > chances).sum(axis=1)
    return logits, np.minimum(labels, classes - 1)


def test_one_logit_becomes_two_that_say_what_the_sigmoid_said():
    raw = np.array([[-30], [-1.5], [0], [2]], np.float32)
    logits = class_logits(raw)
    assert logits.dtype == np.float32
    second = 1 / (1 + np.exp(-raw))
    np.testing.assert_allclose(calibrated(logits, 1.0), np.concatenate([1 - second, second], axis=1), atol=1e-7)


@given(tables, st.floats(COLDEST, HOTTEST))
def test_rows_are_probabilities_whatever_the_logits(logits, heat):
    probabilities = calibrated(logits, heat)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    assert (probabilities <= 1).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("heat", [0.3, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_at_is_found(heat):
    assert fit_temperature(*drawn(4000, heat)) == pytest.approx(heat, rel=0.08)


rows = st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.7, 0.83, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60)


def said(confidence, right):
    confidence = np.array(confidence, np.float32)
    return np.stack([confidence, 1 - confidence], axis=1), np.where(right, 0, 1)


def test_figures_worked_out_by_hand():
    probabilities, labels = said([0.9, 0.6, 0.8, 0.7], [True, False, False, True])
    low, high = reliability(probabilities, labels, bins=2)
    assert (low.confidence, low.accuracy, low.count) == (pytest.approx(0.65), 0.5, 2)
    assert (high.confidence, high.accuracy, high.count) == (pytest.approx(0.85), 0.5, 2)
    assert expected_calibration_error(probabilities, labels, bins=2) == pytest.approx((0.15 + 0.35) / 2)


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
