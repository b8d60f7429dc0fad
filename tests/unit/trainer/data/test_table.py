"""Tables of products as labelled photos: columns, conditions, left-out rows."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.photo import decode_data_uri
from models.errors import DataError, ImageFault, InputError
from trainer.data.dataset import read_dataset, split_named
from trainer.data.table import TableRow, read_table
from trainer.request import TableOptions

ROWS = [
    {"sku": "A", "main_photo": "a/1.jpg", "colour": "red", "category": "dress"},
    {"sku": "A", "main_photo": "a/2.jpg", "colour": "red", "category": "dress"},
    {"sku": "B", "main_photo": "b.jpg", "colour": " blue ", "category": "dress"},
    {"sku": "C", "main_photo": "c.jpg", "colour": "", "category": "dress"},
    {"sku": "D", "main_photo": "d.jpg", "colour": "red", "category": "hat"},
    {"sku": "E", "main_photo": "", "colour": "blue", "category": "dress"},
]
ASKED = TableOptions(image_column="main_photo", label_column="colour")


@pytest.fixture
def table(tmp_path):
    """Writes rows as a table of a kind."""

    def written(kind, rows=ROWS):
        path = tmp_path / f"products.{kind}"
        if kind in {"csv", "tsv"}:
            lines = [list(rows[0]), *([("" if c is None else str(c)) for c in row.values()] for row in rows)]
            path.write_text("".join(("\t" if kind == "tsv" else ",").join(cells) + "\n" for cells in lines))
        elif kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return written


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "ndjson", "parquet"])
def test_named_columns_of_every_kind_are_photos_labels_and_products(table, tmp_path, kind):
    dataset = read_dataset(table(kind), replace(ASKED, group_column="sku"))
    assert dataset.classes == ("blue", "red")
    assert [(photo.path, photo.label, photo.product) for photo in dataset.photos] == [
        (tmp_path / "a/1.jpg", "red", "A"),
        (tmp_path / "a/2.jpg", "red", "A"),
        (tmp_path / "b.jpg", "blue", "B"),
        (tmp_path / "d.jpg", "red", "D"),
        (tmp_path / f"products.{kind}, row 6", "blue", "E"),
    ]
    assert (dataset.table.rows, dataset.table.rows_chosen, dataset.table.rows_without_label) == (6, 6, 1)
    assert dataset.table.notes == (
        "labels are in 'colour', photos in 'main_photo', products in 'sku'",
        "1 row has no label and is left out",
    )
    error = dataset.photos[-1].error
    assert (error.fault, str(error)) == (
        ImageFault.MISSING,
        f"Expected the path or the URL of a photo in row 6 of products.{kind}, found an empty cell.",
    )


def test_only_rows_that_meet_all_conditions_count(table, tmp_path):
    asked = replace(ASKED, where=("category = dress", "colour=blue"), image_root=str(tmp_path))
    rows, read = read_table(table("csv"), asked)
    assert rows == [TableRow(3, "b.jpg", " blue "), TableRow(6, "", "blue")]
    assert (read.where, read.image_root, read.rows_chosen) == (("category = dress", "colour=blue"), str(tmp_path), 2)
    assert read.notes[1] == "2 of 6 rows match category = dress and colour=blue"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_column": "photo"}, "'photo' in .*, found sku, main_photo, colour, category"),
        ({"group_column": "SKUs"}, r"'SKUs' \(--group-column\)"),
        ({"where": ("kind=dress",)}, r"'kind' \(--where\)"),
        ({"where": ("category=hat", "colour=blue")}, "category=hat and colour=blue"),
        ({"image_root": "/nowhere/at/all"}, "--image-root, .* /nowhere"),
    ],
)
def test_a_missing_column_or_row_is_named_with_the_existing_ones(table, changes, named):
    with pytest.raises(InputError, match=named):
        read_table(table("csv"), replace(ASKED, **changes))


def test_a_named_column_with_more_than_a_thousand_values_is_no_label(table):
    rows = [{"image": f"{n}.jpg", "label": f"{n}.99"} for n in range(1001)]
    with pytest.raises(DataError, match=r"'label' .* 1,001"):
        read_dataset(table("tsv", rows), TableOptions(label_column="label"))
    assert len(read_dataset(table("tsv", rows[1:]), TableOptions(label_column="label")).classes) == 1000
    assert len(read_dataset(table("tsv", rows)).classes) == 1001


def test_numbers_are_labels_as_a_csv_would_have_them_and_lists_are_none(table):
    rows = [{"image": "1.jpg", "size": 38.0, "tags": ["a"]}, {"image": "2.jpg", "size": 38.5, "tags": []}]
    rows += [{"image": "3.jpg", "size": float("nan"), "tags": []}, {"image": "4.jpg", "size": None, "tags": None}]
    path = table("parquet", rows)
    dataset = read_dataset(path, TableOptions(label_column="size"))
    assert dataset.classes == ("38", "38.5")
    assert dataset.table.rows_without_label == 2
    for kind in ("parquet", "jsonl"):
        with pytest.raises(DataError, match="'tags'"):
            read_dataset(table(kind, rows), TableOptions(label_column="tags"))


def test_a_folder_has_no_columns(tmp_path):
    with pytest.raises(DataError, match="folder"):
        read_dataset(tmp_path, ASKED)


@pytest.mark.parametrize("kind", ["record", "bytes"])
def test_a_data_set_of_hugging_face_has_photos_in_cells_and_names_of_classes(tmp_path, kind):
    data = [b"\xff\xd8hat", b"\xff\xd8lamp", b"\xff\xd8none"]
    photos = [{"bytes": one, "path": None} for one in data] if kind == "record" else data
    features = {"image": {"_type": "Image"}, "label": {"names": ["hat", "lamp"], "_type": "ClassLabel"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    rows = pa.table({"image": photos, "label": pa.array([1, 0, -1])}).replace_schema_metadata(about)
    pq.write_table(rows, tmp_path / "hf.parquet")
    dataset = read_dataset(tmp_path / "hf.parquet")
    assert [photo.label for photo in dataset.photos] == ["lamp", "hat"]
    assert [decode_data_uri(photo.cell) for photo in dataset.photos] == data[:2]
    assert dataset.table.rows_without_label == 1
    assert read_table(tmp_path / "hf.parquet", TableOptions(where=("label=hat",)))[0][0].label == "hat"


def test_photos_are_found_by_the_names_that_their_paths_mean(table, tmp_path):
    (tmp_path / "img").mkdir()
    for name in ("img/hat.jpg", "15970.jpg", "15971.jpg"):
        (tmp_path / name).touch()
    rows = [{"image": "img\\hat.jpg", "label": "hat"}, {"image": "15970", "label": "lamp"}]
    found, lost = read_dataset(table("csv", rows)).photos
    assert (found.path, found.error) == (tmp_path / "img/hat.jpg", None)
    assert lost.error.fault is ImageFault.MISSING
    assert str(lost.error).endswith("15970.jpg exists, so pass --image-suffix .jpg.")
    dataset = read_dataset(table("csv", rows), TableOptions(image_suffix=".jpg"))
    assert [photo.path for photo in dataset.photos] == [tmp_path / "img/hat.jpg", tmp_path / "15970.jpg"]


def test_a_column_is_named_with_blanks_around_it_or_without_in_training(tmp_path):
    (tmp_path / "a.csv").write_text("Gr\u00f6\u00dfe, image\nhat, a.jpg\nlamp, b.jpg\n")
    for name in ("Gr\u00f6\u00dfe", " Gro\u0308\u00dfe "):
        dataset = read_dataset(tmp_path / "a.csv", TableOptions(label_column=name))
        assert [photo.path for photo in dataset.photos] == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert "'image'" in dataset.notes[-1]


def test_columns_are_found_in_capitals_and_the_exact_name_first(tmp_path):
    (tmp_path / "t.csv").write_text("Image,Label,SPLIT,Group,group\na.jpg,hat,Train,x,1\nb.jpg,vase,Test,x,\n")
    rows, _ = read_table(tmp_path / "t.csv", TableOptions())
    assert rows == [TableRow(1, "a.jpg", "hat", "Train", "1"), TableRow(2, "b.jpg", "vase", "Test")]


NOTE = (
    "the column 'subset' is ignored, although it looks like splits (TRAIN, validation); to use it, rename it to split"
)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("cells", "asked", "note"),
    [
        (["TRAIN"] * 5000 + ["", "validation"], {}, (NOTE,)),
        (["TRAIN", "validation", "shop"], {}, ()),
        (["TRAIN", "training"], {}, ()),
        (["TRAIN", "validation"], {"where": ("subset=TRAIN",)}, ("1 of 2 rows match subset=TRAIN",)),
    ],
)
def test_a_column_of_splits_with_another_name_is_remarked(table, kind, cells, asked, note):
    rows = [
        {"image": f"{n}.jpg", "label": f"{n % 2}" if not asked else "ab"[n], "subset": c} for n, c in enumerate(cells)
    ]
    _, read = read_table(table(kind, rows), TableOptions(**asked), split_named)
    assert read.notes == note
