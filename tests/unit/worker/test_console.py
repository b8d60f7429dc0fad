"""A receipt on a terminal, and the sentences after it."""

from io import StringIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import open_catalogue
from models.errors import ImageError, ImageFault
from models.storage.storage import FolderStorage
from models.terminal import Console
from tests.photo_jobs import only_question
from tests.review_jobs import doubtful, labelled_job
from tests.row_results import RowResult, failed_row, part_bytes
from tests.unit.worker.answers import MODEL, failed, sure
from worker.console import _accepted_words, print_receipt, retry_words, unfound_words
from worker.job.job import open_job
from worker.job.parts import PhotoWork, Status, part_key
from worker.job.receipt import JobReceipt
from worker.job.writer import create_job
from worker.label import job_folder
from worker.request import JobOptions
from worker.results.finish import finish_job


def printed(receipt: JobReceipt, width: int = 400, **changes: object) -> list[str]:
    console = Console(file=StringIO(), width=width)
    print_receipt(receipt.model_copy(update=changes), console)
    return console.file.getvalue().splitlines()


def missing(path: str) -> RowResult:
    return failed_row(
        ImageError(f"Expected a photo at {path}, found nothing; check the path.", ImageFault.MISSING), None, MODEL
    )


EMPTY = failed_row(ImageError("Expected a photo, found an empty cell.", ImageFault.EMPTY_CELL), None, MODEL)


@pytest.mark.parametrize(
    ("answers", "images", "words"),
    [
        ([missing("a.jpg")] * 2, ["a.jpg", "b.jpg"], "{root}/a.jpg or at the other rows' paths"),
        ([missing("a.jpg")], ["a.jpg"], "{root}/a.jpg."),
        ([EMPTY, missing("sub/b.jpg")], [None, "sub/b.jpg"], "{root}/sub/b.jpg"),
        ([EMPTY] * 2, ["", " "], ""),
        ([missing("a.jpg"), failed()], ["a.jpg", "b.jpg"], ""),
        ([missing("a.jpg"), sure("shoe")], ["a.jpg", "b.jpg"], ""),
        ([missing("/a.jpg")] * 2, ["/a.jpg", "https://shop.example/b.jpg"], ""),
    ],
)
def test_where_no_photo_was_found_it_says_where_paths_start(tmp_path, answers, images, words) -> None:
    source = tmp_path / "shop.parquet"
    pq.write_table(pa.table({"image": images}), source)
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), only_question())
    job.storage.commit(part_key(0), part_bytes(answers, job.spec.id, "host:1", 0.1, 0))
    sentence = unfound_words(finish_job(job), job)
    assert words.format(root=tmp_path) in sentence
    assert bool(sentence) == bool(words)


def test_what_a_later_run_did_is_told_apart_from_the_whole_job(answered_job) -> None:
    receipt = finish_job(answered_job([sure("shoe")] * 3, ["A"] * 3))
    for images, last, whole in ((3, "", ""), (1, "Last run: ", "Whole job: ")):
        run = receipt.run.model_copy(update={"images": images})
        lines = printed(receipt, run=run, photos=PhotoWork(decoded=2, repeated=1))
        assert any(line.startswith(f"{last}{images} row") for line in lines)
        assert f"{whole}1 row with the same photo as an earlier row; 2 photos decoded" in lines


@pytest.mark.parametrize(
    ("products", "words"),
    [
        (["A", None, "A"], "1 row has no sku, so it belongs to no product."),
        (["A", "", " "], "2 rows have no sku, so they belong to no product."),
        (["A", "B", "B"], ""),
    ],
)
def test_rows_without_a_product_are_counted(answered_job, products, words) -> None:
    lines = printed(finish_job(answered_job([sure("shoe")] * 3, products)))
    assert [line for line in lines if "belong" in line] == [words] * bool(words)


def test_of_rows_in_products_only_the_products_labels_are_for_publishing(answered_job) -> None:
    disputed = finish_job(answered_job([sure("shoe"), sure("hat")], ["A", "A"], JobOptions(group_column="sku")))
    assert _accepted_words(disputed) == ""
    receipt = disputed.model_copy(update={"by_status": {Status.LABELED: 5, Status.REVIEW: 0, Status.FAILED: 0}})
    assert _accepted_words(receipt) == "", "other rows belong to no product"


def on_a_screen(receipt: JobReceipt) -> list[str]:
    """The lines on a terminal of 80 columns, which breaks long ones."""
    lines = printed(receipt, 80)
    assert sum(-(-len(line) // 80) for line in lines) <= 40
    return lines


def test_the_labels_of_a_receipt_fit_on_a_screen(answered_job) -> None:
    labels = [f"label {n}" for n in range(100) for _ in range(1 + (n < 12))]
    lines = on_a_screen(finish_job(answered_job([sure(label) for label in labels], ["A"] * 112, chunk_rows=128)))
    (others,) = ([cell.strip() for cell in line.split("│")] for line in lines if "others" in line)
    assert others[1:3] == ["88 others", "88"]
    assert not any("label 50" in line for line in lines)


def test_a_receipt_of_several_questions_is_one_table(tmp_path) -> None:
    questions = {name: doubtful(8) for name in ("category", "colour", "sleeve", "season")}
    result = labelled_job(tmp_path, doubtful(8), **questions)
    lines = on_a_screen(finish_job(open_job(FolderStorage(job_folder(result)))))
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if line.startswith("│")]
    assert [row[1:5] for row in rows] == [[name, "0", "8", "0"] for name in (*questions, "worst status")]


def test_only_rows_whose_fault_may_pass_are_worth_another_try(answered_job) -> None:
    receipt = finish_job(answered_job([missing("a.jpg"), missing("b.jpg"), failed(), failed()], ["A"] * 4))
    assert retry_words(receipt).startswith("2 failed rows may succeed")
    passed = finish_job(answered_job([sure("shoe"), failed()], ["A", "A"]))
    assert retry_words(passed) == ""


def test_rows_without_a_photo_are_not_tried_again_and_come_after_faults(answered_job) -> None:
    receipt = finish_job(answered_job([EMPTY] * 9 + [missing("a.jpg"), sure("shoe")], ["A"] * 11))
    assert retry_words(receipt).startswith("1 failed row may succeed")
    assert {kind: errors.count for kind, errors in receipt.errors.items()} == {"missing": 1, "empty_cell": 9}
    lines = [line.partition(",")[0] for line in printed(receipt) if line.startswith(("missing,", "empty_cell,"))]
    assert lines == ["missing", "empty_cell"]
