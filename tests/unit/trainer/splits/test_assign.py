from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from tests.unit.trainer.splits.assigning import TEST, TRAIN, VAL, assign, seeds
from trainer.data.dataset import Split
from trainer.splits.assign import share_out
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.set_aside import count_leaks


def many(label, count, first=0):
    return [(f"{label}{i:04}", label) for i in range(first, first + count)]


WHOLE = [*many("hat", 10), *many("vase", 10)]


def test_about_a_tenth_of_each_class_is_held_out_for_each_purpose():
    found = assign([*many("a", 100), *many("b", 200), *many("c", 300)]).photos
    counts = Counter((photo.label, photo.split) for photo in found)
    for label, total in (("a", 100), ("b", 200), ("c", 300)):
        assert [counts[label, split] for split in Split] == [total * 8 // 10, total // 10, total // 10]


def test_photos_of_one_picture_or_product_are_one_group_named_after_its_smallest_content():
    sha256 = "0123456789abcdef" + "0" * 48
    photos = [*WHOLE, (sha256, "hat"), ("f" * 64, "vase"), ("3", "hat", None, "sku"), ("4", "hat", None, "sku")]
    found = assign(photos, [(20, 21)]).photos[20:]
    assert [p.group for p in found] == ["0123456789abcdef"] * 2 + ["3"] * 2
    assert [p.product for p in found] == [None, None, "sku", "sku"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(Split), max_size=30), seeds)
def test_splits_that_a_person_gave_stay_even_where_they_leak(splits, seed):
    given_splits = [*Split, *Split, *splits]
    photos = [(f"{i}", "ab"[i // 3 % 2], split) for i, split in enumerate(given_splits)]
    found = assign(photos, [(0, i) for i in range(len(photos))], seed=seed)
    assert [p.split for p in found.photos] == given_splits
    assert len({p.group for p in found.photos}) == 1


@pytest.mark.parametrize("given_splits", [(TRAIN,), (TRAIN, VAL), (TRAIN, TEST)])
def test_a_split_that_a_person_did_not_give_is_cut_from_training(given_splits):
    photos = [(f"{i}", "ab"[i // 60], given_splits[i % len(given_splits)]) for i in range(120)]
    found = assign(photos).photos
    for (*_, before), after in zip(photos, found, strict=True):
        assert after.split is before or (before is TRAIN and after.split not in given_splits)
    assert {(p.label, p.split) for p in found} == {(label, split) for label in "ab" for split in Split}
    cut = Counter(p.split for p in found if p.split not in given_splits)
    assert set(cut.values()) == {12 // len(given_splits)}


def test_nothing_is_cut_from_training_where_an_earlier_training_has_shared_out():
    earlier = [AssignedPhoto(Path(f"{i}"), "ab"[i % 2], [TRAIN, VAL][i // 10], f"{i}", f"{i}") for i in range(20)]
    photos = [(f"{i}", "ab"[i % 2], [TRAIN, VAL][i // 10 % 2]) for i in range(20)]
    found = assign(photos, earlier=earlier)
    assert [p.split for p in found.photos] == [p.split for p in earlier]
    assert found.notes == ("no test photos",)


def test_splits_for_some_photos_only_are_refused_naming_one_without():
    with pytest.raises(
        DataError, match=r"a split for every photo or for none, got none for without; to let Hangtag choose"
    ):
        assign([("with", "a", TRAIN), ("without", "a")])


@pytest.mark.parametrize("split", Split)
def test_a_new_photo_joins_the_split_of_its_group_also_while_that_is_away(split):
    earlier = [AssignedPhoto(Path("old"), "hat", split, "old", "g", "sku"), *assign(WHOLE).photos]
    place = next(i for i, photo in enumerate(earlier[1:]) if photo.split is split)
    found = assign([*WHOLE, ("alike", "hat"), ("new", "hat", None, "sku")], [(20, place)], earlier).photos
    assert (found[20].split, found[20].group) == (split, earlier[1 + place].group)
    assert (found[21].split, found[21].group) == (split, "g")
    assert found[22] == AssignedPhoto(Path("old"), "hat", split, "old", "g", "sku", present=False)


def test_old_photos_that_turn_out_alike_stay_and_leak_until_the_twin_is_put_out_of_use():
    earlier = assign(WHOLE).photos
    trained, tested = (next(i for i, p in enumerate(earlier) if p.split is split) for split in (TRAIN, TEST))
    leaking, fixed = (assign(WHOLE, [(trained, tested)], earlier, fix_leaks=fix) for fix in (False, True))
    assert [p.split for p in leaking.photos] == [p.split for p in fixed.photos] == [p.split for p in earlier]
    assert (count_leaks(leaking.photos).total(), count_leaks(fixed.photos).total()) == (1, 0)
    assert [(e.path, e.reason) for e in fixed.set_aside] == [(earlier[trained].path, "leak")]
    assert [p.present for p in fixed.photos] == [i != trained for i in range(20)]


def shared_out(sizes, placed=None, groups=0, open_splits=tuple(Split)):
    """Splits for groups of one class, some of whose photos already have a split."""
    return share_out(sizes, placed or {}, groups, open_splits)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        *(([], []), ([9], [TRAIN]), ([1, 1], [VAL, TRAIN]), ([5, 3], [TRAIN, VAL])),
        *(([1, 1, 1], [VAL, TEST, TRAIN]), ([3, 2, 1], [TRAIN, TEST, VAL]), ([30, 1, 1], [TRAIN, VAL, TEST])),
        *(([1] * 10, [VAL, TEST, *[TRAIN] * 8]), ([1] * 20, [VAL, TEST, *[TRAIN] * 16, VAL, TEST])),
    ],
)
def test_groups_of_a_small_class(sizes, expected):
    assert shared_out(sizes) == expected


@pytest.mark.parametrize(
    ("standing", "groups", "expected"),
    [
        pytest.param({TRAIN: 1}, 1, [VAL], id="the second goes to validation"),
        pytest.param({TRAIN: 1, VAL: 1}, 2, [TEST], id="the third goes to test"),
        pytest.param({VAL: 5, TEST: 5}, 10, [TRAIN], id="training is never left without"),
        pytest.param({TRAIN: 2}, 2, [VAL], id="the third, too, where there is none yet"),
        pytest.param({TRAIN: 1, VAL: 1}, 1, [TRAIN], id="the second, where the first is in two splits"),
        pytest.param({TRAIN: 80, VAL: 10, TEST: 10}, 100, [TRAIN], id="one more is for training"),
        pytest.param({TRAIN: 90, VAL: 5, TEST: 10}, 105, [VAL], id="what lacks most"),
    ],
)
def test_a_new_photo_goes_where_its_class_lacks_photos(standing, groups, expected):
    assert shared_out([1], standing, groups) == expected


sizes = st.lists(st.integers(1, 30), min_size=1, max_size=40)


@settings(deadline=None)
@given(sizes)
def test_a_class_of_three_groups_is_in_every_split_and_splits_stay_near_a_tenth(sizes):
    held = Counter()
    for size, split in zip(sizes, shared_out(sizes), strict=True):
        held[split] += size
    assert len(held) == min(len(sizes), 3)
    for split in (VAL, TEST):
        assert held[split] <= max(0.2 * sum(sizes), sorted(sizes)[min(1, len(sizes) - 1)])
