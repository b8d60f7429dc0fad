import csv
import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.bundle import read_manifest
from models.errors import InputError
from tests.unit.trainer.test_run import ARGS
from tests.unit.worker.job.test_job import SPEC
from tests.variants import GOLDEN
from trainer.corrections.commands import import_command
from trainer.corrections.importing import ImportOptions, import_corrections, read_review
from trainer.corrections.store import CorrectionStore
from trainer.run import Run
from worker.job.job import Question

NOW = datetime(2026, 6, 1, tzinfo=UTC)
A, B, C = "a" * 64, "b" * 64, "c" * 64
ANNA = ImportOptions(reviewer="anna")


@pytest.fixture
def sheet(tmp_path: Path):
    def write(*lines: str) -> Path:
        path = tmp_path / "review.csv"
        path.write_text("\n".join([*lines, ""]))
        return path

    return write


def said(votes) -> list[tuple[str, str, str]]:
    return [(vote.sha256, vote.label, vote.was) for vote in votes]


FILLED = "row,correct_label,label,confidence,reason,top_k,thumbnail,image,price,sha256,model"


@pytest.mark.parametrize("excel", [False, True])
def test_only_rows_of_a_review_csv_with_a_correct_label_count(sheet, *, excel: bool) -> None:
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
    own_time = 1_780_000_000
    os.utime(path, (own_time, own_time))
    read = read_review(path, ANNA, NOW)
    assert said(read.untimed) == [(A, "shoes", "boots"), (C, "boots", "boots")]
    assert (read.rows, len(read.votes), read.timed) == (5 if excel else 4, 2, ())
    assert (read.untimed[0].model, read.untimed[0].reviewer) == ("shop 1.0", "anna")
    assert read.untimed[0].at == datetime.fromtimestamp(own_time, UTC)


@pytest.mark.parametrize(
    ("answer", "remark"),
    [("_none", "not_a_product"), ("Not a product", "not_a_product"), ("more_than_one", "more_than_one"), ("none", "")],
)
def test_a_spreadsheet_can_say_that_a_photo_shows_no_product(sheet, answer: str, remark: str) -> None:
    """A class may be called none: no pattern, for example."""
    (vote,) = read_review(sheet(FILLED, f"1,{answer},boots,0.99,repeated,,/p/1.jpg,1.jpg,9,{A},shop"), ANNA, NOW).votes
    assert (vote.remark, vote.label) == (remark, "" if remark else answer)


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


def imported(folder: Path, text: str, **options):
    (folder / "file.csv").write_text(text)
    return import_corrections(
        folder / "file.csv",
        CorrectionStore(folder / "corrections.csv"),
        ImportOptions(**{"reviewer": "anna", **options}),
    )


def test_a_vote_with_a_path_gets_the_sha256_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"one")
    done = imported(tmp_path, "image,label\nphotos/1.jpg,hats\nphotos/2.jpg,boots\n")
    first, second = sorted(done.added.votes, key=lambda vote: vote.image)
    assert (first.sha256, first.image) == (hashlib.sha256(b"one").hexdigest(), str(tmp_path / "photos" / "1.jpg"))
    assert (second.sha256, done.without_sha256) == ("", 1)


def shop_photos(folder: Path) -> str:
    """Two photos under ``photos``; returns rows of a ``review.csv`` about them."""
    (folder / "photos").mkdir()
    rows = []
    for name in ("1.jpg", "2.jpg"):
        (folder / "photos" / name).write_bytes(name.encode())
        rows.append(f"{name},{hashlib.sha256(name.encode()).hexdigest()},hats\n")
    return "image,sha256,correct_label\n" + "".join(rows)


def test_paths_that_lead_to_no_file_are_told_and_the_right_root_brings_others(tmp_path: Path) -> None:
    text, right = shop_photos(tmp_path), (tmp_path / "photos" / "1.jpg", tmp_path / "photos" / "2.jpg")
    wrong = imported(tmp_path, text)
    assert wrong.lost == (str(tmp_path / "1.jpg"), str(tmp_path / "2.jpg"))
    found = imported(tmp_path, text, image_root=tmp_path / "photos")
    assert (found.lost, tuple(vote.path for vote in found.added.votes), found.added.known) == ((), right, 0)
    for root in ("photos", "elsewhere", "."):
        assert imported(tmp_path, text, image_root=tmp_path / root).added.votes == ()
    assert {one.label for one in found.resolved.values()} == {"hats"}


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
    model = SPEC.questions[0].model.model_copy(update={"taxonomy": {"boots": "shoes", "sandals": "shoes"}})
    spec = SPEC.model_copy(update={"questions": (Question(name="", model=model),)})
    (tmp_path / "job.json").write_text(spec.model_dump_json())
    with pytest.raises(InputError, match=r"row 3: .*shoes"):
        imported(tmp_path, "image,label\n1.jpg,boots\n2.jpg,shoes\n")
    with pytest.raises(InputError, match=r"row 2: unknown label 'Shoes'"):
        imported(tmp_path, f"sha256,label,was\n{A},Shoes,shoes\n{B},boots,boots\n")


@pytest.mark.parametrize(
    ("into", "written"),
    [("corrections.csv", "corrections-colour.csv"), ("corrections-colour.csv", "corrections-colour.csv")],
)
def test_imported_answers_to_a_question_go_to_the_file_of_its_page(tmp_path: Path, into: str, written: str) -> None:
    model = SPEC.questions[0].model.model_copy(update={"taxonomy": {"boots": "shoes", "sandals": "shoes"}})
    asked = (Question(name="category", model=SPEC.questions[0].model), Question(name="colour", model=model))
    spec = SPEC.model_copy(update={"image_root": str(tmp_path), "questions": asked})
    (tmp_path / "job.json").write_text(spec.model_dump_json())
    file = tmp_path / "questions" / "colour" / "review.csv"
    file.parent.mkdir(parents=True)
    head = "ht_colour_row,ht_colour_correct_label,ht_colour_label,image,ht_colour_sha256\n"
    context = SimpleNamespace(obj=None)
    file.write_text(f"{head}1,boots,hats,1.jpg,{A}\n")
    import_command(context, file, corrections=tmp_path / into, reviewer="anna", new_label=["boots"])
    (vote,) = CorrectionStore(tmp_path / written).votes()
    assert (vote.image, vote.label, vote.was) == (str(tmp_path / "1.jpg"), "boots", "hats")
    file.write_text(f"{head}1,shoes,hats,1.jpg,{A}\n")
    with pytest.raises(InputError, match="shoes"):
        import_command(context, file, corrections=tmp_path / into, reviewer="anna")


def test_paths_of_a_file_of_a_run_start_at_its_data(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    Run(tmp_path).write_args(ARGS.model_copy(update={"data": str(tmp_path / "photos")}))
    assert imported(tmp_path, text, new_labels=("hats",)).root == tmp_path / "photos"


def test_prefix_and_image_column_are_those_of_the_job_beside_the_file(tmp_path: Path) -> None:
    options = replace(SPEC.options, prefix="ht_")
    spec = SPEC.model_copy(update={"image_root": str(tmp_path), "image_column": "main", "options": options})
    (tmp_path / "job.json").write_text(spec.model_dump_json())
    text = f"ht_row,ht_correct_label,ht_label,main,image,url,ht_sha256\n1,hats,boots,1.jpg,x,y,{A}\n"
    (vote,) = imported(tmp_path, text, new_labels=("hats",)).added.votes
    assert (vote.image, vote.label, vote.was) == (str(tmp_path / "1.jpg"), "hats", "boots")


def test_an_unknown_label_is_refused_with_the_whole_file(tmp_path: Path) -> None:
    head = "image,top_k,label,correct_label\n"
    sheet = f"{head}1.jpg,boots 0.60; hat 0.40,boots,hatt\n2.jpg,boots 0.90,boots,scarf\n"
    refused = r"""(?s)2 rows cannot .*--new-label LABEL.*
  row 2: unknown label 'hatt'; do you mean 'hat'\?
  row 3: unknown label 'scarf'$"""
    with pytest.raises(InputError, match=refused):
        imported(tmp_path, sheet)
    with pytest.raises(InputError, match="scarf"):
        imported(tmp_path, sheet, new_labels=("hatt",))
    assert not (tmp_path / "corrections.csv").exists()
    assert imported(tmp_path, sheet, new_labels=("hatt", "scarf")).added.votes
    assert len(imported(tmp_path, "image,label\n5.jpg,hatt\n6.jpg,scarf\n").added.votes) == 2


@pytest.mark.parametrize("head", ["sha256,was,label", "sha256,label,correct_label"])
def test_a_label_in_other_capitals_is_read_as_the_only_known_one_with_a_remark(tmp_path: Path, head: str) -> None:
    done = imported(tmp_path, f"{head}\n{A},t-shirt,T-Shirt\n{B},t-shirt,T-Shirt\n{C},t-shirt,T-SHIRT\n")
    assert done.by_label == {"t-shirt": 3}
    assert done.remarks == ("Read as t-shirt: 'T-Shirt' (2 rows)", "Read as t-shirt: 'T-SHIRT' (1 row)")
    new = imported(tmp_path, f"{head}\n{A},t-shirt,scarf\n{B},t-shirt,T-Shirt\n", new_labels=("Scarf", "T-Shirt"))
    assert (new.by_label, new.remarks) == ({"Scarf": 1, "T-Shirt": 1}, ("Read as Scarf: 'scarf' (1 row)",))
    with pytest.raises(InputError, match=r"row 2: unknown label 'T-SHIRT'; do you mean 'T-Shirt' or 't-shirt'\?$"):
        imported(tmp_path, f"{head}\n{A},t-shirt,T-SHIRT\n{A},t-shirt,T-Shirt\n")


def test_a_review_csv_that_was_mailed_keeps_its_prefix(tmp_path: Path) -> None:
    head = "hangtag_row,hangtag_correct_label,hangtag_label,hangtag_thumbnail,main,label,incorrect_label,hangtag_sha256"
    done = imported(
        tmp_path, f"{head}\n1,hats,boots,/p/1.jpg,1.jpg,x,y,{A}\n2,,boots,,,x,y,{B}\n", new_labels=("hats",)
    )
    assert [(vote.sha256, vote.image, vote.label, vote.was) for vote in done.added.votes] == [
        (A, "/p/1.jpg", "hats", "boots")
    ]
    assert done.remarks[0].startswith("Read the columns that begin with hangtag_.")


@pytest.mark.parametrize("head", ["image,incorrect_label", "a_correct_label,a_label,b_correct_label,b_sha256,a_sha256"])
def test_a_catalogues_column_or_one_of_several_is_no_prefix(tmp_path: Path, head: str) -> None:
    with pytest.raises(InputError, match="Expected a column label or correct_label"):
        imported(tmp_path, f"{head}\n")
    with_label = imported(tmp_path, f"sha256,label,incorrect_label,old_correct_label\n{A},hats,boots,boots\n")
    assert (with_label.by_label, with_label.remarks) == ({"hats": 1}, ())


def test_the_mailed_list_of_a_question_never_joins_the_answers_to_another(tmp_path: Path) -> None:
    text, mailed = f"colour_correct_label,colour_label,colour_sha256\nred,red,{A}\n", tmp_path / "mailed"
    mailed.mkdir()
    (tmp_path / "corrections-colour.csv").touch()
    with pytest.raises(InputError, match="begin with colour_, which may be a question"):
        imported(tmp_path, text)
    own = CorrectionStore(tmp_path / "corrections-colour.csv")
    assert import_corrections(tmp_path / "file.csv", own, ANNA).by_label == {"red": 1}
    (mailed / "job.json").write_text(SPEC.model_dump_json())
    with pytest.raises(InputError, match="copy it there"):
        imported(mailed, text)


def test_a_path_in_a_tree_is_no_class_even_in_the_first_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 2: unknown label 'Coats > Parkas'.*path in a tree"):
        imported(tmp_path, "image,label\n1.jpg,Coats > Parkas\n")
    assert imported(tmp_path, "image,label\n1.jpg,Parkas\n").by_label == {"Parkas": 1}


def test_all_classes_of_the_jobs_model_are_known(tmp_path: Path) -> None:
    model = SPEC.questions[0].model.model_copy(update={"path": str(GOLDEN), "digest": read_manifest(GOLDEN).digest})
    spec = SPEC.model_copy(update={"questions": (Question(name="", model=model),)})
    (tmp_path / "job.json").write_text(spec.model_dump_json())
    sheet = "image,top_k,correct_label\n1.jpg,x 0.60,{}\n"
    assert imported(tmp_path, sheet.format(read_manifest(GOLDEN).manifest.labels[-1])).added.votes
    with pytest.raises(InputError, match="unknown label 'y'"):
        imported(tmp_path, sheet.format("y"))


def test_a_file_of_excel_in_another_encoding_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_bytes("image,label\n1.jpg,Hüte\n".encode("cp1252"))
    with pytest.raises(InputError, match="--encoding cp1252"):
        import_corrections(tmp_path / "file.csv", CorrectionStore(tmp_path / "corrections.csv"), ANNA)
    options = replace(ANNA, encoding="cp1252")
    done = import_corrections(tmp_path / "file.csv", CorrectionStore(tmp_path / "corrections.csv"), options)
    assert done.by_label == {"Hüte": 1}


def test_a_file_without_labels_is_refused_with_advice_before_its_columns(tmp_path: Path) -> None:
    names = ",".join(f"name{number}" for number in range(25))
    with pytest.raises(InputError, match=r"or pass --image-column\. Found name0, .*name9 and 15 more\.$"):
        imported(tmp_path, f"{names}\n")


def test_rows_with_the_same_fault_are_one_line(tmp_path: Path) -> None:
    text = "image,label\n" + "".join(f"{number}.jpg,hat\n" for number in range(20))
    with pytest.raises(InputError, match=r"20 rows .*\n  rows 2, 3, 4, 5, 6 and 15 more: expected a reviewer[^\n]*$"):
        imported(tmp_path, text, reviewer=None)


def test_guesses_are_read_in_a_time_that_grows_with_their_length_alone(tmp_path: Path) -> None:
    long = "x" * 1_000_000  # a search from each character would take forever
    head, names = "image,top_k,label,correct_label\n", f"{long}; {long} 0.5; boots 0.60; hat 0.40"
    (vote,) = imported(tmp_path, f"{head}1.jpg,{long},hat,boots\n", new_labels=("boots",)).added.votes
    assert vote.was == "hat"
    with pytest.raises(InputError, match="hatt"):
        imported(tmp_path, f"{head}1.jpg,{names},boots,hatt\n")
