from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from trainer.data.dataset import LabeledPhoto, Split
from trainer.splits.assigned import AssignedPhoto, match_earlier

TRAIN, VAL, TEST = Split


def row(path, split, sha256, label="hat", *, group=None, product=None, present=True):
    return AssignedPhoto(Path(path), label, split, sha256, group or f"group of {sha256}", product, present)


def matched(photos, earlier):
    """Matches for {path: sha256}, all hats, without given splits."""
    return match_earlier([LabeledPhoto(Path(path), "hat") for path in photos], list(photos.values()), earlier)


def fates(candidates):
    return [(str(a.path), a.split, a.fixed, a.present) for a in candidates]


@pytest.mark.parametrize(
    ("photos", "earlier", "expected"),
    [
        pytest.param({"b": "1"}, [row("a", TEST, "1")], [("b", TEST)], id="renamed"),
        pytest.param({"a": "2"}, [row("a", VAL, "1")], [("a", VAL)], id="saved anew"),
        pytest.param({"a": "1"}, [row("a", VAL, "1", present=False)], [("a", VAL)], id="comes back"),
        pytest.param(
            {"a": "1"}, [row("b", TEST, "2"), row("a", VAL, "1")], [("a", VAL), ("b", TEST, False)], id="one is gone"
        ),
        pytest.param(
            {"a": "2", "b": "1"}, [row("a", TEST, "1"), row("b", VAL, "2")], [("a", VAL), ("b", TEST)], id="swapped"
        ),
        pytest.param({"a": "1", "b": "1"}, [row("b", VAL, "1")], [("a", None), ("b", VAL)], id="a copy beside it"),
        pytest.param(
            {"a": "1", "b": "1"}, [row("b", VAL, "1"), row("a", TRAIN, "1")], [("a", TRAIN), ("b", VAL)],
            id="of two alike the one at its path",
        ),
        pytest.param(
            {"c": "1"}, [row("a", TRAIN, "1"), row("b", TEST, "1")], [("c", TEST), ("a", TRAIN, False)],
            id="of several alike the one least learned from",
        ),
        pytest.param(
            {"a": "2"}, [row("a", TRAIN, "1"), row("b", TEST, "2")], [("a", TEST), ("a", TRAIN, False)],
            id="content counts for more than the path",
        ),
    ],
)  # fmt: skip
def test_which_photo_is_which(photos, earlier, expected):
    """Expected: path, split, and False for a missing earlier photo; a photo with a split is the earlier one."""
    wanted = [(path, split, split is not None, not gone) for path, split, *gone in expected]
    assert fates(matched(photos, earlier)) == wanted


def test_todays_label_wins_and_the_correction_can_be_told():
    earlier = [row("a", TEST, "1", "hat"), row("b", VAL, "2", "vase")]
    photos = [
        LabeledPhoto(Path(path), label) for path, label in zip("abcd", ("vase", "vase", "hat", "vase"), strict=True)
    ]
    candidates = match_earlier(photos, ["1", "2", "3", "2"], earlier)
    assert [(a.split, a.relabeled) for a in candidates] == [(TEST, True), (VAL, False), (None, False), (None, False)]


TESTED = LabeledPhoto(Path("tested"), "hat", TEST)


@pytest.mark.parametrize(("place", "sha256"), [("a", "1"), ("a", "2"), ("train/a", "1")])
def test_a_changed_split_is_refused_with_advice(place, sha256):
    with pytest.raises(
        DataError,
        match=f"Expected {place} in test, as in the earlier training, got train; move it back to test, or train",
    ):
        match_earlier([LabeledPhoto(Path(place), "hat", TRAIN), TESTED], [sha256, "9"], [row("a", TEST, "1")])
    moved = [TESTED, *(LabeledPhoto(Path(name), "hat", TRAIN) for name in "abc")]
    with pytest.raises(DataError, match=r"Expected a \(and 2 others\) in test"):
        match_earlier(moved, list("9abc"), [row(name, TEST, name) for name in "abc"])


def test_a_photo_that_was_cut_from_training_may_be_given_as_training_again():
    """The data has training and test folders; the earlier training took its validation photos from the first."""
    earlier = [row("a", VAL, "1"), row("b", TRAIN, "2"), row("tested", TEST, "9")]
    photos = [LabeledPhoto(Path("a"), "hat", TRAIN), LabeledPhoto(Path("b"), "hat", TRAIN), TESTED]
    candidates = match_earlier(photos, ["1", "2", "9"], earlier)
    assert [candidate.split for candidate in candidates] == [VAL, TRAIN, TEST]


shas = st.sampled_from("12345")
paths = st.sampled_from("abcdef")
labels = st.sampled_from(["hat", "vase"])
rows = st.lists(st.builds(row, paths, st.sampled_from(Split), shas, labels, present=st.booleans()), max_size=8)
files = st.lists(st.tuples(st.builds(LabeledPhoto, paths.map(Path), labels), shas), max_size=8)


@settings(deadline=None)
@given(files, rows)
def test_every_photo_comes_out_in_order_and_no_earlier_row_twice(files, earlier):
    photos, sha256s = [photo for photo, _ in files], [sha256 for _, sha256 in files]
    candidates = match_earlier(photos, sha256s, earlier)
    today, absent = candidates[: len(files)], candidates[len(files) :]
    assert [(a.path, a.label, a.sha256, a.present) for a in today] == [
        (photo.path, photo.label, sha256, True) for photo, sha256 in files
    ]
    claimed = sum(a.earlier_label is not None for a in today)
    assert claimed + len(absent) == len(earlier)
    assert all(a.fixed and not a.present for a in absent)
