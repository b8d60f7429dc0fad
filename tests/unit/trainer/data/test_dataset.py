import os
from pathlib import Path

import pytest

from models.errors import DataError, InputError
from models.photo import NONE
from trainer.data.dataset import LabeledPhoto, Split, read_dataset, split_named


@pytest.fixture
def lay(tmp_path):
    """Makes empty files: reading a dataset does not read the photos."""

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


NAMES = {
    Split.TRAIN: ("train", "Training", "TRAINING_SET", "train-images", "train2017", "trainset", "01 train"),
    Split.VAL: ("val", "Valid", "validation_set", "dev", "VALIDATE", "valide", "val_data"),
    Split.TEST: ("Test", "Testing", "test_set", "test-photos", "TestImages", "hold-out", "tests", "eval", "Evaluation"),
    None: ("trainers", "testers", "valentine", "medieval", "device", "contest", "", "model-train", "dataset" * 50),
}


def test_names_of_splits():
    assert {
        split: tuple(name for name in names if split_named(name) is split) for split, names in NAMES.items()
    } == NAMES


def test_splits_have_many_names_and_a_folder_around_them(lay):
    photos = ("archive/images/Training/Training/hat/1.jpg", "archive/images/Test set/vase/1.jpg")
    root = lay(*photos, "__MACOSX/._1.jpg", "archive/labels/1.txt", "read.me")
    dataset = read_dataset(root)
    assert found(dataset, root) == {
        ("archive/images/Training/Training/hat/1.jpg", "hat", Split.TRAIN),
        ("archive/images/Test set/vase/1.jpg", "vase", Split.TEST),
    }
    assert dataset.notes == (
        "splits are read from archive, the only folder with photos",
        "splits are read from images, the only folder with photos",
    )
    assert [(one.path.name, one.reason) for one in dataset.excluded] == [
        ("read.me", "no_class"),
        ("1.txt", "not_an_image"),
    ]


@pytest.mark.parametrize("around", ["", "data/"])
def test_splits_may_be_inside_classes(lay, around):
    names = ("hat/train/1.jpg", "hat/Testing/2.jpg", "vase/train/1.jpg", "vase/valid/big/3.jpg")
    root = lay(*(around + name for name in names))
    splits = {
        photo.path.parts[len(root.parts + Path(around).parts) :][1]: photo.split for photo in read_dataset(root).photos
    }
    assert splits == {"train": Split.TRAIN, "Testing": Split.TEST, "valid": Split.VAL}
    assert read_dataset(root).classes == ("hat", "vase")
    assert read_dataset(root).notes[-1] == "splits are read from inside the classes, such as hat/Testing"


@pytest.mark.parametrize(
    ("files", "such"),
    [
        ("clothing/hat/1.jpg clothing/dress/1.jpg home/lamp/1.jpg", "clothing, such as clothing/dress,"),
        ("train/hat/old/1.jpg train/vase/1.jpg test/hat/old/2.jpg", "hat, such as hat/old,"),
        ("hat/images/1.jpg vase/images/1.jpg", "hat, such as hat/images,"),
    ],
)
def test_folders_inside_classes_are_remarked(lay, files, such):
    assert read_dataset(lay(*files.split())).notes == (f"folders inside {such} are not separate classes",)


@pytest.mark.parametrize("first", ["fold_1/hat", "fold_1/Hat"])
def test_inner_folders_that_may_be_the_classes_are_remarked(lay, first):
    root = lay(f"{first}/1.jpg", *(f"fold_2/{name}/1.jpg" for name in ("hat", "vase")))
    (note,) = read_dataset(root).notes
    assert note.startswith(f"{first} and fold_2/hat belong to two classes; to use")


def test_a_table_may_name_a_class_like_a_split_but_not_all_of_them(csv_file):
    path = csv_file("image,label\n1.jpg,train\n2.jpg,car\n")
    assert read_dataset(path).classes == ("car", "train")
    path.write_text("image,label\n1.jpg,train\n2.jpg,test\n")
    with pytest.raises(DataError, match="found only splits: test, train; choose another --label-column"):
        read_dataset(path)


OF_SYSTEMS = (
    "__MACOSX/hat/._1.jpg",
    "@__thumb/1.jpg",
    "@eaDir/1.jpg",
    "$RECYCLE.BIN/1.jpg",
    "System Volume Information/1.jpg",
)


HIDDEN = (".cache/1.jpg", "train/hat/.DS_Store", "train/hat/._1.jpg", "train/hat/.ipynb_checkpoints/1.jpg")


def test_files_of_operating_systems_are_ignored(lay):
    strays = ("train/@eaDir/1.jpg", "train/hat/@eaDir/1.jpg", "train/hat/Thumbs.db")
    root = lay("train/hat/1.jpg", "train/vase/1.jpg", *OF_SYSTEMS, *HIDDEN, *strays)
    dataset = read_dataset(root)
    assert (len(dataset.photos), dataset.classes, dataset.excluded) == (2, ("hat", "vase"), ())


COMPOSED, DECOMPOSED = "H\u00fcte", "Hu\u0308te"


@pytest.mark.parametrize("other", [DECOMPOSED, f"{COMPOSED} "])
def test_labels_that_differ_in_blanks_or_normal_form_are_one_class(lay, csv_file, other):
    one_class = (
        f"2 spellings of {COMPOSED!r} count as one class: they differ only in blanks at the ends or in Unicode "
        "normalization",
    )
    folder = read_dataset(lay(f"train/{COMPOSED}/1.jpg", f"test/{other}/1.jpg", "train/vase/1.jpg"))
    table = csv_file(f"image,label,group\n1.jpg,{COMPOSED},{COMPOSED}\n2.jpg,{other},{other}\n3.jpg,vase,\n")
    for dataset in (read_dataset(table), folder):
        assert (dataset.classes, dataset.notes) == ((COMPOSED, "vase"), one_class)
    assert {photo.product for photo in read_dataset(table).photos} == {COMPOSED, None}


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        ("Hat hat HAT", "'HAT', 'Hat', 'hat' are different classes"),
        ("lamp lamps", "'lamp', 'lamps' are different classes"),
        ("t-shirt T_Shirts", "'T_Shirts', 't-shirt' are different classes"),
        ("hat _None", "'_none', '_None' are different classes"),
        ("hat|red hat|blue", "2 class names hold '|', such as 'hat|blue'"),
        ("hat;red vase", "1 class name holds ';', such as 'hat;red'"),
        ("hat/red hat", "1 class name holds '/', such as 'hat/red'"),
        ("tops/blouses hat", None),
        ("S XS bus xs", "'XS', 'xs' are different classes"),
        ("AC/DC 👗 👟", None),
    ],
)
def test_labels_that_look_alike_or_share_a_cell_are_remarked(csv_file, labels, note):
    path = csv_file("image,label\n" + "".join(f"{n}.jpg,{label}\n" for n, label in enumerate(labels.split())))
    dataset = read_dataset(path)
    assert len(dataset.classes) == len(labels.split())
    assert [line[: len(note or "")] for line in dataset.notes] == ([note] if note else [])


def test_split_folders_without_a_train_folder_are_not_taken_for_classes(lay):
    root = lay("val/hat/1.jpg", "val/vase/1.jpg", "test/hat/2.jpg", "test/vase/2.jpg")
    assert read_dataset(root).classes == ("hat", "vase")


def test_files_that_are_not_photos_are_set_aside_and_reported(lay):
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
        (("1.jpg", "2.jpg"), "outside of class folders"),
        ((), "found none"),
        (("hat/notes.txt", "vase/notes.txt"), "found none"),
        (("hat/1.jpg", "hat/2.jpg"), "found one: hat"),
        (("_none/1.jpg",), "_none is not a class"),
        (("_none/1.jpg", "hat/1.jpg"), "found one: hat"),
        (
            ("train/hat/1.jpg", "train/vase/1.jpg", "hat/1.jpg", "backup/vase/1.jpg"),
            "found backup, hat; move them away",
        ),
        (("hat/1.jpg", "vase/1.jpg", "Test/1.jpg"), r"next to \S*/Test, found hat, vase; move them into \S*/train, or"),
        (("train/hat/1.jpg", "train/vase/1.jpg", "train/val/1.jpg"), "found val, which look like splits"),
        (
            ("seg_train/hat/1.jpg", "seg_test/hat/1.jpg", "seg_pred/1.jpg"),
            "found seg_test, seg_train, which look like splits",
        ),
        (("trainA/1.jpg", "testA/1.jpg", "trainB/1.jpg", "testB/1.jpg"), "found testA, testB, trainA, trainB, which"),
        (("seg_train/hat/1.jpg", "seg_eval/hat/1.jpg"), "found seg_eval, seg_train, which look like splits"),
        (
            ("learning/hat/1.jpg", "learning/vase/1.jpg", "eval/hat/1.jpg"),
            r"next to \S*/eval, found learning; move them",
        ),
        (("hat/1.jpg", "hat/test/2.jpg", "vase/1.jpg"), r"like \S*/hat/test/2.jpg, but \S*/hat/1.jpg is outside"),
        (("hat/train/1.jpg", "vase/1.jpg"), r"but \S*/vase/1.jpg is outside"),
        (("train/hat/1.jpg", "train/vase/1.jpg", "_none/1.jpg"), r"into \S*/train/_none\."),
    ],
)
def test_a_folder_without_two_classes_of_photos_is_refused(lay, names, named):
    with pytest.raises(DataError, match=named):
        read_dataset(lay(*names))


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
        (",split", ["1.jpg,hat,train", "2.jpg,vase,north"], "of train, val, test, open, learn in row 2 of .*'north'"),
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
