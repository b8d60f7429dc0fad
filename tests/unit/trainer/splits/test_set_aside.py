from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from models.photo import NONE
from trainer.check.relations import Relations
from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import AssignedPhoto, Candidate
from trainer.splits.set_aside import count_leaks, drop_training_twins, find_unlearnable, keep_trained

TRAIN, VAL, TEST = Split


def photos_of(classes):
    """Photos of {label: splits}, each in its own group."""
    return [
        AssignedPhoto(Path(f"{label}{i}"), label, split, f"{label}{i}", f"{label}{i}")
        for label, splits in classes.items()
        for i, split in enumerate(splits)
    ]


WHOLE = {"hat": list(Split), "vase": list(Split)}


def test_a_class_without_training_photos_is_set_aside_and_said():
    photos = photos_of({**WHOLE, "lamp": [TEST, VAL]})
    covered = keep_trained(photos)
    assert covered.photos == photos[:6]
    assert covered.set_aside == [
        Exclusion(Path(f"lamp{i}"), "class_not_trained", "lamp has no training photos") for i in range(2)
    ]
    assert covered.notes == ("lamp is left out: it has 2 photos, but no training photo",)
    assert keep_trained(photos[:6]).notes == ()


def test_photos_that_are_not_present_train_no_class_and_are_no_loss():
    absent = AssignedPhoto(Path("lamp"), "lamp", TRAIN, "1", "g", present=False)
    tested = AssignedPhoto(Path("lamp2"), "lamp", TEST, "2", "h")
    covered = keep_trained([*photos_of(WHOLE), absent, tested], {"g", "h"})
    assert [(str(p.path), p.present) for p in covered.photos[6:]] == [("lamp", False), ("lamp2", False)]
    assert [e.path for e in covered.set_aside] == [Path("lamp2")]
    assert keep_trained([*photos_of(WHOLE), absent]).notes == ()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "at least two classes, found none; add training photos"),
        ({"hat": Split}, "at least two classes, found of hat only; add training photos"),
        ({"hat": Split, "vase": [TEST]}, "found of hat only; add training photos of vase"),
        ({"hat": [TRAIN], "vase": [TRAIN, TEST]}, "Expected validation photos of the trained classes .hat, vase."),
    ],
)  # fmt: skip
def test_untrainable_data_is_refused_with_advice(classes, message):
    with pytest.raises(DataError, match=message):
        keep_trained(photos_of(classes))


def rows_of(*rows):
    """Photos of (split, group), or of (split, group, present)."""
    return [AssignedPhoto(Path(f"{i}"), "hat", row[0], f"{i}", row[1], None, *row[2:]) for i, row in enumerate(rows)]


def test_leaks_are_the_photos_of_groups_that_more_is_learned_from():
    photos = rows_of(
        (TRAIN, "x"), (TRAIN, "x"), (VAL, "x"), (TEST, "x"), (VAL, "y"), (TEST, "y"), (TRAIN, "z"), (TEST, "z", False)
    )
    assert count_leaks(photos) == {VAL: 1, TEST: 2}
    assert count_leaks(rows_of((TRAIN, "x", False), (TEST, "x"))) == {}


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
    photos = rows_of(*rows)
    left, dropped = drop_training_twins(photos)
    assert left == [photos[place] for place in kept]
    assert [e.path for e in dropped] == [photo.path for photo in photos if photo not in left]
    assert all(e.message.startswith("Another photo of its group is in ") for e in dropped)


rows = st.lists(st.tuples(st.sampled_from(Split), st.sampled_from("xyz"), st.booleans()))


@settings(deadline=None)
@given(rows)
def test_no_leak_is_left_and_no_test_photo_is_lost(rows):
    photos = rows_of(*rows)
    left, dropped = drop_training_twins(photos)
    assert count_leaks(left).total() == 0
    assert drop_training_twins(left) == (left, [])
    assert len(left) + len(dropped) == len(photos)
    assert [p for p in left if p.split is TEST or not p.present] == [
        p for p in photos if p.split is TEST or not p.present
    ]
    assert {p.group for p in left if p.present} == {p.group for p in photos if p.present}


GROUP = ((0, 1, 2),)


def candidates(*wanted):
    return [
        Candidate(Path(f"{place}.jpg"), label, str(place), split=split, present=present)
        for place, (label, split, present) in enumerate(wanted)
    ]


def unlearnable(photos, *, conflicts=(), placeholders=()):
    alone = np.arange(len(photos))
    return find_unlearnable(photos, Relations((), (), alone, alone, placeholders, conflicts, ()))


@pytest.mark.parametrize(
    ("labels_and_splits", "going", "kept"),
    [
        ([("hat", None), ("vase", None), ("hat", None)], {0, 1, 2}, 0),
        ([("hat", TRAIN), ("vase", None), ("hat", None)], {1}, 0),
        ([("hat", TEST), ("vase", None), ("vase", None)], {1, 2}, 0),
        ([("hat", TRAIN), ("vase", TRAIN), ("hat", TRAIN)], {0, 1, 2}, 0),
        ([("hat", TRAIN), ("vase", TEST), ("vase", None)], {0, 2}, 0),
        ([("hat", TEST), ("vase", VAL), ("hat", TRAIN)], {2}, 2),
        ([("hat", TEST), ("hat", VAL), ("vase", TRAIN)], {2}, 0),
    ],
)
def test_who_goes_of_one_picture_under_two_labels(labels_and_splits, going, kept):
    excluded, stay = unlearnable(candidates(*((*pair, True) for pair in labels_and_splits)), conflicts=GROUP)
    assert (set(excluded), stay) == (going, kept)


def test_placeholders_under_several_labels_go_wherever_they_are():
    photos = candidates(("hat", TEST, True), ("vase", TRAIN, True), *[("hat", None, True)] * 8)
    excluded, _ = unlearnable(photos, placeholders=(tuple(range(10)),))
    assert {place: why.reason for place, why in excluded.items()} == dict.fromkeys(range(10), "placeholder")


def test_photos_without_a_product_are_no_class_that_is_trained_lacking_or_validated():
    none = photos_of({NONE: [VAL, TEST]})
    covered = keep_trained([*photos_of(WHOLE), *none])
    assert (covered.photos[6:], covered.set_aside, covered.notes) == (none, [], ())
    with pytest.raises(DataError, match="at least two classes, found of hat only"):
        keep_trained(photos_of({"hat": list(Split), NONE: list(Split)}))
    with pytest.raises(DataError, match="Expected validation photos of the trained classes"):
        keep_trained(photos_of({"hat": [TRAIN], "vase": [TRAIN], NONE: list(Split)}))


def test_a_photo_that_is_gone_is_no_party_to_a_conflict():
    photos = candidates(("hat", TRAIN, False), ("vase", None, True), ("vase", None, True))
    assert unlearnable(photos, conflicts=GROUP) == ({}, 0)


def test_a_placeholder_of_which_two_photos_are_left_is_a_conflict():
    photos = candidates(*[("hat", None, False)] * 8, ("hat", None, True), ("vase", None, True))
    excluded, _ = unlearnable(photos, placeholders=(tuple(range(10)),))
    assert {place: why.reason for place, why in excluded.items()} == dict.fromkeys((8, 9), "label_conflict")
