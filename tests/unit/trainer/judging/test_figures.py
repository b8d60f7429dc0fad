import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.statistics.intervals import proportion_interval
from trainer.judging.figures import confusion, group_effect, outlier_figures, score, surest_photos

CLASSES = ("clock", "hat", "lamp", "vase")
TRUTH = np.array([0, 0, 0, 1, 1, 2])
GUESS = np.array([0, 0, 1, 1, 2, 2])


def sure(guesses, classes=4):
    """Probabilities of a model that is fairly sure of these."""
    return np.where(np.eye(classes, dtype=bool)[guesses], 0.7, 0.1).astype(np.float32)


def of_class(figures, name):
    row = figures.classes[name]
    return (row.precision, row.recall, pytest.approx(row.f1), row.support)


def test_the_surest_photos_are_the_most_of_which_nearly_all_are_right():
    """All 40 with 0.9 are right, and half of 20 with 0.6; an unknown photo goes to a person."""
    confidence = np.array([0.9] * 40 + [0.6] * 20 + [0.99])
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    labels = np.array([0] * 40 + [0, 1] * 10 + [1])
    known = np.arange(61) < 60
    found = surest_photos(probabilities, labels, known)
    assert (found.photos, found.right, found.of, found.threshold) == (40, 40, 61, 0.61)
    assert surest_photos(probabilities[:9], labels[:9], known[:9]) is None


def test_figures_are_those_worked_out_by_hand():
    figures = score(sure(GUESS), TRUTH, CLASSES)
    assert figures.n == 6
    assert figures.accuracy == pytest.approx(4 / 6)
    assert of_class(figures, "clock") == (1.0, 2 / 3, 0.8, 3)
    assert of_class(figures, "hat") == (0.5, 0.5, 0.5, 2)
    assert of_class(figures, "lamp") == (0.5, 1.0, 2 / 3, 1)
    assert figures.precision == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert figures.recall == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert figures.f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert figures.accuracy_95 == proportion_interval(4, 6)
    hat, vase = figures.classes["hat"], figures.classes["vase"]
    assert (hat.precision_95, hat.recall_95) == (proportion_interval(1, 2), proportion_interval(1, 2))
    assert (vase.precision_95, vase.recall_95, vase.f1_95) == ((0, 1), (0, 1), (0, 1))
    low, high = proportion_interval(2, 3)  # right ones among rows labelled or predicted as clocks
    assert figures.classes["clock"].f1_95 == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
@example(list(zip(TRUTH, GUESS, strict=True)))
def test_figures_agree_with_the_confusion_matrix_which_has_truth_in_rows(pairs):
    truth, guess = np.array(pairs).T
    figures, matrix = score(sure(guess), truth, CLASSES), confusion(sure(guess), truth, 4)
    assert matrix.tolist() == [[pairs.count((is_, said)) for said in range(4)] for is_ in range(4)]
    assert figures.accuracy == pytest.approx(np.trace(matrix) / matrix.sum())
    assert [row.support for row in figures.classes.values()] == matrix.sum(axis=1).tolist()
    for i, row in enumerate(figures.classes.values()):
        assert row.recall == pytest.approx(matrix[i, i] / max(1, matrix[i].sum()))
        assert row.precision == pytest.approx(matrix[i, i] / max(1, matrix[:, i].sum()))


@pytest.mark.parametrize(("count", "size", "accuracy"), [(40, 10, 0.97), (10, 20, 0.9), (5, 40, 0.9), (200, 1, 0.9)])
def test_intervals_hold_the_truth_where_photos_of_a_product_err_together(count, size, accuracy):
    """The correlation of errors within a product is 0.3; 5% of the intervals may miss."""
    rng, held = np.random.default_rng(3), 0
    groups, truth = np.repeat(np.arange(count), size), np.zeros(count * size, np.intp)
    for _ in range(200):
        share = rng.beta(accuracy * 7 / 3, (1 - accuracy) * 7 / 3, count) if size > 1 else np.full(count, accuracy)
        guess = (rng.random(count * size) > share[groups]).astype(np.intp)
        effect = group_effect(sure(guess), truth, groups)
        low, high = proportion_interval(int((guess == 0).sum()) / effect, count * size / effect)
        held += low <= accuracy <= high
    assert held >= 184


def test_top_5_counts_the_five_likeliest_of_more_classes():
    names = tuple("abcdefg")
    falling = np.array([[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]] * 4, np.float32)
    figures = score(falling, np.array([0, 4, 5, 6]), names)
    assert figures.top5 == 0.5
    figures = score(sure(GUESS, 5), TRUTH, (*CLASSES, "dress"))
    assert figures.top5 is None, "of five classes they say nothing"


def test_figures_of_photos_without_a_product_are_those_worked_out_by_hand():
    found = outlier_figures(np.array([3.0, 1.0, 5.0, np.nan]), np.array([0.0, 1.0, 2.0, 4.0]), limit=2.0)
    assert (found.n, found.caught, found.caught_95) == (4, 0.75, proportion_interval(3, 4))
    # of 16 pairs: 3 of the first, 1½ of the second, 4 of the third; NaN counts as the strangest
    assert found.auroc == (3 + 1.5 + 4 + 4) / 16
    assert outlier_figures(np.zeros(0), np.ones(3), limit=0.5) is None
