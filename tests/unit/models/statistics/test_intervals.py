import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from models.statistics.intervals import (
    exact_interval,
    lower_bound,
    proportion_interval,
    upper_bound,
)

counts = st.integers(1, 500).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows)))


@given(counts)
def test_the_interval_ends_where_this_many_hits_become_too_rare(pair):
    hits, rows = pair
    low, high = proportion_interval(hits, rows)
    assert low <= hits / rows <= high
    assert low == 0 if hits == 0 else binom.sf(hits - 1, rows, low) == pytest.approx(0.025, rel=1e-4)
    assert high == 1 if hits == rows else binom.cdf(hits, rows, high) == pytest.approx(0.025, rel=1e-4)


@given(counts)
def test_without_scipy_the_interval_is_the_same(pair):
    assert exact_interval(*pair) == pytest.approx(proportion_interval(*pair), abs=1e-9)


@given(counts)
def test_the_bound_is_where_this_many_hits_become_too_rare(pair):
    hits, rows = pair
    bound = lower_bound(hits, rows)
    assert bound == 0 if hits == 0 else binom.sf(hits - 1, rows, bound) == pytest.approx(0.05, rel=1e-4)
    assert proportion_interval(hits, rows)[0] <= bound


@given(counts)
def test_the_upper_bound_is_the_lower_bound_of_the_misses(pair):
    hits, rows = pair
    assert upper_bound(hits, rows) == pytest.approx(1 - lower_bound(rows - hits, rows))


def test_of_no_rows_nothing_is_known():
    assert upper_bound(0, 0) == 1.0
    assert exact_interval(0, 0) == (0.0, 1.0)
    assert proportion_interval(0, 0) == (0.0, 1.0)
    assert lower_bound(0, 0) == 0.0
