import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest

from trainer.check.check_reports import write_check_csv
from trainer.check.checkup import UNUSABLE, find
from trainer.check.issues import Issue


@pytest.fixture
def written(tmp_path):
    """The rows of check.csv, each a dict."""

    def rows(checkup):
        path = tmp_path / "check.csv"
        write_check_csv(path, checkup, find(checkup))
        with path.open(newline="", errors="surrogateescape") as file:
            return list(csv.DictReader(file, strict=True))

    return rows


def test_the_columns_are_these(tmp_path, checkup):
    write_check_csv(tmp_path / "check.csv", checkup, find(checkup))
    header = (tmp_path / "check.csv").read_text().splitlines()[0].split(",")
    assert header[:12] == [
        *("image", "label", "split", "product", "sha256", "format", "width", "height", "bytes"),
        *("picture", "twin", "message"),
    ]
    assert header[12:] == [column for issue in Issue for column in (f"is_{issue}", f"{issue}_score")]


def test_every_row_has_every_column(written, checkup):
    rows = written(checkup)
    assert len(rows) == 12
    assert all(None not in row and None not in row.values() for row in rows)


def test_photos_come_in_order_and_then_the_files_that_are_none(written, checkup):
    assert [Path(row["image"]).name for row in written(checkup)] == [
        *("0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg", "7.png"),
        *("cut.jpg", "gone.jpg", "page.jpg", "x.txt"),
    ]


def test_a_usable_photo(written, checkup):
    row = written(checkup)[0]
    known = {name: row[name] for name in row if not name.startswith("is_") and not name.endswith("_score")}
    assert known == {
        "image": "hat/0.jpg",
        "label": "hat",
        "split": "train",
        "product": "H1",
        "sha256": "sha0",
        "format": "JPEG",
        "width": "400",
        "height": "300",
        "bytes": "20000",
        "picture": "0",
        "twin": "hat/1.jpg",
        "message": "",
    }
    assert {name for name in row if row[name] == "true"} == {"is_exact_duplicate", "is_near_duplicate"}
    assert row["exact_duplicate_score"] == "0.0000"
    assert row["near_duplicate_score"] == "0.0000"
    assert row["dark_score"] == "0.9000"
    assert row["leak_score"] == "1.0000"


def test_a_photo_without_twin_and_split(written, checkup):
    row = written(checkup)[7]
    assert (row["twin"], row["split"], row["product"]) == ("", "", "")
    assert {name for name in row if row[name] == "true"} == {"is_dark", "is_placeholder", "is_wrong_extension"}


def test_a_file_that_is_none(written, checkup):
    cut, gone, page, stray = written(checkup)[8:]
    assert cut["message"] == "The file ends too early; fetch it."
    assert (cut["label"], cut["split"], cut["sha256"], cut["format"], cut["picture"]) == ("hat", "train", "", "", "")
    for row, issue in ((cut, "truncated"), (gone, "missing"), (page, "unsupported"), (stray, "wrong_extension")):
        assert {name for name in row if row[name] == "true"} == {f"is_{issue}"}
        assert {name: row[name] for name in row if name.endswith("_score") and row[name]} == {
            f"{issue}_score": "0.0000"
        }


def test_flags_are_words_and_scores_numbers(written, checkup):
    for row in written(checkup):
        assert {row[f"is_{issue}"] for issue in Issue} <= {"true", "false"}
        scores = [row[f"{issue}_score"] for issue in Issue]
        assert all(0 <= float(score) <= 1 for score in scores if score)


def test_a_usable_photo_has_every_score_but_those_of_files_that_are_none(written, checkup):
    row = written(checkup)[0]
    assert {issue for issue in Issue if not row[f"{issue}_score"]} == set(UNUSABLE)


@pytest.mark.parametrize(
    "name", ["a,b.jpg", 'a"b.jpg', "a\nb.jpg", "a\rb.jpg", "béret-帽子.jpg", os.fsdecode(b"b\xe9ret.jpg")]
)
def test_any_name_comes_back(written, checkup, name):
    first, *others = checkup.looked.photos
    odd = replace(first, path=Path("/shop/hat", name), label=name)
    rows = written(replace(checkup, looked=replace(checkup.looked, photos=(odd, *others))))
    assert (rows[0]["image"], rows[0]["label"], rows[1]["twin"]) == (f"hat/{name}", name, f"hat/{name}")
