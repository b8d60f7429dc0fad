import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from models.statistics.intervals import (
    bootstrap_interval,
    exact_interval,
    lower_bound,
    product_interval,
    proportion_interval,
    upper_bound,
)

counts = st.integers(1, 500).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows)))


def share_of_first(drawn):
    return drawn[:, :1] / drawn.sum(axis=1, keepdims=True)


@given(counts)
def test_the_interval_ends_where_so_many_hits_would_be_too_rare(pair):
    hits, rows = pair
    low, high = proportion_interval(hits, rows)
    assert low <= hits / rows <= high
    assert low == 0 if hits == 0 else binom.sf(hits - 1, rows, low) == pytest.approx(0.025, rel=1e-4)
    assert high == 1 if hits == rows else binom.cdf(hits, rows, high) == pytest.approx(0.025, rel=1e-4)


@given(counts)
def test_without_scipy_the_interval_is_the_same(pair):
    assert exact_interval(*pair) == pytest.approx(proportion_interval(*pair), abs=1e-9)


@given(counts)
def test_the_bound_is_where_so_many_hits_would_be_too_rare(pair):
    hits, rows = pair
    bound = lower_bound(hits, rows)
    assert bound == 0 if hits == 0 else binom.sf(hits - 1, rows, bound) == pytest.approx(0.05, rel=1e-4)
    assert proportion_interval(hits, rows)[0] <= bound


@given(counts)
def test_the_upper_bound_is_the_lower_bound_of_what_does_not_count(pair):
    hits, rows = pair
    assert upper_bound(hits, rows) == pytest.approx(1 - lower_bound(rows - hits, rows))


def test_of_no_rows_nothing_is_known():
    assert upper_bound(0, 0) == 1.0
    assert exact_interval(0, 0) == (0.0, 1.0)
    assert proportion_interval(0, 0) == (0.0, 1.0)
    assert lower_bound(0, 0) == 0.0


def test_the_interval_of_a_product_holds_it_in_nineteen_of_twenty_trials():
    rng = np.random.default_rng(0)
    hits = 0
    for one, other in zip(rng.binomial(214, 0.97, 2000), rng.binomial(60, 0.95, 2000), strict=True):
        rates = ((count / rows, proportion_interval(count, rows)) for count, rows in ((one, 214), (other, 60)))
        low, high = product_interval(*rates)
        hits += low <= 0.97 * 0.95 <= high
    assert 0.95 <= hits / 2000 <= 0.99


def test_a_bootstrapped_proportion_is_about_the_exact_one():
    [(low, high)] = bootstrap_interval(np.array([860, 140]), share_of_first)
    assert (low, high) == pytest.approx(proportion_interval(860, 1000), abs=0.004)


def test_a_figure_that_resampling_pushes_up_lies_within_its_interval():
    [(low, high)] = bootstrap_interval(np.ones(100, int), lambda drawn: (drawn == 0).mean(axis=1, keepdims=True))
    assert low == 0.0
    assert high < 0.1


def test_many_kinds_are_drawn_in_parts_that_are_as_many_draws_together():
    seen = []

    def figure(drawn):
        seen.append(drawn.shape)
        return drawn[:, :1] / drawn.sum(axis=1, keepdims=True)

    bootstrap_interval(np.ones(30_000, int), figure, resamples=150)
    assert sum(rows for rows, _ in seen[1:]) == 150
    assert max(rows * kinds for rows, kinds in seen) <= 2_000_000
    assert len(seen) > 2
