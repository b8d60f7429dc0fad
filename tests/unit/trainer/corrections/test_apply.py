"""Reviewers' answers go into a copy of a result, and into the figures of an audit."""

from codecs import BOM_UTF8
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.readers import read_delimited, read_jsonl
from catalogue.writers import open_writer
from models.errors import InputError, JobError
from models.storage.storage import FolderStorage
from tests.review_jobs import Row, labelled_job
from tests.unit.trainer.corrections.some_results import ROWS, finished, remark, say
from trainer.corrections.apply import CorrectedResult, Labels, apply_corrections, apply_to_job, find_labels
from trainer.corrections.screen import apply_and_show
from trainer.corrections.store import CorrectionStore
from worker.job.job import open_job
from worker.job.parts import Status
from worker.request import JobOptions
from worker.results.finish import finish_job
from worker.results.merge import merge_job


def rows_of(output: str | Path) -> list[dict[str, Any]]:
    path = Path(output)
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    reader = read_jsonl(path) if path.suffix == ".jsonl" else read_delimited(path)
    return [row for batch in reader.batches for row in batch.to_pylist()]


def speak(store: CorrectionStore) -> None:
    """Rows 1 and 7 get another label, 3 is confirmed, 4 is no product, reviewers disagree on 5, 6 stays open."""
    say(store, 0, "=hats")
    say(store, 0, "=hats", "bob")
    say(store, 2, "hats")
    remark(store, 3, "not_a_product")
    say(store, 4, "boots")
    say(store, 4, "hats", "bob")


COUNTS = {"rows": 8, "changed": 2, "confirmed": 1, "remarked": 1, "in_conflict": 1, "reviewed": 4}


def counts(done: CorrectedResult) -> dict[str, int]:
    return {name: getattr(done, name) for name in COUNTS}


def test_a_copy_has_the_agreed_answers_and_is_otherwise_unchanged(tmp_path: Path, store: CorrectionStore) -> None:
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
    assert [row["accepted_label"] for row in after] == accepted, "unanswered rows are accepted only if labeled"
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
    of_semicolons = labels.job.spec.model_copy(update={"delimiter": ";"})
    done = apply_corrections(file, store, tmp_path / "copy.csv", replace(labels.job, spec=of_semicolons))
    assert counts(done) == COUNTS
    assert Path(done.output).read_bytes().startswith(BOM_UTF8) == mark
    assert ";reviewed_by;was;remark\n" in Path(done.output).read_text(), "the job's delimiter"
    assert next(iter(rows_of(done.output)[0])) == "sku"
    copy = apply_corrections(file, store, tmp_path / "copy.jsonl", labels.job).output
    assert Path(copy).read_text().startswith('{"sku"')


def test_a_photo_that_is_known_by_its_place_only_is_found_by_it(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    say(store, 5, "hats", image=str(tmp_path / "shop" / "photos" / "5.png"))
    done = apply_to_job(labels, store)
    assert (done.changed, rows_of(done.output)[5]["label"]) == (1, "hats")


def test_the_copy_of_a_queued_job_lies_in_its_place(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    Path(labels.job.storage.place).rename(jobs / "spring")
    speak(store)
    done = apply_to_job(find_labels("spring", str(jobs)), store)
    assert done.output == str(jobs / "spring" / "labels.corrected.parquet")
    assert counts(done) == COUNTS
    assert [row["label"] for row in rows_of(done.output)][:2] == ["=hats", "boots"]


def test_a_prefix_and_names_that_the_catalogue_has_are_heeded(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path, options=JobOptions(prefix="ht_"))
    assert labels.result is not None
    table = pq.read_table(labels.result).append_column("ht_was", pa.array(["sold"] * 8))
    pq.write_table(table, labels.result)
    speak(store)
    row = rows_of(apply_to_job(labels, store).output)[0]
    assert (row["ht_label"], row["ht_reviewed_by"], row["ht_was"]) == ("=hats", "anna; bob", "sold")
    assert row["hangtag_ht_was"] == "boots"


def test_what_cannot_be_used_is_refused_and_leaves_no_copy(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path)
    assert labels.result is not None
    with pytest.raises(InputError, match="labels"):
        apply_to_job(labels, store, labels.result)
    with pytest.raises(InputError, match="none"):
        find_labels(str(tmp_path / "none.parquet"), "jobs")
    pq.write_table(pa.table({"image": ["1.jpg"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="other"):
        find_labels(str(tmp_path / "other.parquet"), "jobs")
    with pytest.raises(InputError, match="other"):
        apply_corrections(tmp_path / "other.parquet", store, tmp_path / "copy.parquet", labels.job)
    store.path.write_text("image,label\n")
    with pytest.raises(InputError, match="image,label"):
        apply_to_job(labels, store)
    assert not list(tmp_path.rglob("*.corrected.*"))
    assert not list(tmp_path.rglob("copy.parquet*"))


PRODUCTS = [
    Row(0, "boots", product="agreed"), Row(1, "hats", product="agreed"),
    Row(2, "hats", product="answers differ"), Row(3, "hats", product="answers differ"),
    Row(4, "hats", product="only a remark"),
    Row(5, "hats", product="open"), Row(6, "boots", product="open"),
    Row(7, "hats", 0.98, Status.LABELED, product="a sure photo differs"), Row(8, product="a sure photo differs"),
    Row(9, "boots", product="by its place"), Row(10, "boots", product="by its place"),
    Row(11, "hats", product="in conflict"), Row(14, "hats", product="in conflict"),
    Row(15, "hats", 0.98, Status.LABELED, product="sure, in conflict"),
    Row(12, "hats", 0.98, Status.LABELED, product="sure"),
    Row(13),
]  # fmt: skip
VOTES = [
    ("agreed", "gloves", "labeled", None, "gloves", 2, 2, 1.0),
    ("answers differ", "boots", "review", "disagreement", None, 2, 2, 0.5),
    ("only a remark", None, "failed", None, None, 1, 0, None),
    ("open", "boots", "review", "threshold", None, 2, 2, 0.5),
    ("a sure photo differs", "boots", "labeled", None, "boots", 2, 1, 1.0),
    ("by its place", "hats", "labeled", None, "hats", 2, 1, 1.0),
    ("in conflict", "hats", "review", "disagreement", None, 2, 1, 1.0),
    ("sure, in conflict", "hats", "review", "disagreement", None, 1, 1, 1.0),
    ("sure", "hats", "labeled", None, "hats", 1, 1, 1.0),
]


def test_products_vote_again_with_the_answers(tmp_path: Path, store: CorrectionStore) -> None:
    labels = finished(tmp_path, PRODUCTS, JobOptions(group_column="product"))
    original = Path(labels.job.storage.place) / "by_group.parquet"
    before = original.read_bytes()
    for photo, label in {
        0: "gloves",
        1: "gloves",
        2: "boots",
        3: "hats",
        8: "boots",
        11: "boots",
        14: "hats",
        15: "boots",
    }.items():
        say(store, photo, label)
    for photo in (11, 15):
        say(store, photo, "hats", "bob")
    for photo in (4, 10):
        remark(store, photo, "not_a_product")
    say(store, 9, "hats", image=str(tmp_path / "shop" / "photos" / "9.png"))
    done = apply_to_job(labels, store)
    ((file, counts),), ((listed, rows),) = done.products.items(), done.to_review.items()
    assert file == str(original.with_name("by_group.corrected.parquet"))
    table = pq.read_table(file).drop_columns(["confidence", "model"])
    assert [tuple(row.values()) for row in table.to_pylist()] == VOTES
    assert counts.words == "9, 4 labeled, 4 to review (3 whose photos disagree), 1 failed (no usable photo)"
    assert (counts.ungrouped, original.read_bytes()) == (1, before)
    still = [(row["product"], row["row"]) for row in rows_of(listed)]
    assert sorted(still) == [
        ("", "16"),
        *(("answers differ", row) for row in ("3", "4")),
        *(("in conflict", row) for row in ("12", "13")),
        *(("open", row) for row in ("6", "7")),
        ("sure, in conflict", "14"),
    ]
    assert (Path(listed).name, rows) == ("review.corrected.csv", 8)


def test_products_with_a_label_are_for_publishing(tmp_path: Path, store: CorrectionStore, capsys) -> None:
    labels = finished(tmp_path, PRODUCTS, JobOptions(group_column="product", prefix="ht_"))
    say(store, 0, "gloves")
    apply_and_show(str(labels.result), "jobs", store, None, as_json=False)
    where = Path(labels.job.storage.place) / "by_group.corrected.parquet"
    assert f"Publish: ht_accepted_label (4 products): {where}" in capsys.readouterr().out


def test_without_answers_products_vote_as_before(tmp_path: Path, store: CorrectionStore) -> None:
    same = [replace(PRODUCTS[7], photo=20 + n, product=f"copy {n}") for n in range(12)]
    rows = [*PRODUCTS, *(replace(row, photo=20) for row in same), *same[:1]]
    labels = finished(tmp_path, rows, JobOptions(group_column="product"))
    (file,) = apply_to_job(labels, store).products
    original = pq.read_table(Path(labels.job.storage.place) / "by_group.parquet")
    assert pq.read_table(file).equals(original)
    assert "repeated" in original.column("reason").to_pylist(), "reasons that only the whole job shows count, too"


def test_the_products_of_a_csv_and_of_each_question_have_a_copy(tmp_path: Path, store: CorrectionStore) -> None:
    questions = dict.fromkeys(("category", "colour"), PRODUCTS)
    place = labelled_job(tmp_path / "shop", PRODUCTS, JobOptions(group_column="product"), **questions)
    job = open_job(FolderStorage(place.with_name(f"{place.name}.job")))
    assert job is not None
    finish_job(job)
    merge_job(job, place.with_suffix(".csv"), tmp_path)
    say(store.of_question("colour"), 5, "hats")
    say(store.of_question("colour"), 6, "hats")
    done = apply_to_job(Labels(job, place.with_suffix(".csv")), store)
    folders = [Path(question.storage.place) for question in job.questions]
    assert [Path(file) for file in done.products] == [folder / "by_group.corrected.csv" for folder in folders]
    accepted = [{row["product"]: row[f"{name}_accepted_label"] for row in rows_of(file)}["open"]
                for name, file in zip(questions, done.products, strict=True)]  # fmt: skip
    assert accepted == ["", "hats"]


def test_a_job_that_is_not_finished_is_refused(tmp_path: Path, store: CorrectionStore) -> None:
    place = labelled_job(tmp_path / "shop", ROWS)
    job = open_job(FolderStorage(place.with_name(f"{place.name}.job")))
    assert job is not None
    with pytest.raises(JobError, match="labels"):
        apply_to_job(Labels(job, None), store)
