"""How a receipt looks on a terminal, and the sentences after it."""

import re
from io import StringIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import open_catalogue
from models.errors import ImageError, ImageFault
from models.storage.storage import FolderStorage
from models.terminal import Console
from tests.photo_jobs import only_question
from tests.unit.worker.answers import MODEL, failed, sure
from worker.console import print_receipt, retry_words, say_rule, unfound_words
from worker.job.model import verified_pin
from worker.job.parts import PhotoWork, RowResult, failed_row, part_bytes, part_key
from worker.job.receipt import JobReceipt
from worker.job.writer import create_job
from worker.request import JobOptions
from worker.results.finish import finish_job


def printed(receipt: JobReceipt, **changes: object) -> list[str]:
    console = Console(file=StringIO(), width=400)
    print_receipt(receipt.model_copy(update=changes), console)
    return console.file.getvalue().splitlines()


def missing(path: str) -> RowResult:
    return failed_row(ImageError(f"Expected a photo at {path}, found nothing.", ImageFault.MISSING), None, MODEL)


@pytest.mark.parametrize(
    ("answers", "images", "words"),
    [
        ([missing("a.jpg")] * 2, ["a.jpg", "b.jpg"], "{root}/a.jpg, nor at the other paths"),
        ([missing("a.jpg")], ["a.jpg"], "{root}/a.jpg."),
        ([missing("")] * 2, [None, "sub/b.jpg"], "{root}/sub/b.jpg"),
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


def test_numbers_agree_with_their_nouns_and_processes_that_died_are_told(answered_job) -> None:
    receipt = finish_job(answered_job([sure("shoe")], ["A"]))
    lines = printed(receipt)
    assert lines[0].strip() == "1 row"
    assert any(line.startswith("1 image in ") and line.endswith(", 1 process") for line in lines)
    for deaths, words in ((1, "1 process died"), (2, "2 processes died")):
        run = receipt.run.model_copy(update={"restarts": deaths})
        assert any(f", 1 process; {words}" in line for line in printed(receipt, run=run))


def test_what_a_later_run_did_is_told_apart_from_the_whole_job(answered_job) -> None:
    receipt = finish_job(answered_job([sure("shoe")] * 3, ["A"] * 3))
    for images, last, whole in ((3, "", ""), (1, "Last run: ", "Whole job: ")):
        run = receipt.run.model_copy(update={"images": images})
        lines = printed(receipt, run=run, photos=PhotoWork(decoded=2, repeated=1))
        assert any(line.startswith(f"{last}{images} image") for line in lines)
        assert f"{whole}1 row with a photo labelled before; 2 photos decoded" in lines


def test_only_rows_whose_fault_may_pass_are_worth_another_try(answered_job) -> None:
    receipt = finish_job(answered_job([missing("a.jpg"), missing("b.jpg"), failed(), failed()], ["A"] * 4))
    assert retry_words(receipt).startswith("2 failed rows may succeed")
    assert retry_words(receipt, 2).endswith(": all failed again.")
    assert retry_words(receipt, 5) == "5 failed rows tried again: 2 failed again."
    assert retry_words(receipt, 0).startswith("No failed row")
    passed = finish_job(answered_job([sure("shoe"), failed()], ["A", "A"]))
    assert retry_words(passed, 1).endswith(": none failed again.")
    assert retry_words(passed) == ""


def test_the_rule_is_said_and_wraps_between_words_on_a_terminal(answered_job, monkeypatch) -> None:
    receipt = finish_job(answered_job([sure("shoe")], ["A"]))
    assert any(line.startswith("At least 95% of the labels") for line in printed(receipt))
    model = receipt.model.model_copy(update={"precision": None, "all_to_review": True})
    assert any("promises no precision" in line for line in printed(receipt, model=model))
    terminal = StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    say_rule(model, Console(file=terminal, width=80))
    lines = re.sub(r"\x1b\[\d*m", "", terminal.getvalue()).splitlines()
    assert [line.strip()[-5:] for line in lines] == ["er or", "hold."]


def test_what_a_model_can_promise_is_said_after_what_it_cannot(sure_bundle) -> None:
    sentences = []
    for precision in (0.99, 0.98):
        console = Console(file=StringIO(), width=400)
        say_rule(verified_pin(sure_bundle, JobOptions(precision=precision)), console, sure_bundle)
        sentences.append(console.file.getvalue().strip())
    assert sentences[0].endswith("0.90, 0.98.")
    assert "98%" in sentences[1]
