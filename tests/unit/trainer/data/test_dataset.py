import os
from pathlib import Path

import pytest

from models.errors import DataError, ExitCode, InputError
from models.photo import NONE
from trainer.data.dataset import LabeledPhoto, Split, read_dataset


@pytest.fixture
def lay(tmp_path):
    """Lays empty files out; what is in a file does not matter yet when a dataset is read."""

    def lay_files(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return lay_files


@pytest.fixture
def csv_file(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "shop" / "products.csv"
        path.parent.mkdir()
        path.write_bytes(text.encode(encoding))
        return path

    return write


def found(dataset, root):
    return {(photo.path.relative_to(root).as_posix(), photo.label, photo.split) for photo in dataset.photos}


def test_a_folder_is_a_class(lay):
    root = lay("hat/1.jpg", "hat/summer/straw/2.PNG", "vase/1.webp", "Clock/1.jpg")
    dataset = read_dataset(root)
    assert found(dataset, root) == {
        *(("hat/1.jpg", "hat", None), ("hat/summer/straw/2.PNG", "hat", None)),
        *(("vase/1.webp", "vase", None), ("Clock/1.jpg", "Clock", None)),
    }
    assert (dataset.classes, dataset.excluded) == (("Clock", "hat", "vase"), ())


@pytest.mark.parametrize("name", ["val", "valid", "validation", "VALID", "Validation"])
def test_split_folders_say_what_each_photo_is_for(lay, name):
    root = lay("train/hat/1.jpg", "train/vase/1.jpg", f"{name}/hat/2.jpg", "test/vase/3.jpg")
    assert found(read_dataset(root), root) == {
        ("train/hat/1.jpg", "hat", Split.TRAIN),
        ("train/vase/1.jpg", "vase", Split.TRAIN),
        (f"{name}/hat/2.jpg", "hat", Split.VAL),
        ("test/vase/3.jpg", "vase", Split.TEST),
    }


def test_split_folders_without_a_train_folder_are_not_taken_for_classes(lay):
    root = lay("val/hat/1.jpg", "val/vase/1.jpg", "test/hat/2.jpg", "test/vase/2.jpg")
    assert read_dataset(root).classes == ("hat", "vase")


@pytest.mark.parametrize("hidden", [".cache/1.jpg", "hat/.DS_Store", "hat/._1.jpg", "hat/.ipynb_checkpoints/1.jpg"])
def test_what_is_hidden_is_no_photo_and_not_worth_a_word(lay, hidden):
    root = lay("hat/1.jpg", "vase/1.jpg", hidden)
    dataset = read_dataset(root)
    assert found(dataset, root) == {("hat/1.jpg", "hat", None), ("vase/1.jpg", "vase", None)}
    assert dataset.excluded == ()


def test_files_that_are_none_of_the_photos_are_set_aside_and_said(lay):
    root = lay("hat/1.jpg", "vase/1.jpg", "hat/notes.txt", "vase/deep/catalogue", "cover.jpg")
    excluded = read_dataset(root).excluded
    assert {(e.path.relative_to(root).as_posix(), e.reason) for e in excluded} == {
        *(("hat/notes.txt", "not_an_image"), ("vase/deep/catalogue", "not_an_image"), ("cover.jpg", "no_class")),
    }


@pytest.mark.parametrize("name", ["va\nse", os.fsdecode(b"b\xff")])
def test_a_class_name_that_no_file_could_hold_is_refused(lay, name):
    with pytest.raises(DataError, match="class names"):
        read_dataset(lay("hat/1.jpg", f"{name}/1.jpg"))


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (("1.jpg", "2.jpg"), "no class folder"),
        ((), "found none"),
        (("hat/notes.txt", "vase/notes.txt"), "found none"),
        (("hat/1.jpg", "hat/2.jpg"), "found one: hat"),
        (("_none/1.jpg",), "_none is no class"),
        (("_none/1.jpg", "hat/1.jpg"), "found one: hat"),
        (("train/hat/1.jpg", "train/vase/1.jpg", "hat/1.jpg", "backup/vase/1.jpg"), "found backup, hat"),
        (("train/hat/1.jpg", "train/vase/1.jpg", "_none/1.jpg"), r"into \S*/train/_none\."),
    ],
)
def test_a_folder_without_two_classes_of_photos_is_refused(lay, names, named):
    with pytest.raises(DataError, match=named):
        read_dataset(lay(*names))


@pytest.mark.parametrize("name", ["nowhere", "photos.zip"])
def test_a_path_that_is_neither_folder_nor_table_is_refused_as_a_wrong_option(lay, name):
    root = lay("photos.zip")
    with pytest.raises(DataError, match=name) as caught:
        read_dataset(root / name)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("cells", "splits"),
    [
        ("train VAL valid Validation test", [Split.TRAIN, Split.VAL, Split.VAL, Split.VAL, Split.TEST]),
        (" ", [None, None]),
        ("test ", [Split.TEST, None]),
    ],
    ids=["in any spelling", "left empty", "some, and others left to the earlier training"],
)
def test_csv_may_give_splits(csv_file, cells, splits):
    rows = [f"{i}.jpg,{('hat', 'vase')[i % 2]},{cell}\n" for i, cell in enumerate(cells.split(" "))]
    assert [photo.split for photo in read_dataset(csv_file("image,label,split\n" + "".join(rows))).photos] == splits


@pytest.mark.parametrize(
    ("column", "rows", "named"),
    [
        (",split", ["1.jpg,hat,train", "2.jpg,vase,dev"], "row 2 of .*'dev'"),
        (",sha256", [f"1.jpg,hat,{'ab' * 32}", "2.jpg,vase,ff00"], "row 2 of .*'ff00'"),
        ("", [], "products.csv"),
    ],
)
def test_a_csv_with_a_wrong_cell_or_without_rows_is_refused(csv_file, column, rows, named):
    with pytest.raises(InputError, match=named):
        read_dataset(csv_file("\n".join([f"image,label{column}", *rows, ""])))


def test_a_folder_of_photos_without_a_product_is_no_class(lay):
    root = lay("train/hat/1.jpg", "train/vase/1.jpg", "train/_none/1.jpg", "train/_nones/1.jpg", "test/_none/2.jpg")
    dataset = read_dataset(root)
    assert {("train/_none/1.jpg", NONE, Split.TRAIN), ("test/_none/2.jpg", NONE, Split.TEST)} <= found(dataset, root)
    assert dataset.classes == ("_nones", "hat", "vase")


def test_a_csv_names_paths_labels_products_splits_and_digests(csv_file):
    """With a byte order mark, quotes, another column, and blanks."""
    path = csv_file(
        "\ufeffprice,label,image,group,split,sha256\r\n"
        f'9,"hat, straw","a,b.jpg", 00123 ,test,{"aB" * 32}\r\n9,vase,../2.jpg,  ,Open,\r\n9,_none,/srv/3.jpg,,,\r\n'
        "9,vase,/srv/4.jpg,,,\r\n"
    )
    dataset = read_dataset(path)
    assert dataset.photos == (
        LabeledPhoto(path.parent / "a,b.jpg", "hat, straw", Split.TEST, "00123", sha256="ab" * 32),
        LabeledPhoto(path.parent / ".." / "2.jpg", "vase", open=True),
        LabeledPhoto(Path("/srv/3.jpg"), NONE),
        LabeledPhoto(Path("/srv/4.jpg"), "vase"),
    )
    assert dataset.classes == ("hat, straw", "vase")
