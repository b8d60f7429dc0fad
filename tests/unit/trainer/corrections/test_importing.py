import csv
import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.errors import InputError
from tests.unit.trainer.test_run import ARGS
from tests.unit.worker.job.test_job import SPEC
from trainer.corrections.commands import import_command
from trainer.corrections.importing import ImportOptions, import_corrections, read_review
from trainer.corrections.store import CorrectionStore
from trainer.run import Run
from worker.job.spec import Question

NOW = datetime(2026, 6, 1, tzinfo=UTC)
A, B, C = "a" * 64, "b" * 64, "c" * 64
REVIEW = "row,image,label,confidence,sha256,model,reason,top_k"
ANNA = ImportOptions(reviewer="anna")


@pytest.fixture
def sheet(tmp_path: Path):
    def write(*lines: str) -> Path:
        path = tmp_path / "review.csv"
        path.write_text("\n".join([*lines, ""]))
        os.utime(path, (1_780_000_000, 1_780_000_000))
        return path

    return write


def said(votes) -> list[tuple[str, str, str]]:
    return [(vote.sha256, vote.label, vote.was) for vote in votes]


def test_of_a_review_csv_with_marks_only_marked_rows_speak(sheet) -> None:
    path = sheet(
        f"{REVIEW},corrected",
        f"1,1.jpg,boots,0.52,{A},shop 1.0,threshold,boots 0.52; hats 0.31,shoes",
        f"2,2.jpg,boots,0.53,{B},shop 1.0,threshold,boots 0.53,",
        f"3,3.jpg,'=hats,0.54,{C},shop 1.0,unknown,'=hats 0.54,'=hats",
    )
    read = read_review(path, ANNA, NOW)
    assert said(read.untimed) == [(A, "shoes", "boots"), (C, "=hats", "=hats")]
    assert (read.rows, read.silent, read.timed) == (3, 1, ())
    assert read.untimed[0].image == str(path.parent / "1.jpg")
    assert (read.untimed[0].model, read.untimed[0].reviewer) == ("shop 1.0", "anna")
    assert read.untimed[0].at == datetime.fromtimestamp(1_780_000_000, UTC).replace(tzinfo=UTC)


FILLED = "row,correct_label,label,confidence,reason,top_k,thumbnail,image,price,sha256,model"


@pytest.mark.parametrize("excel", [False, True])
def test_of_a_review_csv_whose_correct_label_was_filled_the_filled_rows_speak(sheet, *, excel: bool) -> None:
    path = sheet(
        FILLED,
        f"1,shoes,boots,0.52,threshold,boots 0.52; hats 0.31,/p/1.jpg,1.jpg,9,{A},shop 1.0",
        f"2,,boots,0.53,threshold,boots 0.53,/p/2.jpg,2.jpg,9,{B},shop 1.0",
        f"3,boots,boots,0.54,unknown,boots 0.54,/p/3.jpg,3.jpg,9,{C},shop 1.0",
        f"4,,gloves,0.54,unknown,hats 0.54,/p/4.jpg,4.jpg,9,{'d' * 64},shop 1.0",
    )
    if excel:
        rows = [*csv.reader(path.read_text().splitlines()), [""] * 11]
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file, delimiter=";", lineterminator="\r\n").writerows(rows)
    read = read_review(path, ANNA, NOW)
    assert said(read.untimed) == [(A, "shoes", "boots"), (C, "boots", "boots"), ("d" * 64, "gloves", "hats")]
    assert read.silent == (2 if excel else 1)


def test_a_review_csv_that_was_moved_still_says_where_its_photos_are(sheet, tmp_path: Path) -> None:
    path = sheet(
        FILLED,
        f"1,hats,boots,0.52,threshold,boots 0.52,/photos/1.jpg,1.jpg,9,{A},m",
        f"2,hats,boots,0.52,threshold,boots 0.52,https://cdn.example/p/2.jpg,2.jpg,9,{B},m",
        f'3,hats,boots,0.52,threshold,boots 0.52,,"data:,x",9,{C},m',
    )
    places = ["/photos/1.jpg", "https://cdn.example/p/2.jpg", ""]
    assert [vote.image for vote in read_review(path, ANNA, NOW).untimed] == places
    asked = replace(ANNA, image_root=tmp_path / "here")
    assert read_review(path, asked, NOW).untimed[0].image == str(tmp_path / "here" / "1.jpg")
    asked = replace(asked, image_column="thumbnail")
    assert read_review(path, asked, NOW).untimed[0].image == "/photos/1.jpg"


def test_a_column_that_was_added_as_before_there_was_one_still_counts(sheet) -> None:
    path = sheet(
        f"{FILLED},corrected",
        f"1,,boots,0.52,threshold,boots 0.52,/p/1.jpg,1.jpg,9,{A},shop 1.0,shoes",
        f"2,,gloves,0.53,threshold,boots 0.53,/p/2.jpg,2.jpg,9,{B},shop 1.0,",
    )
    assert said(read_review(path, ANNA, NOW).untimed) == [(A, "shoes", "boots")]


def test_of_a_review_csv_whose_labels_were_edited_the_edited_rows_speak(sheet) -> None:
    path = sheet(
        REVIEW,
        f"1,1.jpg,shoes,0.52,{A},m,threshold,boots 0.52; hats 0.31",
        f"2,2.jpg,tall boots,0.53,{B},m,threshold,tall boots 0.53; hats 0.20",
    )
    read = read_review(path, ANNA, NOW)
    assert said(read.untimed) == [(A, "shoes", "boots")]
    assert read.silent == 1


def test_rows_like_the_stores_keep_their_reviewers_and_times(sheet) -> None:
    path = sheet("sha256,label,was,reviewer,at", f"{A},shoes,boots,bob,2026-05-01T14:00:00+02:00", f"{B},hats,,,")
    read = read_review(path, ANNA, NOW)
    assert [(vote.reviewer, vote.at.isoformat()) for vote in read.timed] == [("bob", "2026-05-01T12:00:00+00:00")]
    assert [(vote.reviewer, vote.label) for vote in read.untimed] == [("anna", "hats")]


def test_a_prefix_an_image_column_and_an_image_root_are_heeded(sheet, tmp_path: Path) -> None:
    path = sheet("ht_row,main,ht_label,ht_sha256,ht_top_k,corrected", f"1,1.jpg,boots,{A},boots 0.52,shoes")
    options = ImportOptions("anna", image_column="main", image_root=tmp_path / "photos", prefix="ht_")
    (vote,) = read_review(path, options, NOW).untimed
    assert (vote.image, vote.was) == (str(tmp_path / "photos" / "1.jpg"), "boots")


def test_a_photo_in_its_cell_is_known_by_its_bytes(sheet) -> None:
    assert read_review(sheet("image,sha256,label", f'"data:,x",{A},hats'), ANNA, NOW).untimed[0].image == ""
    with pytest.raises(InputError, match="row 1: expected the sha256"):
        read_review(sheet("image,label", '"data:,x",hats'), ANNA, NOW)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f",{A},,,anna,,", "expected a label"),
        (",,hats,,anna,,", "neither image nor sha256"),
        (",abc,hats,,anna,,", "64 hexadecimal digits, got 'abc'"),
        (f",{A},hats,,anna,,yesterday", "a time such as .* got 'yesterday'"),
        (f",{A},hats,,anna,,2027-01-01", "a time in the past"),
        (f",{A},hats,,anna,,0001-01-01T00:00:00+23:00", "a time such as"),
        (f',{A},"ha\nts",,anna,,', "a label of characters on one line"),
        (f",{A},hats,,,,", "expected a reviewer, got none; pass --reviewer"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_the_reason(sheet, row: str, reason: str) -> None:
    path = sheet("image,sha256,label,was,reviewer,model,at", f",{B},hats,,anna,,", row)
    with pytest.raises(InputError, match=f"a row cannot be used: none was imported(.|\n)*row 2: .*{reason}"):
        read_review(path, ImportOptions(), NOW)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image,name", "a column label or correct_label in .*, found image, name"),
        ("name,label", "a column sha256, or one that names the photos in"),
    ],
)
def test_a_file_without_the_columns_is_refused(sheet, header: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_review(sheet(header, "a,b"), ANNA, NOW)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected corrections in a CSV file at .*, found none"):
        read_review(tmp_path / "none.csv", ANNA, NOW)


def imported(folder: Path, text: str, **options):
    (folder / "file.csv").write_text(text)
    return import_corrections(
        folder / "file.csv", CorrectionStore(folder / "corrections.csv"), ImportOptions(reviewer="anna", **options)
    )


def test_a_vote_that_names_a_path_gets_the_sha256_of_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"one")
    done = imported(tmp_path, "image,label\nphotos/1.jpg,hats\nphotos/2.jpg,boots\n")
    first, second = sorted(done.added.votes, key=lambda vote: vote.image)
    assert (first.sha256, first.image) == (hashlib.sha256(b"one").hexdigest(), str(tmp_path / "photos" / "1.jpg"))
    assert (second.sha256, done.pathbound) == ("", 1)


def shop_photos(folder: Path) -> str:
    """Two photos under ``photos``; returns rows of a ``review.csv`` about them."""
    (folder / "photos").mkdir()
    rows = []
    for name in ("1.jpg", "2.jpg"):
        (folder / "photos" / name).write_bytes(name.encode())
        rows.append(f"{name},{hashlib.sha256(name.encode()).hexdigest()},hats\n")
    return "image,sha256,corrected\n" + "".join(rows)


def places(folder: Path) -> list[Path | None]:
    return sorted(vote.path for vote in CorrectionStore(folder / "corrections.csv").votes())


def test_paths_that_lead_to_no_file_are_told_and_the_right_root_repairs_them_once(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    wrong = imported(tmp_path, text)
    assert wrong.lost == (str(tmp_path / "1.jpg"), str(tmp_path / "2.jpg"))
    right = imported(tmp_path, text, image_root=tmp_path / "photos")
    assert (right.lost, right.added.votes, right.added.known, right.added.repaired) == ((), (), 2, 2)
    assert places(tmp_path) == [tmp_path / "photos" / "1.jpg", tmp_path / "photos" / "2.jpg"]
    again = imported(tmp_path, text, image_root=tmp_path / "photos")
    assert (again.added.votes, again.added.known, again.added.repaired) == ((), 2, 0)


def test_a_path_that_leads_nowhere_or_to_another_photo_replaces_none_that_leads_to_its_photo(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    imported(tmp_path, text, image_root=tmp_path / "photos")
    (tmp_path / "1.jpg").write_bytes(b"another photo")
    worse = imported(tmp_path, text)
    assert (worse.added.votes, worse.added.repaired) == ((), 0)
    assert places(tmp_path) == [tmp_path / "photos" / "1.jpg", tmp_path / "photos" / "2.jpg"]


@pytest.mark.parametrize("order", list(permutations(["a", "photos", "b"])))
def test_in_whatever_order_roots_are_tried_the_votes_are_the_same(tmp_path: Path, order: tuple[str, ...]) -> None:
    head, *rows = shop_photos(tmp_path).splitlines()
    text = "\n".join([f"{head},at", *(f"{row},2026-05-01" for row in rows)])
    for root in order:
        imported(tmp_path, text, image_root=tmp_path / root)
    assert places(tmp_path) == [tmp_path / "photos" / "1.jpg", tmp_path / "photos" / "2.jpg"]


def test_paths_start_where_the_job_beside_the_file_says(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    (tmp_path / "job.json").write_text(
        SPEC.model_copy(update={"image_root": str(tmp_path / "photos")}).model_dump_json()
    )
    done = imported(tmp_path, text)
    assert (done.root, done.lost) == (tmp_path / "photos", ())
    other = imported(tmp_path, text, image_root=tmp_path / "other")
    assert (other.root, len(other.lost)) == (None, 2)


def test_a_label_above_classes_is_no_answer(tmp_path: Path) -> None:
    model = SPEC.model.model_copy(update={"taxonomy": {"boots": "shoes", "sandals": "shoes"}})
    spec = SPEC.model_copy(update={"questions": (Question(name="", model=model),)})
    (tmp_path / "job.json").write_text(spec.model_dump_json())
    with pytest.raises(InputError, match="row 2: expected a class, 'shoes' is a label above classes"):
        imported(tmp_path, "image,label\n1.jpg,boots\n2.jpg,shoes\n")


@pytest.mark.parametrize(
    ("into", "written"),
    [("corrections.csv", "corrections-colour.csv"), ("corrections-colour.csv", "corrections-colour.csv")],
)
def test_answers_to_a_question_go_where_those_of_its_page_are(tmp_path: Path, into: str, written: str) -> None:
    model = SPEC.model.model_copy(update={"taxonomy": {"boots": "shoes", "sandals": "shoes"}})
    asked = (Question(name="category", model=SPEC.model), Question(name="colour", model=model))
    spec = SPEC.model_copy(update={"image_root": str(tmp_path), "questions": asked})
    (tmp_path / "job.json").write_text(spec.model_dump_json())
    file = tmp_path / "questions" / "colour" / "review.csv"
    file.parent.mkdir(parents=True)
    head = "ht_colour_row,ht_colour_correct_label,ht_colour_label,image,ht_colour_sha256\n"
    context = SimpleNamespace(obj=None)
    file.write_text(f"{head}1,boots,hats,1.jpg,{A}\n")
    import_command(context, file, into=tmp_path / into, reviewer="anna")
    (vote,) = CorrectionStore(tmp_path / written).votes()
    assert (vote.image, vote.label, vote.was) == (str(tmp_path / "1.jpg"), "boots", "hats")
    file.write_text(f"{head}1,shoes,hats,1.jpg,{A}\n")
    with pytest.raises(InputError, match="'shoes' is a label above classes"):
        import_command(context, file, into=tmp_path / into, reviewer="anna")


def test_paths_of_a_file_of_a_run_start_at_its_data(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    Run(tmp_path).write_args(ARGS.model_copy(update={"data": str(tmp_path / "photos")}))
    assert imported(tmp_path, text).root == tmp_path / "photos"


def test_prefix_and_image_column_are_those_of_the_job_beside_the_file(tmp_path: Path) -> None:
    options = replace(SPEC.options, prefix="ht_")
    spec = SPEC.model_copy(update={"image_root": str(tmp_path), "image_column": "main", "options": options})
    (tmp_path / "job.json").write_text(spec.model_dump_json())
    text = f"ht_row,ht_correct_label,ht_label,main,image,url,ht_sha256\n1,hats,boots,1.jpg,x,y,{A}\n"
    (vote,) = imported(tmp_path, text).added.votes
    assert (vote.image, vote.label, vote.was) == (str(tmp_path / "1.jpg"), "hats", "boots")


@pytest.mark.parametrize("root", ["s3://shop/photos", "https://cdn.example/photos", "/nowhere/at/all"])
def test_a_job_whose_photos_are_not_in_a_folder_here_says_nothing_of_paths(tmp_path: Path, root: str) -> None:
    (tmp_path / "job.json").write_text(SPEC.model_copy(update={"image_root": root}).model_dump_json())
    done = imported(tmp_path, "image,label\n1.jpg,hats\n")
    assert (done.root, done.lost) == (None, (str(tmp_path / "1.jpg"),))


def test_a_job_of_another_version_does_not_stop_an_import(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{}")
    assert imported(tmp_path, "image,label\n1.jpg,hats\n").root is None


def test_a_new_label_that_looks_like_a_known_one_is_refused_with_the_whole_file(tmp_path: Path) -> None:
    head = "image,top_k,label,corrected\n"
    sheet = f"{head}1.jpg,boots 0.60; hat 0.40,boots,hatt\n2.jpg,boots 0.90,boots,scarf\n"
    with pytest.raises(InputError, match=r"none was imported(.|\n)*--new-label hatt\.\n  hatt: do you mean hat\?"):
        imported(tmp_path, sheet)
    assert not (tmp_path / "corrections.csv").exists()
    assert imported(tmp_path, sheet, new_labels=("hatt",)).by_label == {"hatt": 1, "scarf": 1}
    with pytest.raises(InputError, match=r"\n  Scarf: do you mean scarf\?\n  scarfs: do you mean scarf\?") as both:
        imported(tmp_path, "image,label\n3.jpg,scarfs\n4.jpg,Scarf\n")
    assert "or say --new-label Scarf --new-label scarfs.\n" in str(both.value)
    assert len(imported(tmp_path, "image,label\n5.jpg,hatt\n6.jpg,gloves\n").added.votes) == 2


def test_a_new_label_on_purpose_allows_no_other_typing_error(tmp_path: Path) -> None:
    imported(tmp_path, "image,label\n1.jpg,clock\n2.jpg,hat\n")
    with pytest.raises(InputError, match=r"--new-label clok\.\n  clok: do you mean clock\?$"):
        imported(tmp_path, "image,label\n3.jpg,clok\n4.jpg,hats\n", new_labels=("hats",))


def test_a_new_label_that_reads_as_a_path_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'Coats > Parkas' reads as a path(.|\n)*say --new-label 'Coats > Parkas'"):
        imported(tmp_path, "image,label\n1.jpg,Coats > Parkas\n")
    assert not (tmp_path / "corrections.csv").exists()
    imported(tmp_path, "image,label\n1.jpg,Coats > Parkas\n", new_labels=("Coats > Parkas",))
    assert imported(tmp_path, "image,label\n2.jpg,Coats > Parkas\n").by_label == {"Coats > Parkas": 1}
