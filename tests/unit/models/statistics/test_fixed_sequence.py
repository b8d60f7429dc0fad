import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.statistics.confidence import TARGETS
from models.statistics.fixed_sequence import effective_rows, proved_rows
from models.statistics.intervals import lower_bound

rows = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=400)


def test_one_wrong_label_among_the_surest_of_many_does_not_end_it():
    right = np.ones(3000, bool)
    right[5] = False
    assert proved_rows(np.linspace(1, 0.97, 3000), right, 0.98) == 3000


def test_the_networks_own_rows_must_confirm_other_networks_proofs():
    falling, own = np.linspace(1, 0.97, 3000), np.arange(3000) % 10 == 0
    right = np.ones(3000, bool)
    assert proved_rows(falling, right, 0.98, own=own) == 3000
    right[own & (np.arange(3000) > 1500) & (np.arange(3000) % 100 == 50)] = False  # one in ten of its less sure rows
    assert proved_rows(falling, right, 0.98) == 3000
    assert 1400 < proved_rows(falling, right, 0.98, own=own) < 2000


def falling_of(pairs):
    pairs = sorted(pairs, key=lambda pair: -pair[0])
    return np.array([score for score, _ in pairs], np.float32) / 40, np.array([hit for _, hit in pairs], bool)


@given(rows, st.sampled_from(TARGETS))
def test_a_proof_proves_the_precision_and_keeps_rows_of_one_confidence_together(pairs, precision):
    confidence, right = falling_of(pairs)
    found = proved_rows(confidence, right, precision)
    if found:
        assert lower_bound(int(right[:found].sum()), found) >= precision
        assert not (confidence[found:] >= confidence[found - 1]).any()


@pytest.mark.parametrize("precision", [0.9, 0.95, 0.98])
@pytest.mark.parametrize("rows", [340, pytest.param(3400, marks=pytest.mark.rest)])
@pytest.mark.rest
def test_a_promise_just_out_of_reach_is_broken_in_one_of_twenty_sets(rows, precision):
    rng = np.random.default_rng(5)
    falling = np.linspace(1, 0, rows)
    broken = sum(proved_rows(falling, rng.random(rows) < precision - 0.001, precision) > 0 for _ in range(300))
    assert broken / 300 < 0.085


@pytest.mark.parametrize("precision", [pytest.param(0.9, marks=pytest.mark.rest), 0.98])
@pytest.mark.rest
def test_pictures_that_come_four_times_prove_no_more_than_once(precision):
    rng = np.random.default_rng(5)
    falling, groups = np.repeat(np.linspace(1, 0, 850), 4), np.repeat(np.arange(850), 4)
    draws = [np.repeat(rng.random(850) < precision - 0.001, 4) for _ in range(300)]
    assert sum(proved_rows(falling, right, precision) > 0 for right in draws) / 300 > 0.1
    assert sum(proved_rows(falling, right, precision, groups=groups) > 0 for right in draws) / 300 < 0.085


def test_rows_are_worth_as_many_as_their_groups_if_these_are_alike():
    chosen = np.ones(6, bool)
    assert effective_rows(np.arange(6), chosen).tolist() == [1, 2, 3, 4, 5, 6]
    assert effective_rows(np.array([0, 1, 2, 2, 1, 0]), chosen)[[2, 5]].tolist() == [3, 3]
    assert effective_rows(np.zeros(6, int), chosen).tolist() == [1] * 6
    assert effective_rows(np.array([0, 1, 1, 2, 2, 2]), chosen)[-1] == pytest.approx(36 / 14)
    some = np.array([False, True, True, False, False, True])
    assert effective_rows(np.array([0, 0, 1, 0, 2, 2]), some).tolist() == [0, 1, 2, 2, 2, 3]


def test_the_networks_own_rows_are_worth_their_groups_as_well():
    falling, own = np.linspace(1, 0.97, 3000), np.arange(3000) < 70
    right, groups = np.ones(3000, bool), np.arange(3000)
    assert proved_rows(falling, right, 0.98, own=own, groups=groups) == 3000
    groups[:70] = 0
    assert proved_rows(falling, right, 0.98, own=own, groups=groups) == 0
