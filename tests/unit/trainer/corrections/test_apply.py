"""What reviewers say comes back into a copy of a result, and into the figures of an audit."""

import json
from codecs import BOM_UTF8
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.readers import read_delimited, read_jsonl
from catalogue.writers import open_writer
from models.errors import InputError, JobError
from models.storage.storage import FolderStorage
from tests.review_jobs import Row, labelled_job, sha256_of
from trainer.corrections.apply import CorrectedResult, Labels, apply_corrections, apply_to_job, find_labels
from trainer.corrections.remarks import Remark, RemarkKind
from trainer.corrections.store import CorrectionStore
from trainer.corrections.verdicts import audit_figures, read_verdicts, record_audit
from trainer.corrections.votes import Vote
from worker.job.job import Job, open_job
from worker.job.parts import Status
from worker.job.receipt import finished_receipt
from worker.job.spec import Question
from worker.request import JobOptions
from worker.results.audit import audit_sample
from worker.results.finish import finish_job
from worker.results.merge import merge_job

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LABELED = Status.LABELED
ROWS = [
    Row(0, "boots", 0.5),
    Row(1, "boots", 0.99, LABELED),
    Row(2, "hats", 0.4),
    Row(3, "hats", 0.45),
    Row(4, "shoes", 0.3),
    Row(5, "shoes", 0.35),
    Row(0, "boots", 0.5),
    Row(6, "hats", 0.98, LABELED),
]


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections.csv", now=lambda: NOW + timedelta(days=1))


def say(
    store: CorrectionStore, photo: int, label: str, reviewer: str = "anna", minute: int = 0, image: str = ""
) -> None:
    sha256 = "" if image else sha256_of(photo)
    store.append([Vote(NOW + timedelta(minutes=minute), reviewer, sha256, image, label)])


def remark(store: CorrectionStore, photo: int, kind: str, reviewer: str = "anna", minute: int = 0) -> None:
    at = NOW + timedelta(minutes=minute)
    store.remarks.append([Remark(at, reviewer, sha256_of(photo), "", RemarkKind(kind))])


def finished(folder: Path, rows: Sequence[Row] = ROWS, options: JobOptions | None = None) -> Labels:
    """A job as the queue leaves it, and its result as a file of a person's."""
    place = labelled_job(folder / "shop", rows, options, chunk_rows=3)
    job = open_job(FolderStorage(place.with_name(f"{place.name}.job")))
    assert job is not None
    finish_job(job)
    merge_job(job, place, folder)
    return Labels(job, place)


def rows_of(output: str | Path) -> list[dict[str, Any]]:
    path = Path(output)
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    reader = read_jsonl(path) if path.suffix == ".jsonl" else read_delimited(path)
    return [row for batch in reader.batches for row in batch.to_pylist()]


def speak(store: CorrectionStore) -> None:
    """Of the rows 1 and 7 the label changes, 3 is confirmed, 4 is no product, on 5 reviewers disagree, 6 is left."""
    say(store, 0, "=hats")
    say(store, 0, "=hats", "bob")
    say(store, 2, "hats")
    remark(store, 3, "not_a_product")
    say(store, 4, "boots")
    say(store, 4, "hats", "bob")


COUNTS = {"rows": 8, "changed": 2, "confirmed": 1, "remarked": 1, "in_conflict": 1, "left": 1, "reviewed": 4}


def counts(done: CorrectedResult) -> dict[str, int]:
    return {name: getattr(done, name) for name in COUNTS}


def test_a_copy_has_what_reviewers_agree_on_and_all_else_as_it_was(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    assert labels.result is not None
    before, data = rows_of(labels.result), labels.result.read_bytes()
    speak(store)
    done = apply_to_job(labels, store)
    assert (counts(done), done.output) == (COUNTS, str(tmp_path / "shop" / "labels.corrected.parquet"))
    assert labels.result.read_bytes() == data, "the original is left alone"
    after = rows_of(done.output)
    added = [(row.pop("reviewed_by"), row.pop("was"), row.pop("remark")) for row in after]
    empty = (None, None, None)
    changed = ("anna; bob", "boots", None)
    confirmed, remarked = ("anna", "hats", None), ("anna", "hats", "not_a_product")
    assert added == [changed, empty, confirmed, remarked, empty, empty, changed, empty]
    expected = [dict(row) for row in before]
    words = ((0, "=hats", "labeled"), (2, "hats", "labeled"), (3, None, "review"), (6, "=hats", "labeled"))
    for number, label, status in words:
        expected[number] |= {"label": label, "status": status, "accepted_label": label, "reason": None}
    assert after == expected
    accepted = ["=hats", "boots", "hats", None, None, None, "=hats", "hats"]
    assert [row["accepted_label"] for row in after] == accepted, "of what nobody answered only what was labeled"
    assert [row["reason"] for row in after] == [None, None, None, None, "threshold", "threshold", None, None]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_copy_is_of_the_results_own_format(tmp_path: Path, store: CorrectionStore, suffix: str) -> None:
    labels = finished(tmp_path)
    assert labels.result is not None
    table = pq.read_table(labels.result)
    names = frozenset(table.column_names)
    file = tmp_path / f"labels{suffix}"
    with open_writer(file, suffix, table.schema, names) as write:
        write(table)
    untouched = apply_corrections(file, store, tmp_path / f"untouched{suffix}", labels.job)
    added = {"reviewed_by", "was", "remark"}
    assert [{k: row[k] for k in row if k not in added} for row in rows_of(untouched.output)] == rows_of(file)
    speak(store)
    done = apply_corrections(file, store, tmp_path / f"corrected{suffix}", labels.job)
    assert counts(done) == COUNTS
    first = rows_of(done.output)[0]
    assert first["label"] == ("'=hats" if suffix == ".csv" else "=hats"), "no cell starts a formula"
    assert (first["reviewed_by"], first["was"]) == ("anna; bob", "boots")


LATER = ["reason", "accepted_label", "label_2", "confidence_2", "unknown"]


def test_the_result_of_an_earlier_version_is_corrected_without_later_columns(
    tmp_path: Path, store: CorrectionStore
) -> None:
    labels = finished(tmp_path)
    assert labels.result is not None
    earlier = pq.read_table(labels.result).drop_columns(LATER)
    pq.write_table(earlier, labels.result)
    speak(store)
    for known in (labels.job, None):
        done = apply_corrections(labels.result, store, tmp_path / "copy.parquet", known)
        assert counts(done) == COUNTS
        assert pq.read_schema(done.output).names == [*earlier.column_names, "reviewed_by", "was", "remark"]


@pytest.mark.parametrize("mark", [True, False])
def test_a_copy_has_a_byte_order_mark_if_the_result_has_one(
    tmp_path: Path, store: CorrectionStore, *, mark: bool
) -> None:
    labels = finished(tmp_path)
    assert labels.result is not None
    table, file = pq.read_table(labels.result), tmp_path / "labels.csv"
    with open_writer(file, ".csv", table.schema, frozenset(), mark=mark) as write:
        write(table)
    speak(store)
    done = apply_corrections(file, store, tmp_path / "copy.csv", labels.job)
    assert counts(done) == COUNTS
    assert Path(done.output).read_bytes().startswith(BOM_UTF8) == mark
    assert next(iter(rows_of(done.output)[0])) == "sku"
    copy = apply_corrections(file, store, tmp_path / "copy.jsonl", labels.job).output
    assert Path(copy).read_text().startswith('{"sku"')


def test_a_formula_that_was_a_label_before_is_confirmed_as_it_is(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path, [Row(0, "=hats", 0.3)])
    assert labels.result is not None
    copy = apply_corrections(labels.result, store, tmp_path / "labels.csv", labels.job)
    say(store, 0, "=hats")
    done = apply_corrections(Path(copy.output), store, tmp_path / "again.csv", labels.job)
    assert (done.confirmed, done.changed) == (1, 0)


def test_a_photo_that_is_known_by_its_place_only_is_found_by_it(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    say(store, 5, "hats", image=str(tmp_path / "shop" / "photos" / "5.png"))
    done = apply_to_job(labels, store)
    assert (done.changed, rows_of(done.output)[5]["label"]) == (1, "hats")


def test_the_copy_of_a_queued_job_lies_in_its_place(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    assert labels.job is not None
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    Path(labels.job.storage.place).rename(jobs / "spring")
    speak(store)
    done = apply_to_job(find_labels("spring", str(jobs)), store)
    assert done.output == str(jobs / "spring" / "labels.corrected.parquet")
    assert counts(done) == COUNTS
    assert [row["label"] for row in rows_of(done.output)][:2] == ["=hats", "boots"]


def test_several_people_may_ask_for_the_copy_at_once(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    speak(store)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: apply_to_job(labels, store), range(8)))
    assert [counts(one) for one in done] == [COUNTS] * 8
    assert len(rows_of(done[0].output)) == len(ROWS)
    assert not [path for path in (tmp_path / "shop").iterdir() if path.suffix == ".tmp"]


def test_a_prefix_and_names_that_the_catalogue_has_are_heeded(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path, options=JobOptions(prefix="ht_"))
    assert labels.result is not None
    table = pq.read_table(labels.result).append_column("ht_was", pa.array(["sold"] * 8))
    pq.write_table(table, labels.result)
    speak(store)
    for known in (labels.job, None):
        row = rows_of(apply_corrections(labels.result, store, tmp_path / "c.parquet", known).output)[0]
        assert (row["ht_label"], row["ht_reviewed_by"], row["ht_was"]) == ("=hats", "anna; bob", "sold")
        assert row["hangtag_ht_was"] == "boots"


def test_a_type_that_another_program_gave_the_labels_stays(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    assert labels.result is not None
    table = pq.read_table(labels.result)
    kinds = {"label": pa.dictionary(pa.int32(), pa.string()), "status": pa.large_string(), "sha256": pa.large_string()}
    for name, kind in kinds.items():
        table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(kind))
    pq.write_table(table, labels.result)
    speak(store)
    done = apply_to_job(labels, store)
    assert counts(done) == COUNTS
    assert pq.read_schema(done.output).field("status").type == pa.large_string()


def test_what_cannot_be_used_is_refused_and_leaves_no_copy(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    assert labels.result is not None
    with pytest.raises(InputError, match="another --out than"):
        apply_to_job(labels, store, labels.result)
    with pytest.raises(InputError, match="found none; check the path"):
        find_labels(str(tmp_path / "none.parquet"), "jobs")
    pq.write_table(pa.table({"image": ["1.jpg"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="found none; put the result's"):
        apply_corrections(tmp_path / "other.parquet", store, tmp_path / "copy.parquet")
    store.path.write_text("image,label\n")
    with pytest.raises(InputError, match="Expected the columns"):
        apply_to_job(labels, store)
    assert not list(tmp_path.rglob("*.corrected.*"))
    assert not list(tmp_path.rglob("copy.parquet*"))


def test_a_corrected_copy_is_not_corrected_again(tmp_path: Path) -> None:
    for name in ("labels.csv", "labels.corrected.csv"):
        (tmp_path / name).write_text("image,label,status\n")
    with pytest.raises(InputError, match=r"got the corrected copy of one; give .*/labels.csv\."):
        find_labels(str(tmp_path / "labels.corrected.csv"), "jobs")


def test_a_job_that_is_not_finished_is_refused(tmp_path: Path, store: CorrectionStore) -> None:
    place = labelled_job(tmp_path / "shop", ROWS)
    job = open_job(FolderStorage(place.with_name(f"{place.name}.job")))
    with pytest.raises(JobError, match="not finished yet"):
        apply_to_job(Labels(job, None), store)


def many(count: int, wrong: int = 0) -> list[Row]:
    return [Row(n, "boots" if n < wrong else "hats", 0.99, LABELED) for n in range(count)] + [Row(count, "hats", 0.3)]


def job_of(labels: Labels) -> Job:
    assert labels.job is not None
    return labels.job


def test_the_same_rows_are_drawn_again_and_more_rows_begin_with_them(tmp_path: Path) -> None:
    job = job_of(finished(tmp_path, many(60)))
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
        place = labelled_job(tmp_path / str(number), [Row(0, "hats", 0.99, LABELED)] * 12)
        job = open_job(FolderStorage(place.with_name(f"{place.name}.job")))
        assert job is not None
        for row in audit_sample(job, 3):
            drawn[row.row - 1] += 1
    assert sum(drawn) == 120
    assert max(drawn) < 25, "a row is drawn 10 times on average, and 25 times in a million tries"
    assert min(drawn) > 0


def test_rows_that_their_products_sent_to_review_are_not_drawn(tmp_path: Path) -> None:
    rows = [Row(n, ("hats", "boots")[n % 2], 0.99, LABELED, product="P" if n < 4 else str(n)) for n in range(10)]
    job = job_of(finished(tmp_path, rows, JobOptions(group_column="product")))
    assert sorted(row.row for row in audit_sample(job, 100)) == [5, 6, 7, 8, 9, 10]


def test_the_promise_is_measured_on_the_answered_rows(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path, many(40, wrong=40))
    job = job_of(labels)
    assert record_audit(job, store) is None, "nobody has asked for one"
    sample = audit_sample(job, 20)
    asked = record_audit(job, store, 20)
    assert asked is not None
    assert asked.words == "0.95 promised; 20 rows drawn to check it, none answered yet"
    for row in sample[:14]:
        say(store, row.row - 1, "boots")
    remark(store, sample[14].row - 1, "more_than_one")
    say(store, sample[15].row - 1, "hats")
    for reviewer, label in (("anna", "boots"), ("bob", "hats")):
        say(store, sample[16].row - 1, label, reviewer)
    audit = apply_to_job(labels, store).audit
    assert audit is not None
    assert (audit.asked, audit.answered, audit.right, audit.disputed, audit.promised) == (20, 16, 14, 1, 0.95)
    assert audit.words == "0.95 promised, 0.875 found (0.617 to 0.984) in 16 of 20 rows; reviewers disagree on 1"
    receipt = finished_receipt(job)
    assert receipt is not None
    assert receipt.audit == audit
    assert audit.words in job.storage.read("receipt.html").decode()
    assert json.loads(job.storage.read("audit.json"))["sample"] == [row.row for row in sample]
    assert record_audit(job, store, 5) == audit, "what was drawn stays drawn"


def test_an_audit_of_all_rows_counts_each_repeat_of_a_photo(tmp_path: Path, store: CorrectionStore) -> None:
    rows = [Row(0, "boots", 0.99, LABELED)] * 3 + [Row(1, "hats", 0.99, LABELED)]
    job = job_of(finished(tmp_path, rows))
    say(store, 0, "boots")
    say(store, 1, "boots")
    audit = audit_figures(job, audit_sample(job, 10), read_verdicts(store))
    assert (audit.right, audit.answered, audit.precision) == (3, 4, 0.75)


def test_a_label_above_what_reviewers_say_is_right(tmp_path: Path, store: CorrectionStore) -> None:
    job = job_of(finished(tmp_path, many(40, wrong=40)))
    pin = job.spec.model.model_copy(update={"taxonomy": {"sandals": "boots", "hats": "worn"}})
    in_tree = replace(job, spec=job.spec.model_copy(update={"questions": (Question(name="", model=pin),)}))
    sample = audit_sample(job, 10)
    for row, label in zip(sample, ("boots", "sandals", "hats"), strict=False):
        say(store, row.row - 1, label)
    assert audit_figures(in_tree, sample, read_verdicts(store)).right == 2
    assert audit_figures(job, sample, read_verdicts(store)).right == 1
