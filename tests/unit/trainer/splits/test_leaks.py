from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.set_aside import count_leaks, drop_training_twins

TRAIN, VAL, TEST = Split


def photos_of(*rows):
    """Photos of (split, group), or of (split, group, present)."""
    return [AssignedPhoto(Path(f"{i}"), "hat", row[0], f"{i}", row[1], None, *row[2:]) for i, row in enumerate(rows)]


def test_leaks_are_the_photos_of_groups_that_more_is_learned_from():
    photos = photos_of(
        (TRAIN, "x"), (TRAIN, "x"), (VAL, "x"), (TEST, "x"), (VAL, "y"), (TEST, "y"), (TRAIN, "z"), (TEST, "z", False)
    )
    assert count_leaks(photos) == {VAL: 1, TEST: 2}
    assert count_leaks(photos_of((TRAIN, "x", False), (TEST, "x"))) == {}


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(TRAIN, "x"), (TEST, "x")], [1]),
        ([(TRAIN, "x"), (VAL, "x")], [1]),
        ([(VAL, "x"), (TEST, "x")], [1]),
        ([(TRAIN, "x"), (VAL, "x"), (TEST, "x"), (TEST, "x")], [2, 3]),
        ([(TRAIN, "x"), (TRAIN, "x"), (TRAIN, "y"), (TEST, "z")], [0, 1, 2, 3]),
        ([(TRAIN, "x"), (TEST, "x", False)], [0, 1]),
        ([(TRAIN, "x", False), (TEST, "x")], [0, 1]),
        ([(TRAIN, "x"), (VAL, "x"), (TEST, "x", False)], [1, 2]),
    ],
)
def test_the_one_that_more_is_learned_from_goes(rows, kept):
    photos = photos_of(*rows)
    left, dropped = drop_training_twins(photos)
    assert left == [photos[place] for place in kept]
    assert [e.path for e in dropped] == [photo.path for photo in photos if photo not in left]


def test_it_is_said_which_twin_stays():
    _, dropped = drop_training_twins(photos_of((TRAIN, "x"), (VAL, "x"), (TEST, "x")))
    assert dropped == [
        Exclusion(Path("0"), "leak", "It belongs with 2 in test, which stays"),
        Exclusion(Path("1"), "leak", "It belongs with 2 in test, which stays"),
    ]


def test_a_twin_that_an_earlier_training_knew_keeps_its_row():
    left, dropped = drop_training_twins(photos_of((TRAIN, "x"), (TEST, "x")), {"x"})
    assert [(p.split, p.present) for p in left] == [(TRAIN, False), (TEST, True)]
    assert len(dropped) == 1


rows = st.lists(st.tuples(st.sampled_from(Split), st.sampled_from("xyz"), st.booleans()))


@settings(deadline=None)
@given(rows)
def test_no_leak_is_left_and_no_test_photo_is_lost(rows):
    photos = photos_of(*rows)
    left, dropped = drop_training_twins(photos)
    assert count_leaks(left).total() == 0
    assert drop_training_twins(left) == (left, [])
    assert len(left) + len(dropped) == len(photos)
    assert [p for p in left if p.split is TEST or not p.present] == [
        p for p in photos if p.split is TEST or not p.present
    ]
    assert {p.group for p in left if p.present} == {p.group for p in photos if p.present}
