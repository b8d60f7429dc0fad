import csv
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.writers import without_formula
from trainer.data.csv_files import path_cell, path_in, write_rows
from trainer.data.dataset import Split, read_dataset
from trainer.splits.assigned import AssignedPhoto, read_splits, write_splits
from trainer.splits.prepare import Exclusion, read_excluded, write_excluded

names = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name and b"/" not in name)


@settings(deadline=None, max_examples=50)
@given(st.lists(names, min_size=2, max_size=2, unique=True))
def test_a_data_set_in_a_csv_has_files_of_any_name(tmp_path_factory: pytest.TempPathFactory, two) -> None:
    paths = [Path(os.fsdecode(b"/photos/" + name)) for name in two]
    file = tmp_path_factory.getbasetemp() / "dataset.csv"
    rows = [(path_cell(path), label, "", "") for path, label in zip(paths, ("hat", "vase"), strict=True)]
    write_rows(file, ("image", "label", "split", "group"), rows)
    assert [photo.path for photo in read_dataset(file).photos] == paths


def test_a_name_that_people_can_read_stays_as_it_is() -> None:
    assert path_cell(Path("/photos/Stiefel, schön 100%.jpg")) == "/photos/Stiefel, schön 100%.jpg"
    assert path_cell(Path("boots/1.jpg")) == "boots/1.jpg"
    assert path_cell(Path(os.fsdecode(b"/photos/\xe9.jpg"))) == "file:///photos/%E9.jpg"


def test_a_path_starts_at_the_folder_of_its_data(tmp_path):
    photo = tmp_path / "photos" / "hat" / "1.jpg"
    assert path_in(tmp_path / "photos", photo) == "hat/1.jpg"
    assert path_in(tmp_path / "data.csv", photo) == "photos/hat/1.jpg"
    assert path_in(tmp_path / "elsewhere", photo) == str(photo)


def test_a_path_starts_at_its_data_whichever_way_that_was_named(tmp_path):
    (tmp_path / "photos" / "hat").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    assert path_in(tmp_path / "photos", tmp_path / "link" / "hat" / "1.jpg") == "hat/1.jpg"


FORMULAS = ('=HYPERLINK("http://evil",A1)', "@SUM(1)", "+cmd|' /C calc'!A0", "-2+3", "'=1+1", "hat")


def test_no_csv_of_a_training_starts_a_formula_and_each_is_read_as_it_was_meant(tmp_path: Path) -> None:
    splits, excluded, table = (tmp_path / name for name in ("splits.csv", "excluded.csv", "dataset.csv"))
    photos = [
        AssignedPhoto(Path(f"{text}/1.jpg"), text, Split.TRAIN, "0" * 64, text, text, present=True) for text in FORMULAS
    ]
    write_splits(splits, photos)
    assert read_splits(splits) == photos
    left = [Exclusion(Path(f"{text}.jpg"), "unreadable", text) for text in FORMULAS]
    write_excluded(excluded, left)
    assert read_excluded(excluded) == left
    write_rows(table, ("image", "label", "group"), ((f"/photos/{place}.jpg", t, t) for place, t in enumerate(FORMULAS)))
    assert [(photo.label, photo.product) for photo in read_dataset(table).photos] == [(text, text) for text in FORMULAS]
    for file in (splits, excluded, table):
        with file.open(newline="") as lines:
            assert [cell for row in csv.reader(lines) for cell in row if without_formula(cell) != cell] == []
