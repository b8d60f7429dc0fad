from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.dataset import Split
from trainer.splits.assign import FreeGroup, Standing, stratify

TRAIN, VAL, TEST = Split


def shared_out(sizes, standing=None, groups=0, open_splits=tuple(Split)):
    """Splits of groups of one class; ``standing`` has its photos in place."""
    in_place = {"hat": Standing(standing, groups)} if standing else {}
    return stratify([FreeGroup("hat", size) for size in sizes], in_place, open_splits)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1], [TRAIN]),
        ([9], [TRAIN]),
        ([1, 1], [VAL, TRAIN]),
        ([5, 3], [TRAIN, VAL]),
        ([1, 1, 1], [VAL, TEST, TRAIN]),
        ([3, 2, 1], [TRAIN, TEST, VAL]),
        ([30, 1, 1], [TRAIN, VAL, TEST]),
        ([1] * 10, [VAL, TEST, *[TRAIN] * 8]),
        ([1] * 20, [VAL, TEST, *[TRAIN] * 16, VAL, TEST]),
    ],
)
def test_groups_of_a_small_class(sizes, expected):
    assert shared_out(sizes) == expected


@pytest.mark.parametrize("before", [0, 30, 80, 88])
def test_a_group_larger_than_a_tenth_stays_in_training(before):
    splits = shared_out([*[1] * before, 12, *[1] * (88 - before)])
    assert splits[before] is TRAIN


def test_each_class_is_shared_out_for_itself():
    groups = [FreeGroup(label, 1) for label in ["hat", "vase"] * 50]
    splits = stratify(groups, {}, tuple(Split))
    counts = Counter((group.label, split) for group, split in zip(groups, splits, strict=True))
    assert counts == {
        (label, split): size for label in ("hat", "vase") for split, size in zip(Split, (40, 5, 5), strict=True)
    }


@pytest.mark.parametrize(
    ("standing", "groups", "expected"),
    [
        pytest.param({TRAIN: 1}, 1, [VAL], id="the second goes to validation"),
        pytest.param({TRAIN: 1, VAL: 1}, 2, [TEST], id="the third goes to test"),
        pytest.param({VAL: 5, TEST: 5}, 10, [TRAIN], id="training is never left without"),
        pytest.param({TRAIN: 2}, 2, [VAL], id="the third, too, where there is none yet"),
        pytest.param({TRAIN: 1, VAL: 1}, 1, [TRAIN], id="the second, where the first is in two splits"),
        pytest.param({VAL: 5}, 5, [TRAIN], id="training comes before test"),
        pytest.param({TRAIN: 80, VAL: 10, TEST: 10}, 100, [TRAIN], id="one more is for training"),
        pytest.param({TRAIN: 90, VAL: 5, TEST: 10}, 105, [VAL], id="what lacks most"),
        pytest.param({TRAIN: 90, VAL: 10, TEST: 5}, 105, [TEST], id="what lacks most, again"),
    ],
)
def test_a_new_photo_goes_where_its_class_lacks_photos(standing, groups, expected):
    assert shared_out([1], standing, groups) == expected


def test_a_group_goes_to_no_split_that_it_would_carry_away_from_its_tenth():
    assert shared_out([5], {TRAIN: 90, VAL: 9, TEST: 9}, 108) == [TRAIN]
    assert shared_out([4], {TRAIN: 90, VAL: 9, TEST: 9}, 108) == [VAL]


def test_a_split_that_is_not_open_takes_nothing():
    splits = Counter(shared_out([1] * 100, open_splits=(TRAIN, TEST)))
    assert splits == {TRAIN: 90, TEST: 10}
    assert set(shared_out([1] * 10, open_splits=(TRAIN,))) == {TRAIN}
    assert shared_out([1, 1], open_splits=(TRAIN, TEST)) == [TEST, TRAIN]


def test_photos_that_come_one_by_one_end_up_in_tenths():
    standing = Counter()
    for number in range(500):
        (split,) = shared_out([1], standing, number)
        standing[split] += 1
    assert standing == {TRAIN: 400, VAL: 50, TEST: 50}


sizes = st.lists(st.integers(1, 30), min_size=1, max_size=40)


@settings(deadline=None)
@given(sizes)
def test_a_class_of_three_groups_is_everywhere_and_no_split_outgrows_its_tenth_by_more_than_need_be(sizes):
    held = Counter()
    for size, split in zip(sizes, shared_out(sizes), strict=True):
        held[split] += size
    assert len(held) == min(len(sizes), 3)
    for split in (VAL, TEST):
        assert held[split] <= max(0.2 * sum(sizes), sorted(sizes)[min(1, len(sizes) - 1)])
