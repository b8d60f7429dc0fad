import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import DataError
from models.preprocess import PreprocessSpec
from trainer.dataset import Exclusion, Split, read_dataset
from trainer.pixel_store import PixelStore
from trainer.prepare import prepare, write_excluded

SPEC = PreprocessSpec(size=16)


@pytest.fixture
def photos(tmp_path):
    """Six photos of a hat and six of a vase, all different."""
    for label, first in (("hat", 0), ("vase", 6)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(first, first + 6):
            draw(tmp_path / "photos" / label / f"{i}.png", i)
    return tmp_path / "photos"


@pytest.fixture
def store(tmp_path):
    return PixelStore(tmp_path / "cache", SPEC)


def draw(path, seed):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(path)


def prepared(photos, store, on_photo=lambda done, total: None):
    return prepare(read_dataset(photos), store, 0, on_photo)


def test_every_photo_of_a_clean_folder_is_used_and_there_is_nothing_to_say(photos, store):
    data = prepared(photos, store)
    assert sorted(p.path for p in data.photos) == sorted(photos.rglob("*.png"))
    assert (data.classes, data.excluded, data.notes) == (("hat", "vase"), [], ())
    assert {len(data.of(split)) for split in Split} == {2, 8}


def test_progress_counts_up_to_the_number_of_photos(photos, store):
    told = []
    prepared(photos, store, lambda done, total: told.append((done, total)))
    assert told == [(i, 12) for i in range(1, 13)]


def test_progress_counts_only_what_is_still_to_decode(photos, store):
    prepared(photos, store)
    draw(photos / "hat" / "new.png", 99)
    told = []
    prepared(photos, store, lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]


def test_unreadable_missing_and_misnamed_files_are_set_aside_with_the_reason(photos, store, tmp_path):
    page, cut = tmp_path / "page.jpg", tmp_path / "cut.png"
    page.write_text("<html>")
    whole = (photos / "hat" / "0.png").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    rows = [f"{path},{path.parent.name}" for path in photos.rglob("*.png")]
    rows += [f"{page},hat", f"{cut},hat", f"{tmp_path / 'gone.jpg'},vase"]
    table = tmp_path / "products.csv"
    table.write_text("\n".join(["image,label", *rows]))
    data = prepared(table, store)
    assert {(e.path.name, e.reason) for e in data.excluded} == {
        ("page.jpg", "unreadable"),
        ("cut.png", "unreadable"),
        ("gone.jpg", "missing"),
    }
    assert len(data.photos) == 12
    assert data.notes == ("3 files set aside (2 unreadable, 1 missing): see excluded.csv",)


def test_exact_duplicates_are_counted_in_the_notes(photos, store):
    shutil.copyfile(photos / "hat" / "0.png", photos / "hat" / "copy.png")
    data = prepared(photos, store)
    assert data.notes == ("1 photos are exact duplicates of another",)
    assert len({p.split for p in data.photos if p.path.name in {"0.png", "copy.png"}}) == 1


def test_the_same_picture_in_another_file_format_is_a_duplicate(photos, store):
    with Image.open(photos / "hat" / "0.png") as image:
        image.save(photos / "hat" / "0.bmp")
    groups = {p.path.name: p.group for p in prepared(photos, store).photos}
    assert groups["0.png"] == groups["0.bmp"]


def test_a_photo_under_two_labels_is_named_in_the_notes(photos, store):
    shutil.copyfile(photos / "hat" / "0.png", photos / "vase" / "copy.png")
    assert "1 photos stand under two labels; find them by their group in splits.csv" in prepared(photos, store).notes


def test_a_copy_of_a_training_photo_in_a_given_test_split_is_a_leak(photos, store, tmp_path):
    for split in ("train", "test"):
        shutil.copytree(photos, tmp_path / "given" / split)
    notes = prepared(tmp_path / "given", store).notes
    assert any("validation and test photos are duplicates of a training photo" in note for note in notes)


def test_a_class_that_a_given_split_lacks_is_named_in_the_notes(photos, store, tmp_path):
    shutil.copytree(photos, tmp_path / "given" / "train")
    (tmp_path / "given" / "test" / "hat").mkdir(parents=True)
    draw(tmp_path / "given" / "test" / "hat" / "99.png", 99)
    assert prepared(tmp_path / "given", store).notes == ("no test photos of vase",)


def test_a_class_that_is_left_with_too_few_readable_photos_is_refused(photos, store):
    for i in (6, 7):
        (photos / "vase" / f"{i}.png").write_text("<html>")
    with pytest.raises(DataError, match=r"too few of: vase \(4\)"):
        prepared(photos, store)


def test_preparing_again_gives_the_same_photos_in_the_same_splits(photos, store):
    assert prepared(photos, store) == prepared(photos, store)


def test_excluded_csv_is_a_plain_table(tmp_path):
    write_excluded(tmp_path / "excluded.csv", [Exclusion(Path("a/1.jpg"), "unreadable", 'cut, and "bad"')])
    lines = (tmp_path / "excluded.csv").read_bytes().split(b"\n")
    assert lines == [b"image,reason,message", b'a/1.jpg,unreadable,"cut, and ""bad"""', b""]


def test_excluded_csv_takes_a_file_name_that_is_not_utf8(tmp_path):
    path = tmp_path / "excluded.csv"
    write_excluded(path, [Exclusion(Path(os.fsdecode(b"b\xe9ret.jpg")), "unreadable", "cut")])
    assert b"ret.jpg,unreadable,cut" in path.read_bytes()
