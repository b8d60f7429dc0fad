import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.evaluate import ClassFigures, confusion, score

CLASSES = ("clock", "hat", "lamp", "vase")
TRUTH = np.array([0, 0, 0, 1, 1, 2])
GUESS = np.array([0, 0, 1, 1, 2, 2])


def sure(guesses, classes=4):
    """Probabilities of a model that is fairly sure of these."""
    return np.where(np.eye(classes, dtype=bool)[guesses], 0.7, 0.1).astype(np.float32)


def test_figures_are_those_worked_out_by_hand():
    figures = score(sure(GUESS), TRUTH, CLASSES)
    assert figures.n == 6
    assert figures.accuracy == pytest.approx(4 / 6)
    assert figures.classes["clock"] == ClassFigures(precision=1.0, recall=2 / 3, f1=0.8, support=3)
    assert figures.classes["hat"] == ClassFigures(precision=0.5, recall=0.5, f1=0.5, support=2)
    assert figures.classes["lamp"] == ClassFigures(precision=0.5, recall=1.0, f1=2 / 3, support=1)
    assert figures.precision == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert figures.recall == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert figures.f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)


def test_an_absent_class_is_listed_and_does_not_pull_the_means_down():
    figures = score(sure(TRUTH), TRUTH, CLASSES)
    assert figures.classes["vase"] == ClassFigures(precision=0.0, recall=0.0, f1=0.0, support=0)
    assert (figures.accuracy, figures.precision, figures.recall, figures.f1) == (1.0, 1.0, 1.0, 1.0)


def test_an_absent_class_that_is_guessed_costs_recall_only():
    figures = score(sure([0, 3]), np.array([0, 0]), CLASSES)
    assert (figures.precision, figures.recall) == (1.0, 0.5)


def test_classes_keep_the_order_of_their_indices():
    assert tuple(score(sure(GUESS), TRUTH, CLASSES).classes) == CLASSES


def test_no_photos_no_figures():
    assert score(np.empty((0, 4), np.float32), np.empty(0, np.intp), CLASSES) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_figures_agree_with_the_confusion_matrix(pairs):
    truth, guess = np.array(pairs).T
    figures, matrix = score(sure(guess), truth, CLASSES), confusion(sure(guess), truth, 4)
    assert figures.accuracy == pytest.approx(np.trace(matrix) / matrix.sum())
    assert [row.support for row in figures.classes.values()] == matrix.sum(axis=1).tolist()
    for i, row in enumerate(figures.classes.values()):
        assert row.recall == pytest.approx(matrix[i, i] / max(1, matrix[i].sum()))
        assert row.precision == pytest.approx(matrix[i, i] / max(1, matrix[:, i].sum()))


def test_the_confusion_matrix_has_truth_in_rows_and_guesses_in_columns():
    assert confusion(sure(GUESS), TRUTH, 4).tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
