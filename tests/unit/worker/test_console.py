import re
from io import StringIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import open_catalogue
from models.errors import ImageError, ImageFault
from models.storage.storage import FolderStorage
from models.terminal import Console
from tests.command import run_hangtag
from tests.review_jobs import PIN
from tests.unit.worker.answers import MODEL, failed, sure, unsure
from worker.console import print_receipt, retry_words, say_rule, unfound_words
from worker.job.model import verified_pin
from worker.job.parts import PhotoWork, RowResult, failed_row, part_bytes, part_key
from worker.job.writer import create_job
from worker.request import JobOptions
from worker.results.finish import finish_job


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def said(job) -> list[str]:
    console = Console(file=StringIO(), width=400)
    print_receipt(finish_job(job), console)
    return console.file.getvalue().splitlines()


def missing(path: str) -> RowResult:
    return failed_row(ImageError(f"Expected a photo at {path}, found nothing.", ImageFault.MISSING), None, MODEL)


@pytest.mark.parametrize(
    ("answers", "images", "words"),
    [
        ([missing("a.jpg")] * 2, ["a.jpg", "b.jpg"], "nothing is at {root}/a.jpg, nor at the other paths. Relative"),
        (
            [missing("a.jpg")],
            ["a.jpg"],
            "nothing is at {root}/a.jpg. Relative paths start at {root}, which --image-root",
        ),
        (
            [missing("")] * 2,
            [None, "sub/b.jpg"],
            "nothing is at {root}/sub/b.jpg, nor",
        ),
        ([missing("a.jpg"), failed()], ["a.jpg", "b.jpg"], ""),
        ([missing("a.jpg"), sure("shoe")], ["a.jpg", "b.jpg"], ""),
        ([missing("/a.jpg")] * 2, ["/a.jpg", "https://shop.example/b.jpg"], ""),
    ],
)
def test_where_no_photo_was_found_it_says_where_paths_start(tmp_path, answers, images, words) -> None:
    source = tmp_path / "shop.parquet"
    pq.write_table(pa.table({"image": images}), source)
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), PIN, JobOptions())
    job.storage.commit(part_key(0), part_bytes(answers, job.spec.id, "host:1", 0.1, 0))
    said = unfound_words(finish_job(job), job)
    assert words.format(root=tmp_path) in said
    assert bool(said) == bool(words)


def test_numbers_agree_with_their_nouns(answered_job) -> None:
    lines = said(answered_job([sure("shoe")], ["A"]))
    assert lines[0].strip() == "1 row"
    assert any(line.startswith("1 image in ") and line.endswith(", 1 process") for line in lines)


@pytest.mark.parametrize(("deaths", "words"), [(1, "1 process died, and another did"), (2, "2 processes died")])
def test_it_says_what_became_of_processes_that_died(answered_job, deaths: int, words: str) -> None:
    receipt = finish_job(answered_job([sure("shoe")], ["A"]))
    console = Console(file=StringIO(), width=400)
    run = receipt.run.model_copy(update={"restarts": deaths})
    print_receipt(receipt.model_copy(update={"run": run}), console)
    assert f", 1 process; {words}" in console.file.getvalue()


def test_what_a_later_run_did_is_told_apart_from_the_whole_job(answered_job) -> None:
    receipt = finish_job(answered_job([sure("shoe")] * 3, ["A"] * 3))
    receipt = receipt.model_copy(update={"photos": PhotoWork(decoded=2, repeated=1)})
    for images, last, whole in ((3, "", ""), (1, "Last run: ", "Whole job: ")):
        console = Console(file=StringIO(), width=400)
        run = receipt.run.model_copy(update={"images": images})
        print_receipt(receipt.model_copy(update={"run": run}), console)
        lines = console.file.getvalue().splitlines()
        assert any(line.startswith(f"{last}{images} image") for line in lines)
        assert f"{whole}1 row with a photo labelled before; 2 photos decoded" in lines


def test_only_rows_whose_fault_may_pass_are_worth_another_try(answered_job) -> None:
    broken = failed()
    receipt = finish_job(answered_job([missing("a.jpg"), missing("b.jpg"), broken, failed()], ["A"] * 4))
    assert retry_words(receipt).startswith("2 failed rows may succeed another time; the same command with --retry-f")
    assert retry_words(receipt, 2) == "2 failed rows tried again: all failed again."
    assert retry_words(receipt, 5) == "5 failed rows tried again: 2 failed again."
    assert retry_words(receipt, 0) == "No failed row may succeed another time; nothing was tried again."
    passed = finish_job(answered_job([sure("shoe"), broken], ["A", "A"]))
    assert retry_words(passed, 1) == "1 failed row tried again: none failed again."
    assert retry_words(passed) == ""


def test_where_no_photo_was_there_no_rate_of_images_is_told(answered_job) -> None:
    lines = said(answered_job([missing("a.jpg"), missing("b.jpg")], ["A"] * 2))
    assert not any("images/s" in line for line in lines)
    assert any(line.startswith("2 rows in ") and line.endswith(", 1 process") for line in lines)


@pytest.mark.parametrize(
    "command", [("label", "{0}/a.csv", "--model", "{0}/none", "--out", "{0}/b.csv"), ("export", "{0}/none")]
)
def test_no_empty_line_comes_before_an_error(tmp_path, command) -> None:
    (tmp_path / "a.csv").write_text("image\na.jpg\n")
    done = run_hangtag(*(word.format(tmp_path) for word in command))
    (line,) = done.stderr.splitlines()
    assert line.startswith("hangtag: Expected a ")


def test_products_and_doubtful_rows_have_a_line(answered_job) -> None:
    job = answered_job([sure("shoe"), sure("hat"), unsure("hat"), failed()], ["A", "A", "B", "C"])
    lines = said(job)
    counts = "Products: 3, 0 labeled, 2 to review (1 whose photos disagree), 1 failed"
    assert f"{counts}: {job.storage.place}/by_group.parquet" in lines
    assert f"To review: 3 rows, least sure first: {job.storage.place}/review.csv" in lines
    assert any("photos of one product disagree" in line and "50.0%" in line for line in lines)


def test_the_promise_is_said_unless_it_was_when_work_began(answered_job) -> None:
    receipt = finish_job(answered_job([sure("shoe")], ["A"]))
    for precision, rule in ((0.95, "At least 95% of the labels"), (None, "No precision was promised")):
        ruled = receipt.model_copy(update={"model": receipt.model.model_copy(update={"precision": precision})})
        texts = []
        for promise in (True, False):
            console = Console(file=StringIO(), width=400)
            print_receipt(ruled, console, promise=promise)
            texts.append(rule in console.file.getvalue())
        assert texts == [True, precision is None], "that nothing is promised is always said"


def test_where_nothing_is_labeled_the_table_is_of_likeliest_labels(answered_job) -> None:
    assert any("likeliest label" in line for line in said(answered_job([unsure("shoe")], ["A"])))
    assert not any("likeliest label" in line for line in said(answered_job([sure("shoe")], [None])))


def test_each_label_says_how_many_of_its_rows_need_no_person(answered_job) -> None:
    lines = said(answered_job([sure("shoe"), unsure("shoe"), unsure("hat"), failed()], ["A", "B", "C", "D"]))
    cells = [line.split()[1::2] for line in lines]
    assert [one for one in cells if one and one[0] in {"shoe", "hat"}] == [
        ["shoe", "2", "50.0%", "1"],
        ["hat", "1", "25.0%", "0"],
    ]


def test_in_one_output_what_was_said_when_work_began_is_not_said_again(answered_job, monkeypatch, tmp_path) -> None:
    receipt = finish_job(answered_job([sure("shoe")], ["A"]))
    model = receipt.model.model_copy(update={"precision": None, "all_to_review": True})
    receipt, counts = receipt.model_copy(update={"model": model}), []
    with (tmp_path / "log").open("w") as log, (tmp_path / "other").open("w") as other:
        for errors in (log, other):
            monkeypatch.setattr("sys.stdout", log)
            monkeypatch.setattr("sys.stderr", errors)
            console = Console(file=StringIO(), width=400)
            print_receipt(receipt, console, promise=False)
            counts.append(console.file.getvalue().count("promises no precision"))
    assert counts == [0, 1]


def test_on_a_terminal_a_rule_is_said_once_and_wraps_between_words(answered_job) -> None:
    receipt = finish_job(answered_job([sure("shoe")], ["A"]))
    model = receipt.model.model_copy(update={"precision": None, "all_to_review": True})
    console = Console(file=_Terminal(), width=80)
    say_rule(model, console)
    assert [line.strip() for line in re.sub(r"\x1b\[\d*m", "", console.file.getvalue()).splitlines()] == [
        "This model promises no precision: every photo goes to review. Train longer or",
        "with more photos, or ask for labels without a promise with --threshold.",
    ]
    print_receipt(receipt.model_copy(update={"model": model}), console, promise=False)
    assert console.file.getvalue().count("promises no precision") == 1


def test_what_a_model_can_promise_is_said_after_what_it_cannot(sure_bundle) -> None:
    told = []
    for precision in (0.99, 0.98):
        console = Console(file=StringIO(), width=400)
        say_rule(verified_pin(sure_bundle, JobOptions(precision=precision)), console, sure_bundle)
        told.append(console.file.getvalue().strip())
    assert told == [
        "Precision 0.99 can be promised for no class: every photo goes to review. This model can promise 0.90, 0.98.",
        "At least 98% of the labels that the model gives without a person should be right.",
    ]


@pytest.mark.parametrize(("answer", "line"), [(sure("hat"), None), (unsure("hat"), "To review: 1 row: ")])
def test_what_there_is_none_of_has_no_line(answered_job, answer, line) -> None:
    found = [
        text for text in said(answered_job([answer], ["A"], JobOptions())) if "Products" in text or "To rev" in text
    ]
    assert [text[: len(line or "")] for text in found] == ([line] if line else [])
