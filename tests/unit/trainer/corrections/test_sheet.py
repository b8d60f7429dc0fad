import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.errors import InputError
from trainer.corrections.importing import SheetOptions, read_sheet

NOW = datetime(2026, 6, 1, tzinfo=UTC)
A, B, C = "a" * 64, "b" * 64, "c" * 64
REVIEW = "row,image,label,confidence,sha256,model,reason,top_k"
ANNA = SheetOptions(reviewer="anna")


@pytest.fixture
def sheet(tmp_path: Path):
    def write(*lines: str) -> Path:
        path = tmp_path / "review.csv"
        path.write_text("\n".join([*lines, ""]))
        os.utime(path, (1_780_000_000, 1_780_000_000))
        return path

    return write


def said(words) -> list[tuple[str, str, str]]:
    return [(word.sha256, word.label, word.was) for word in words]


def test_of_a_review_csv_with_marks_only_marked_rows_speak(sheet) -> None:
    path = sheet(
        f"{REVIEW},corrected",
        f"1,1.jpg,boots,0.52,{A},shop 1.0,threshold,boots 0.52; hats 0.31,shoes",
        f"2,2.jpg,boots,0.53,{B},shop 1.0,threshold,boots 0.53,",
        f"3,3.jpg,'=hats,0.54,{C},shop 1.0,unknown,'=hats 0.54,'=hats",
    )
    read = read_sheet(path, ANNA, NOW)
    assert said(read.untimed) == [(A, "shoes", "boots"), (C, "=hats", "=hats")]
    assert (read.rows, read.silent, read.timed) == (3, 1, ())
    assert read.untimed[0].image == str(path.parent / "1.jpg")
    assert (read.untimed[0].model, read.untimed[0].reviewer) == ("shop 1.0", "anna")
    assert read.untimed[0].at == datetime.fromtimestamp(1_780_000_000, UTC).replace(tzinfo=UTC)


def test_of_a_review_csv_whose_labels_were_edited_the_edited_rows_speak(sheet) -> None:
    path = sheet(
        REVIEW,
        f"1,1.jpg,shoes,0.52,{A},m,threshold,boots 0.52; hats 0.31",
        f"2,2.jpg,tall boots,0.53,{B},m,threshold,tall boots 0.53; hats 0.20",
    )
    read = read_sheet(path, ANNA, NOW)
    assert said(read.untimed) == [(A, "shoes", "boots")]
    assert read.silent == 1


def test_rows_like_the_stores_keep_their_reviewers_and_times(sheet) -> None:
    path = sheet("sha256,label,was,reviewer,at", f"{A},shoes,boots,bob,2026-05-01T14:00:00+02:00", f"{B},hats,,,")
    read = read_sheet(path, ANNA, NOW)
    assert [(word.reviewer, word.at.isoformat()) for word in read.timed] == [("bob", "2026-05-01T12:00:00+00:00")]
    assert [(word.reviewer, word.label) for word in read.untimed] == [("anna", "hats")]


def test_a_prefix_an_image_column_and_an_image_root_are_heeded(sheet, tmp_path: Path) -> None:
    path = sheet("ht_row,main,ht_label,ht_sha256,ht_top_k,corrected", f"1,1.jpg,boots,{A},boots 0.52,shoes")
    options = SheetOptions("anna", image_column="main", image_root=tmp_path / "photos", prefix="ht_")
    (word,) = read_sheet(path, options, NOW).untimed
    assert (word.image, word.was) == (str(tmp_path / "photos" / "1.jpg"), "boots")


def test_a_photo_in_its_cell_is_known_by_its_bytes(sheet) -> None:
    assert read_sheet(sheet("image,sha256,label", f'"data:,x",{A},hats'), ANNA, NOW).untimed[0].image == ""
    with pytest.raises(InputError, match="row 1: expected the sha256"):
        read_sheet(sheet("image,label", '"data:,x",hats'), ANNA, NOW)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f",{A},,,anna,,", "expected a label"),
        (",,hats,,anna,,", "neither image nor sha256"),
        (",abc,hats,,anna,,", "64 hexadecimal digits, got 'abc'"),
        (f",{A},hats,,anna,,yesterday", "a time such as .* got 'yesterday'"),
        (f",{A},hats,,anna,,2027-01-01", "a time that has been"),
        (f",{A},hats,,anna,,0001-01-01T00:00:00+23:00", "a time such as"),
        (f',{A},"ha\nts",,anna,,', "a label of characters on one line"),
        (f",{A},hats,,,,", "expected a reviewer, got none; pass --reviewer"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_the_reason(sheet, row: str, reason: str) -> None:
    path = sheet("image,sha256,label,was,reviewer,model,at", f",{B},hats,,anna,,", row)
    with pytest.raises(InputError, match=f"a row cannot be used: none was imported(.|\n)*row 2: .*{reason}"):
        read_sheet(path, SheetOptions(), NOW)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image,name", "a column label or corrected in .*, found image, name"),
        ("name,label", "a column sha256, or one that names the photos in"),
    ],
)
def test_a_file_without_the_columns_is_refused(sheet, header: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_sheet(sheet(header, "a,b"), ANNA, NOW)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected corrections in a CSV file at .*, found none"):
        read_sheet(tmp_path / "none.csv", ANNA, NOW)
