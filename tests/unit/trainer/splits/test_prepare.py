import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import DataError
from models.photo import NONE
from models.preprocess import PreprocessSpec
from trainer.check.checkup import scan_photos
from trainer.data.dataset import Exclusion, Split, read_dataset
from trainer.data.photo_cache import PixelStore, StatisticsStore
from trainer.data.photo_files import file_sha256
from trainer.request import TableOptions
from trainer.splits.prepare import SplitOptions, prepare, read_excluded, write_excluded

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
def cache(tmp_path):
    """A cache for all tests, because they use the same photos."""
    return tmp_path.parent / "cache"


@pytest.fixture
def empty_cache(tmp_path):
    return tmp_path / "cache"


@dataclass
class Told:
    """The reported steps of the preparation."""

    steps: dict = field(default_factory=dict)

    def advance(self, what, done, total):
        self.steps.setdefault(what, []).append((done, total))


def draw(path, seed):
    Image.fromarray(picture(seed)).save(path)


def picture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def prepared(photos, cache, told=None, **wishes):
    pixels, looks = PixelStore(cache, SPEC), StatisticsStore(cache)
    dataset, advance = read_dataset(photos), (told or Told()).advance
    scanned = scan_photos(dataset.photos, looks, advance)
    return prepare(dataset, scanned, pixels, looks, SplitOptions(**wishes), advance)


def given(photos, folder):
    """The photos in a training folder, and an empty test folder of hats."""
    shutil.copytree(photos, folder / "train")
    (folder / "test" / "hat").mkdir(parents=True)
    return folder


def test_a_tables_products_stay_together_and_unusable_rows_are_set_aside_with_reasons(photos, cache):
    """Two photos a product; the last rows have no photo, no file and no label."""
    files = sorted(photos.rglob("*.png"))
    rows = [f"{file.relative_to(photos)},{file.parent.name},P{n // 2}" for n, file in enumerate(files)]
    table = photos / "shop.csv"
    table.write_text("\n".join(["shot,kind,sku", *rows, ",hat,P8", "gone.png,vase,P9", "hat/0.png,,P10"]))
    dataset = read_dataset(table, TableOptions(image_column="shot", label_column="kind", group_column="sku"))
    stores = PixelStore(cache, SPEC), StatisticsStore(cache)
    data = prepare(
        dataset, scan_photos(dataset.photos, stores[1], Told().advance), *stores, SplitOptions(), Told().advance
    )
    assert sorted(photo.path for photo in data.photos) == files
    assert len({(photo.product, photo.split) for photo in data.photos}) == 6
    assert [(one.path.name, one.reason) for one in data.excluded] == [
        ("shop.csv, row 13", "missing"),
        ("gone.png", "missing"),
    ]
    assert data.notes[:3] == (
        "labels are in 'kind', photos in 'shot', products in 'sku'",
        "1 row has no label and is left out",
        "2 files excluded (2 missing): see excluded.csv",
    )


def test_every_photo_of_a_clean_folder_is_used_without_notes(photos, cache):
    data = prepared(photos, cache)
    assert sorted(p.path for p in data.photos) == sorted(photos.rglob("*.png"))
    assert (data.classes, data.excluded, data.notes) == (("hat", "vase"), [], ())
    assert {len(data.of(split)) for split in Split} == {2, 8}


def test_a_second_training_reads_and_decodes_only_new_photos(photos, empty_cache):
    prepared(photos, empty_cache)
    draw(photos / "hat" / "new.png", 99)
    told = Told()
    prepared(photos, empty_cache, told)
    assert (told.steps["Looking"], told.steps["Decoding"]) == ([(0, 1), (1, 1)], [(1, 1)])


@dataclass
class Replacing(Told):
    """Replaces a file's bytes at the end of a step."""

    step: str = ""
    path: Path = Path()

    def advance(self, what, done, total):
        if what == self.step and done == total:
            draw(self.path, 99)


@pytest.mark.parametrize("step", ["Reading", "Looking"])
def test_a_photo_that_is_replaced_while_photos_are_prepared_is_left_out(photos, empty_cache, step):
    path = photos / "hat" / "0.png"
    before = file_sha256(path)
    data = prepared(photos, empty_cache, Replacing(step=step, path=path))
    assert [(e.path, e.reason) for e in data.excluded] == [(path, "changed")]
    assert path not in {photo.path for photo in data.photos}
    assert data.notes == ("1 file excluded (1 changed): see excluded.csv",)
    later = prepared(photos, empty_cache)
    assert [photo.sha256 for photo in later.photos if photo.path == path] == [file_sha256(path)]
    pixels, looks = PixelStore(empty_cache, SPEC), StatisticsStore(empty_cache)
    assert pixels.lacks(before)
    assert looks.lacks(before) == (step == "Reading"), "what it showed then is known"
    assert np.array_equal(looks.copies([file_sha256(path)])[0], picture(99))


def test_a_given_split_that_leaks_is_said_and_fix_leaks_drops_the_training_twin(photos, cache, tmp_path):
    folder = given(photos, tmp_path / "given")
    shutil.copyfile(photos / "hat" / "0.png", folder / "test" / "hat" / "copy.png")
    leaking = prepared(folder, cache)
    assert "2 training photos are used for validation, because the data has no validation photos" in leaking.notes
    assert [p.path.name for p in leaking.of(Split.TEST)] == ["copy.png"]
    said = "1 of 1 test photos (100.0%) share a picture or product with a training photo"
    assert any(note.startswith(said) for note in leaking.notes)
    data = prepared(folder, cache, fix_leaks=True)
    assert [(e.path, e.reason) for e in data.excluded] == [(folder / "train" / "hat" / "0.png", "leak")]
    assert [p.path.name for p in data.of(Split.TEST)] == ["copy.png"]
    assert not any("of a training photo" in note for note in data.notes)


def test_a_new_photo_of_an_old_picture_joins_its_split_though_the_old_one_is_gone(photos, cache):
    first = prepared(photos, cache)
    tested = next(p for p in first.photos if p.split is Split.TEST)
    Image.open(tested.path).save(tested.path.with_name("again.jpg"), quality=80)
    tested.path.unlink()
    data = prepared(photos, cache, earlier=first.photos)
    assert "1 of 12 photos of the earlier training are missing (1 in test)" in data.notes
    second = {p.path.name: p for p in data.photos}
    assert second["again.jpg"].split is Split.TEST
    assert second["again.jpg"].present
    assert not second[tested.path.name].present


def test_an_old_training_photo_that_must_go_keeps_its_row_and_split(photos, cache):
    for seed in range(6):
        shutil.copyfile(photos / "hat" / f"{seed}.png", photos / "hat" / f"copy-{seed}.png")
    first = prepared(photos, cache)
    copy = next(p.path for p in first.of(Split.TRAIN) if p.path.name.startswith("copy"))
    original, moved = copy.with_name(copy.name.removeprefix("copy-")), photos / "vase" / copy.name
    copy.rename(moved)
    second = prepared(photos, cache, earlier=first.photos)
    assert {e.path for e in second.excluded} == {original, moved}
    rows = {p.path: (p.split, p.present) for p in second.photos}
    assert rows[original] == rows[moved] == (Split.TRAIN, False)


def test_the_splits_of_other_photos_are_refused(photos, cache, tmp_path):
    first = prepared(photos, cache)
    for seed in range(40, 50):
        (tmp_path / "others" / ("hat", "vase")[seed % 2]).mkdir(parents=True, exist_ok=True)
        draw(tmp_path / "others" / ("hat", "vase")[seed % 2] / f"{seed}.png", seed)
    with pytest.raises(DataError, match=r"some of the earlier training's 12 photos in the data, .* found none"):
        prepared(tmp_path / "others", cache, earlier=first.photos)


def test_corrections_new_photos_and_empty_classes_are_said_and_move_nothing(photos, cache):
    first = prepared(photos, cache)
    tested = next(p for p in first.photos if p.split is Split.TEST and p.label == "hat")
    tested.path.rename(photos / "vase" / "corrected.png")
    draw(photos / "hat" / "new.png", 99)
    (photos / "lamp").mkdir()
    second = prepared(photos, cache, earlier=first.photos)
    assert second.notes == (
        "1 photo has a new label (1 in test)",
        "12 photos stay in their splits of the earlier training, 1 is new",
        "no usable photo of lamp: the model cannot learn it",
    )
    assert next(p for p in second.photos if p.path.name == "corrected.png").split is Split.TEST


def test_excluded_photos_are_neither_new_nor_among_those_that_stay(photos, cache):
    first = prepared(photos, cache)
    draw(photos / "hat" / "new.png", 99)
    for label in ("hat", "vase"):
        draw(photos / label / "conflict.png", 98)
    notes = prepared(photos, cache, earlier=first.photos).notes
    assert "12 photos stay in their splits of the earlier training, 1 is new" in notes


def test_an_accident_that_gives_classes_away_is_said(tmp_path, cache):
    for seed in range(60):
        folder = tmp_path / "photos" / ("hat", "vase")[seed % 2]
        folder.mkdir(parents=True, exist_ok=True)
        draw(folder / f"{seed}.{('bmp', 'png')[seed % 2]}", seed)
    notes = prepared(tmp_path / "photos", cache).notes
    said = "Shortcut: file format alone distinguishes hat from vase in 100% (by chance: 50%)"
    assert any(note.startswith(said) for note in notes)
    assert not any("together" in note for note in notes)


def test_excluded_csv_is_a_plain_table_and_is_read_as_it_was_written(tmp_path):
    write_excluded(tmp_path / "excluded.csv", [Exclusion(Path("a/1.jpg"), "unreadable", 'cut, and "bad"')])
    table = b'image,reason,message\na/1.jpg,unreadable,"cut, and ""bad"""\n'
    assert (tmp_path / "excluded.csv").read_bytes() == table
    excluded = [
        Exclusion(Path("a/1.jpg"), "unreadable", 'cut, and "bad"'),
        Exclusion(Path(os.fsdecode(b"b\xe9ret.jpg")), "truncated", "two\nlines"),
        Exclusion(Path("帽子.jpg"), "label_conflict", ""),
    ]
    for kept in (excluded, []):
        write_excluded(tmp_path / "excluded.csv", kept)
        assert read_excluded(tmp_path / "excluded.csv") == kept


def with_outliers(photos, count=10):
    (photos / NONE).mkdir()
    for seed in range(100, 100 + count):
        draw(photos / NONE / f"{seed}.png", seed)
    return photos


def test_photos_without_a_product_get_splits_and_make_no_class(photos, cache):
    data = prepared(with_outliers(photos), cache)
    assert data.classes == ("hat", "vase")
    assert {photo.label for split in Split for photo in data.of(split)} == {"hat", "vase"}
    held = {split: [photo.label for photo in data.outliers(split)] for split in Split}
    assert held == {Split.TRAIN: [NONE] * 8, Split.VAL: [NONE], Split.TEST: [NONE]}
    assert sorted(photo.path for photo in data.photos) == sorted(photos.rglob("*.png"))
