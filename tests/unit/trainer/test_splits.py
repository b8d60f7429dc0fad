import csv
import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from trainer.dataset import LabeledPhoto, Split
from trainer.splits import AssignedPhoto, assign_splits, count_leaks, read_splits, write_splits

seeds = st.integers(0, 2**32)


@st.composite
def labels_and_groups(draw):
    """(label, group) of each photo, shuffled: two to four classes of 3 to 15 groups of duplicates each."""
    sizes = draw(
        st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(1, 4), min_size=3, max_size=15), min_size=2)
    )
    rows = [
        (label, f"{label}{i}")
        for label, groups in sizes.items()
        for i, copies in enumerate(groups)
        for _ in range(copies)
    ]
    draw(st.randoms(use_true_random=False)).shuffle(rows)
    return rows


@st.composite
def disputed_rows(draw):
    """As above, with photos that stand under two labels besides."""
    rows = draw(labels_and_groups())
    shared = draw(st.lists(st.tuples(st.sampled_from(sorted({label for label, _ in rows})), st.sampled_from("xyz"))))
    return [*rows, *shared]


def photos_of(rows, split=None):
    return [LabeledPhoto(Path(f"{i}.jpg"), label, split) for i, (label, _) in enumerate(rows)]


def assign(rows, seed=0):
    return assign_splits(photos_of(rows), [f"sha{i}" for i in range(len(rows))], [group for _, group in rows], seed)


def assign_given(splits, seed=0):
    """Ten photos or more of each of two classes, all different, with these splits given in turn."""
    photos = [LabeledPhoto(Path(f"{i}.jpg"), "ab"[i // 60], splits[i % len(splits)]) for i in range(120)]
    names = [str(i) for i in range(120)]
    return photos, assign_splits(photos, names, names, seed)


@settings(deadline=None)
@given(disputed_rows(), seeds)
def test_every_photo_is_in_exactly_one_split_and_is_otherwise_as_it_was(rows, seed):
    assigned = assign(rows, seed)
    assert [(p.path, p.label, p.sha256, p.group) for p in assigned] == [
        (Path(f"{i}.jpg"), label, f"sha{i}", group) for i, (label, group) in enumerate(rows)
    ]
    assert all(isinstance(p.split, Split) for p in assigned)


@settings(deadline=None)
@given(disputed_rows(), seeds)
def test_duplicates_are_never_divided_even_under_two_labels(rows, seed):
    splits = defaultdict(set)
    for photo in assign(rows, seed):
        splits[photo.group].add(photo.split)
    assert {len(found) for found in splits.values()} == {1}


@settings(deadline=None)
@given(labels_and_groups(), seeds)
def test_each_class_is_in_all_three_splits(rows, seed):
    found = {(photo.label, photo.split) for photo in assign(rows, seed)}
    assert found == {(label, split) for label, _ in rows for split in Split}


@settings(deadline=None)
@given(disputed_rows(), seeds)
def test_the_same_seed_gives_the_same_splits(rows, seed):
    assert assign(rows, seed) == assign(rows, seed)


def test_another_seed_gives_other_splits():
    rows = [("ab"[i % 2], str(i)) for i in range(100)]
    assert assign(rows, 0) != assign(rows, 1)


def test_about_a_tenth_of_each_class_is_held_out_for_each_purpose():
    counts = Counter((photo.label, photo.split) for photo in assign([("abc"[i % 3], str(i)) for i in range(600)]))
    for label in "abc":
        assert counts[label, Split.TEST] == pytest.approx(20, abs=2)
        assert counts[label, Split.VAL] == pytest.approx(20, abs=2)


@settings(deadline=None)
@given(st.lists(st.sampled_from(Split), min_size=1, max_size=20), seeds)
def test_splits_that_a_person_gave_stay(splits, seed):
    photos, assigned = assign_given([*Split, *splits], seed)
    assert [p.split for p in assigned] == [p.split for p in photos]


def test_duplicates_that_a_person_divided_stay_divided():
    photos = [LabeledPhoto(Path(f"{split}.jpg"), "a", split) for split in Split]
    assigned = assign_splits(photos, list("123"), ["same"] * 3, 0)
    assert [p.split for p in assigned] == list(Split)


@pytest.mark.parametrize("given_splits", [(Split.TRAIN,), (Split.TRAIN, Split.VAL), (Split.TRAIN, Split.TEST)])
def test_a_split_that_a_person_did_not_give_is_cut_from_training(given_splits):
    photos, assigned = assign_given(given_splits)
    for before, after in zip(photos, assigned, strict=True):
        assert after.split is before.split or (before.split is Split.TRAIN and after.split not in given_splits)
    assert {(p.label, p.split) for p in assigned} == {(label, split) for label in "ab" for split in Split}


def test_a_given_validation_photo_stays_where_it_is_when_its_copy_goes_from_training_to_test():
    photos = [
        LabeledPhoto(Path(f"{i}.jpg"), "ab"[i % 2], split) for split in (Split.TRAIN, Split.VAL) for i in range(40)
    ]
    names = [f"{i}" for i in range(80)]
    assigned = assign_splits(photos, names, [f"{i}" for _ in range(2) for i in range(40)], 0)
    assert [p.split for p in assigned[40:]] == [Split.VAL] * 40
    assert Split.TEST in {p.split for p in assigned[:40]}


def test_splits_for_some_photos_only_are_refused_naming_one_without():
    photos = [LabeledPhoto(Path("with.jpg"), "a", Split.TRAIN), LabeledPhoto(Path("without.jpg"), "a")]
    with pytest.raises(DataError, match=r"a split for every photo or for none, got none for without\.jpg"):
        assign_splits(photos, ["1", "2"], ["1", "2"], 0)


def test_a_class_without_training_photos_is_refused_by_name():
    photos = [LabeledPhoto(Path(f"{i}.jpg"), "a", split) for i, split in enumerate(Split)]
    photos += [LabeledPhoto(Path(f"{i}.jpg"), "b", Split.TEST) for i in range(3, 6)]
    with pytest.raises(DataError, match="training photos of every class, found none of b;"):
        assign_splits(photos, list("123456"), list("123456"), 0)


def test_a_class_of_copies_of_one_photo_stays_in_training():
    assigned = assign([("a", str(i)) for i in range(9)] + [("b", "same")] * 9)
    assert {photo.split for photo in assigned if photo.label == "b"} == {Split.TRAIN}


def test_leaks_are_the_held_out_copies_of_training_photos():
    photos = [
        AssignedPhoto(Path(f"{i}.jpg"), "a", split, str(i), group)
        for i, (split, group) in enumerate(
            [
                (Split.TRAIN, "x"),
                (Split.TRAIN, "x"),
                (Split.VAL, "x"),
                (Split.TEST, "x"),
                (Split.VAL, "y"),
                (Split.TEST, "y"),
                (Split.TRAIN, "z"),
            ]
        )
    ]
    assert count_leaks(photos) == 2


@settings(deadline=None)
@given(labels_and_groups(), seeds)
def test_our_own_splits_do_not_leak(rows, seed):
    assert count_leaks(assign(rows, seed)) == 0


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(deadline=None)
@given(st.lists(st.builds(AssignedPhoto, names.map(Path), names, st.sampled_from(Split), names, names)))
def test_splits_are_read_as_they_were_written(tmp_path_factory, photos):
    path = tmp_path_factory.getbasetemp() / "splits.csv"
    write_splits(path, photos)
    assert read_splits(path) == photos


def test_a_file_name_that_is_not_utf8_is_read_as_it_was_written(tmp_path):
    photos = [AssignedPhoto(Path(os.fsdecode(b"b\xe9ret.jpg")), "hat", Split.VAL, "ab12", "cd34")]
    write_splits(tmp_path / "splits.csv", photos)
    assert read_splits(tmp_path / "splits.csv") == photos


def test_splits_csv_is_a_plain_table(tmp_path):
    write_splits(tmp_path / "splits.csv", [AssignedPhoto(Path("a/1.jpg"), "hat, straw", Split.VAL, "ab12", "cd34")])
    lines = (tmp_path / "splits.csv").read_bytes().split(b"\n")
    assert lines == [b"image,label,split,sha256,group", b'a/1.jpg,"hat, straw",val,ab12,cd34', b""]


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.jpg,hat\n",
        "image,label,split,sha256,group\na.jpg,hat,dev,ab,cd\n",
        pytest.param("image,label,split,sha256,group\na.jpg,hat,train,ab,cd\nb.jpg,hat,tr", id="torn in the split"),
    ],
)
def test_damaged_splits_are_refused_naming_the_file(tmp_path, text):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"splits of a run in .*splits\.csv, could not read them .*; train anew"):
        read_splits(path)


def test_missing_splits_are_refused_naming_the_file(tmp_path):
    with pytest.raises(DataError, match=r"splits\.csv"):
        read_splits(tmp_path / "splits.csv")


def test_the_table_opens_in_any_csv_reader(tmp_path):
    assigned = assign([("ab"[i % 2], str(i // 2)) for i in range(40)])
    write_splits(tmp_path / "splits.csv", assigned)
    with (tmp_path / "splits.csv").open(newline="") as file:
        assert Counter(row["split"] for row in csv.DictReader(file)) == Counter(str(p.split) for p in assigned)
