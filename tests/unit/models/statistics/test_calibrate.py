import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporter.parity import class_probabilities
from models.statistics.calibration import COLDEST, HOTTEST, calibrated, class_logits, fit_temperature

finite = st.floats(-1e4, 1e4, width=32)
tables = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6), elements=finite)


def drawn(rows, heat, classes=4, seed=0):
    """Logits, and labels drawn as the logits say at a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (rows, classes)).astype(np.float32)
    chances = calibrated(logits, heat).cumsum(axis=1)
    labels = (rng.random((rows, 1)) > chances).sum(axis=1)
    return logits, np.minimum(labels, classes - 1)


def likelihood(logits, labels, heat):
    return np.log(calibrated(logits, heat)[np.arange(len(labels)), labels]).sum()


def test_one_logit_becomes_two_that_say_what_the_sigmoid_said():
    raw = np.array([[-30], [-1.5], [0], [2]], np.float32)
    logits = class_logits(raw)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(calibrated(logits, 1.0), class_probabilities(1 / (1 + np.exp(-raw))), atol=1e-7)


def test_a_logit_a_class_stays_as_it_is():
    raw = np.eye(3, dtype=np.float32)
    assert class_logits(raw) is raw


@given(tables, st.floats(COLDEST, HOTTEST))
def test_rows_are_probabilities_whatever_the_logits(logits, heat):
    probabilities = calibrated(logits, heat)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    assert (probabilities <= 1).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@given(tables, st.floats(0.5, 5))
def test_a_temperature_changes_no_ranking(logits, heat):
    largest = calibrated(logits, heat)[np.arange(len(logits)), logits.argmax(axis=1)]
    assert (largest >= calibrated(logits, heat).max(axis=1)).all()


@pytest.mark.parametrize("heat", [0.3, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_at_is_found(heat):
    assert fit_temperature(*drawn(4000, heat)) == pytest.approx(heat, rel=0.08)


def test_many_rows_get_the_likeliest_temperature():
    logits, labels = drawn(2000, 2.0)
    found = fit_temperature(logits, labels)
    best = max(np.geomspace(0.5, 8, 400), key=lambda heat: likelihood(logits, labels, heat))
    assert found == pytest.approx(best, rel=0.02)


def test_no_rows_no_change():
    assert fit_temperature(np.empty((0, 3), np.float32), np.empty(0, np.intp)) == 1.0


@pytest.mark.parametrize("label", [0, 1])
def test_one_row_moves_the_temperature_a_little(label):
    assert 0.5 < fit_temperature(np.array([[3, 0]], np.float32), np.array([label])) < 4


@pytest.mark.parametrize("rows", [1, 100, 10_000])
def test_where_every_row_is_right_the_temperature_falls_but_not_to_the_bound(rows):
    logits = np.tile(np.array([[4, 0, 0]], np.float32), (rows, 1))
    assert 2 * COLDEST < fit_temperature(logits, np.zeros(rows, np.intp)) < 1


def test_where_every_row_is_wrong_it_rises_and_stays_within_bounds():
    logits = np.tile(np.array([[40, 0, 0]], np.float32), (1000, 1))
    assert 5 < fit_temperature(logits, np.ones(1000, np.intp)) <= HOTTEST
