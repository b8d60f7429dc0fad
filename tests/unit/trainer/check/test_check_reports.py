import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from models.photo import NONE
from trainer.check.check_reports import (
    check_summary,
    doubt_sentences,
    json_of,
    strict_faults,
    write_check_csv,
)
from trainer.check.checkup import Faulty, Issue
from trainer.data.dataset import LabeledPhoto, Split
from trainer.data.photo_files import FaultKind, PhotoFault

GOLDEN = Path(__file__).with_name("check.json")
LATIN_1 = os.fsdecode(b"b\xe9ret")


def test_the_format_on_disk_is_this_one(checkup):
    golden = json.dumps(json.loads(GOLDEN.read_text()), indent=1, ensure_ascii=False)
    assert json_of(check_summary(checkup, Path("/shop"), 1.23456)) == golden


def test_what_strict_does_not_let_pass(checkup):
    assert strict_faults(checkup) == {"missing": 1, "truncated": 1, "unsupported": 1, "label_conflict": 2, "leak": 3}
    sound = replace(
        checkup,
        scanned=replace(checkup.scanned, faulty=()),
        relations=replace(checkup.relations, conflicts=(), leaks=()),
    )
    assert strict_faults(sound) == {}


def test_names_that_are_no_utf8_can_be_written_as_json(checkup):
    first, *others = checkup.scanned.photos
    odd = LabeledPhoto(Path("/shop", LATIN_1, f"{LATIN_1}.png"), LATIN_1, first.split)
    gone = PhotoFault(FaultKind.MISSING, f"Nothing at {odd.path}.")
    named = replace(checkup, scanned=replace(checkup.scanned, photos=(odd, *others), faulty=(Faulty(odd, gone),)))
    read = json.loads(json_of(check_summary(named, odd.path.parent, 1.0)).encode())
    assert read["data"] == r"/shop/b\xe9ret"
    assert read["bad_files"][0]["image"] == r"/shop/b\xe9ret/b\xe9ret.png"
    assert read["bad_files"][0]["message"] == r"Nothing at /shop/b\xe9ret/b\xe9ret.png."


@pytest.fixture
def written(tmp_path):
    """The rows of check.csv, each a dict."""

    def rows(checkup):
        path = tmp_path / "check.csv"
        write_check_csv(path, checkup)
        with path.open(newline="", errors="surrogateescape") as file:
            return list(csv.DictReader(file, strict=True))

    return rows


def test_rows_are_usable_photos_in_order_and_then_other_files(written, checkup):
    rows = written(checkup)
    assert [Path(row["image"]).name for row in rows] == [
        *("0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg", "7.png"),
        *("cut.jpg", "gone.jpg", "page.jpg", "x.txt"),
    ]
    named = "image", "label", "split", "product", "sha256", "format", "width", "height", "bytes", "picture", "twin"
    assert tuple(rows[0])[:12] == (*named, "message")
    first = "hat/0.jpg", "hat", "train", "H1", "sha0", "JPEG", "400", "300", "20000", "0", "hat/1.jpg"
    assert tuple(rows[0][name] for name in named) == first
    assert list(rows[0])[12:] == [column for issue in Issue for column in (f"is_{issue}", f"{issue}_score")]
    assert {name for name in rows[0] if rows[0][name] == "true"} == {"is_exact_duplicate", "is_near_duplicate"}
    assert (rows[0]["exact_duplicate_score"], rows[0]["dark_score"]) == ("0.0000", "0.9000")
    cut = rows[8]
    assert cut["message"] == "The file ends too early; fetch it."
    assert (cut["label"], cut["split"], cut["sha256"], cut["format"], cut["picture"]) == ("hat", "train", "", "", "")
    for row, issue in zip(rows[8:], ("truncated", "missing", "unsupported", "wrong_extension"), strict=True):
        assert {name for name in row if row[name] == "true"} == {f"is_{issue}"}
        assert {name for name in row if name.endswith("_score") and row[name]} == {f"{issue}_score"}


def test_photos_without_a_product_are_counted_and_make_no_class(checkup):
    """A size chart has a hat's product number; that is no conflict."""
    photos = list(checkup.scanned.photos)
    photos[3] = LabeledPhoto(Path("/shop/_none/3.jpg"), NONE, Split.TRAIN, "H1")
    found = replace(checkup, scanned=replace(checkup.scanned, photos=tuple(photos)))
    summary = check_summary(found, Path("/shop"), 1.0)
    assert (summary["usable"], summary["classes"]) == (8, {"hat": 4, "scarf": 0, "shoe": 3})
    assert not any("product" in doubt for doubt in doubt_sentences(found))
