import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.csv_files import path_cell, path_in, write_rows
from trainer.data.dataset import read_dataset

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


def test_a_path_in_the_data_starts_no_formula(tmp_path):
    assert path_in(tmp_path, tmp_path / "=cmd" / "1.jpg") == "./=cmd/1.jpg"
