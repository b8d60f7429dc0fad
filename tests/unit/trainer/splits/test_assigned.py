import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from models.text import label_text
from trainer.data.dataset import Split
from trainer.splits.assigned import AssignedPhoto, read_splits, write_splits

HEADER = "image,label,split,sha256,group,product,present\n"

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
labels = names.map(label_text).filter(bool)
file_names = st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode).map(Path)
photos = st.builds(
    AssignedPhoto, file_names, labels, st.sampled_from(Split), names, names, st.none() | names, st.booleans()
)
chosen = photos.map(lambda photo: replace(photo, split=Split.TRAIN, chosen=True))


@settings(deadline=None)
@given(st.lists(photos | chosen, min_size=1))
def test_splits_are_read_as_they_were_written(tmp_path_factory, photos):
    path = tmp_path_factory.getbasetemp() / "splits.csv"
    write_splits(path, photos)
    assert read_splits(path) == photos


def test_splits_csv_is_a_plain_table(tmp_path):
    photos = [
        AssignedPhoto(Path("a/1.jpg"), "hat, straw", Split.VAL, "ab12", "cd34"),
        AssignedPhoto(Path("a/2.jpg"), "vase", Split.TRAIN, "ab13", "cd35", "00123", present=False),
    ]
    write_splits(tmp_path / "splits.csv", photos)
    assert (tmp_path / "splits.csv").read_text() == (
        HEADER + 'a/1.jpg,"hat, straw",val,ab12,cd34,,true\na/2.jpg,vase,train,ab13,cd35,00123,false\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("image,label\na.jpg,hat\n", id="no splits"),
        pytest.param(HEADER + "a.jpg,hat,dev,ab,cd,,true\n", id="unknown split"),
        pytest.param(HEADER + "a.jpg,hat,train,ab,cd,,yes\n", id="neither present nor not"),
        pytest.param(HEADER + "a.jpg,hat,train,,cd,,true\n", id="no hash"),
        pytest.param(HEADER + "a.jpg,hat,train,ab,cd,,tr", id="torn in the last cell"),
    ],
)
def test_damaged_splits_are_refused_naming_the_file(tmp_path, text):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(
        DataError, match=r"splits of a run in .*splits\.csv, but could not read them: .*Correct the file"
    ):
        read_splits(path)


def test_what_holds_no_splits_is_refused_with_the_place(tmp_path):
    path = tmp_path / "splits.csv"
    with pytest.raises(DataError, match=r"splits\.csv"):
        read_splits(path)
    with pytest.raises(DataError, match=str(tmp_path)):
        read_splits(tmp_path)
    write_splits(path, [])
    with pytest.raises(DataError, match="no row"):
        read_splits(path)
    path.write_text(f"{HEADER}a.jpg,hat,train,1,g,,true\nb.jpg,hat,banana,2,h,,true\n")
    with pytest.raises(DataError, match=r"line 3 was changed after a training wrote it .*banana"):
        read_splits(path)
