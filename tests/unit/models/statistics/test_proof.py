import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.statistics.confidence import TARGETS
from models.statistics.intervals import lower_bound
from models.statistics.thresholds import fewest_rows, proved_threshold

rows = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=400)


@pytest.mark.parametrize(("precision", "count"), [(0.9, 29), (0.95, 59), (0.97, 99), (0.98, 149), (0.99, 299)])
def test_the_fewest_rows_prove_it_and_one_fewer_do_not(precision, count):
    assert fewest_rows(precision) == count
    assert lower_bound(count, count) >= precision > lower_bound(count - 1, count - 1)


def test_the_fewest_rows_all_right_are_enough():
    falling = np.linspace(1, 0.6, 149, dtype=np.float32)
    assert proved_threshold(falling, np.ones(149, bool), 0.98) == falling[-1]
    assert proved_threshold(falling[:-1], np.ones(148, bool), 0.98) is None


def test_it_stops_where_the_errors_begin():
    falling = np.linspace(1, 0, 1000)
    found = proved_threshold(falling, falling > 0.5, 0.95)
    assert 0.4 < found < 0.55


def test_one_wrong_label_among_the_surest_of_many_does_not_end_it():
    right = np.ones(3000, bool)
    right[5] = False
    assert proved_threshold(np.linspace(1, 0, 3000), right, 0.98) < 0.1


@given(rows, st.sampled_from(TARGETS))
def test_what_is_at_or_above_the_threshold_proves_the_precision(pairs, precision):
    confidence = np.array([score for score, _ in pairs], np.float32) / 40
    right = np.array([hit for _, hit in pairs], bool)
    found = proved_threshold(confidence, right, precision)
    if found is not None:
        above = confidence >= found
        assert lower_bound(int(right[above].sum()), int(above.sum())) >= precision


@given(rows, st.sampled_from(TARGETS), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(pairs, precision, random):
    shuffled = pairs.copy()
    random.shuffle(shuffled)
    found = [
        proved_threshold(np.array([s for s, _ in table], float), np.array([r for _, r in table], bool), precision)
        for table in (pairs, shuffled)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("precision", [0.9, 0.95, 0.98])
@pytest.mark.parametrize("rows", [340, 3400])
def test_where_every_confidence_is_a_little_too_bad_the_promise_is_broken_in_about_one_of_twenty_sets(rows, precision):
    """The hardest case: confidence tells nothing, and the truth is just below the target. Chance has some room."""
    rng = np.random.default_rng(5)
    falling = np.linspace(1, 0, rows)
    broken = sum(
        proved_threshold(falling, rng.random(rows) < precision - 0.001, precision) is not None for _ in range(300)
    )
    assert broken / 300 < 0.085
