"""Labeled rows drawn at random, and reviewers' answers about them."""

import json
from dataclasses import replace
from pathlib import Path

from models.storage.storage import FolderStorage
from tests.review_jobs import Row, labelled_job, sha256_of
from tests.unit.trainer.corrections.some_results import finished, remark, say
from trainer.corrections.apply import apply_to_job
from trainer.corrections.audit import audit_figures, record_audit
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import resolve
from worker.job.job import Question, open_job
from worker.job.parts import Status
from worker.job.receipt import finished_receipt
from worker.request import JobOptions
from worker.results.audit import audit_sample


def many(count: int, wrong: int = 0) -> list[Row]:
    labeled = [Row(n, "boots" if n < wrong else "hats", 0.99, Status.LABELED) for n in range(count)]
    return [*labeled, Row(count, "hats", 0.3)]


def test_the_same_rows_are_drawn_again_and_more_rows_begin_with_them(tmp_path: Path) -> None:
    job = finished(tmp_path, many(60)).job
    twenty = audit_sample(job, 20)
    assert audit_sample(job, 20) == twenty
    assert audit_sample(job, 40)[:20] == twenty
    everything = audit_sample(job, 1000)
    assert sorted(row.row for row in everything) == list(range(1, 61)), "labeled rows only, each once"
    first = everything[0]
    assert (first.sha256, first.image) == (sha256_of(first.row - 1), f"{first.row - 1}.png")
    assert [row.row for row in everything] != sorted(row.row for row in everything)


def test_each_labeled_row_is_as_likely_as_any_other(tmp_path: Path) -> None:
    drawn = [0] * 12
    for number in range(40):
        place = labelled_job(tmp_path / str(number), [Row(0, "hats", 0.99, Status.LABELED)] * 12)
        job = open_job(FolderStorage(place.with_name(f"{place.name}.job")))
        assert job is not None
        for row in audit_sample(job, 3):
            drawn[row.row - 1] += 1
    assert sum(drawn) == 120
    assert max(drawn) < 25, "a row is drawn 10 times on average, and 25 times in a million tries"
    assert min(drawn) > 0


def test_rows_that_their_products_sent_to_review_are_not_drawn(tmp_path: Path) -> None:
    rows = [Row(n, ("hats", "boots")[n % 2], 0.99, Status.LABELED, product="P" if n < 4 else str(n)) for n in range(10)]
    job = finished(tmp_path, rows, JobOptions(group_column="product")).job
    assert sorted(row.row for row in audit_sample(job, 100)) == [5, 6, 7, 8, 9, 10]


def test_the_promise_is_measured_on_the_answered_rows(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path, many(40, wrong=40))
    job = labels.job
    assert record_audit(job, store) is None, "no audit was requested"
    sample = audit_sample(job, 20)
    asked = record_audit(job, store, 20)
    assert asked is not None
    assert asked.words == "0.95 promised; 20 rows sampled for the audit, no answers yet"
    for row in sample[:14]:
        say(store, row.row - 1, "boots")
    remark(store, sample[14].row - 1, "more_than_one")
    say(store, sample[15].row - 1, "hats")
    for reviewer, label in (("anna", "boots"), ("bob", "hats")):
        say(store, sample[16].row - 1, label, reviewer)
    audit = apply_to_job(labels, store).audit
    assert audit is not None
    assert (audit.asked, audit.answered, audit.right, audit.disputed, audit.promised) == (20, 16, 14, 1, 0.95)
    assert audit.words == "0.95 promised, 0.875 measured (0.617 to 0.984) in 16 of 20 rows; reviewers disagree on 1"
    receipt = finished_receipt(job)
    assert receipt is not None
    assert receipt.audit == audit
    assert audit.words in job.storage.read("receipt.html").decode()
    assert json.loads(job.storage.read("audit.json"))["sample"] == [row.row for row in sample]
    assert record_audit(job, store, 5) == audit, "what was drawn stays drawn"


def test_a_label_above_what_reviewers_say_is_right(tmp_path: Path, store: CorrectionStore) -> None:
    job = finished(tmp_path, many(40, wrong=40)).job
    pin = job.model.model_copy(update={"taxonomy": {"sandals": "boots", "hats": "worn"}})
    in_tree = replace(job, spec=job.spec.model_copy(update={"questions": (Question(name="", model=pin),)}))
    sample = audit_sample(job, 10)
    for row, label in zip(sample, ("boots", "sandals", "hats"), strict=False):
        say(store, row.row - 1, label)
    assert audit_figures(in_tree, sample, resolve(store.votes())).right == 2
    assert audit_figures(job, sample, resolve(store.votes())).right == 1
