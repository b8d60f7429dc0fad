import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.statistics.intervals import compare_pairs, difference_interval, smallest_difference

photos = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 9)), min_size=1, max_size=40)


def arrays(drawn):
    champion, challenger, groups = (np.array(column) for column in zip(*drawn, strict=True))
    return champion, challenger, np.unique(groups, return_inverse=True)[1]


def pair(champion, challenger, groups=None):
    champion, challenger = np.array(champion, bool), np.array(challenger, bool)
    return compare_pairs(champion, challenger, np.arange(len(champion)) if groups is None else np.array(groups))


@settings(deadline=None)
@given(photos)
def test_swapping_both_mirrors_the_difference(drawn):
    champion, challenger, groups = arrays(drawn)
    one, other = compare_pairs(champion, challenger, groups), compare_pairs(challenger, champion, groups)
    assert one.points == -other.points
    assert one.points_95 == pytest.approx((-other.points_95[1], -other.points_95[0]))
    assert (one.won, one.lost) == (other.lost, other.won)
    assert one.smallest_points == pytest.approx(other.smallest_points)


def test_where_no_photo_has_a_like_the_interval_is_the_usual_one():
    found = pair([1, 1, 0, 0, 1] * 9, [1, 0, 1, 1, 1] * 9)
    assert found.points_95 == pytest.approx(tuple(100 * end for end in difference_interval(18, 9, 45)))


@settings(deadline=None)
@given(photos)
def test_groups_never_make_the_interval_narrower(drawn):
    champion, challenger, groups = arrays(drawn)
    alone = compare_pairs(champion, challenger, np.arange(len(champion)))
    grouped = compare_pairs(champion, challenger, groups)
    width = [found.points_95[1] - found.points_95[0] for found in (alone, grouped)]
    assert width[1] >= width[0] - 1e-9
    assert grouped.points == alone.points


def test_photos_of_products_on_which_models_answer_alike_count_once_a_product():
    champion, challenger = np.array([1, 1, 0, 0, 1] * 20), np.array([1, 0, 1, 1, 1] * 20)
    once = pair(champion, challenger)
    four = pair(champion.repeat(4), challenger.repeat(4), np.arange(100).repeat(4))
    assert four.points_95 == pytest.approx(once.points_95)
    assert four.smallest_points == pytest.approx(once.smallest_points)
    assert pair(champion.repeat(4), challenger.repeat(4)).points_95[0] > once.points_95[0]


def test_of_no_photos_nothing_is_said():
    assert pair([], []) is None


def test_the_smallest_difference_is_that_of_connors_formula():
    """1,000 photos, 10% discordant: 1.96 √0.1 + 0.84 √(0.1 - d²) = d √1000."""
    assert smallest_difference(1000, 0.1 * 1002 - 1) == pytest.approx(0.0279, abs=1e-4)


def test_a_test_finds_its_smallest_difference_in_four_of_five_cases():
    rng = np.random.default_rng(0)
    count, discordant = 1000, 0.1
    points = smallest_difference(count, discordant * count)
    won, lost, _ = rng.multinomial(count, [(discordant + points) / 2, (discordant - points) / 2, 0.9], 4000).T
    found = (won - lost) / np.sqrt(won + lost) > 1.96
    assert found.mean() == pytest.approx(0.8, abs=0.03)
