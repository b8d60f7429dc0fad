import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import open_catalogue
from catalogue.readers import read_delimited
from catalogue.writers import OUTPUT_SUFFIXES, open_writer
from models.classifier import load
from models.decision import ReviewReason
from models.errors import JobError
from models.storage.storage import FolderStorage
from tests.label_chunk import run_chunk
from tests.photo_jobs import only_question
from tests.row_results import part_bytes, read_part_file
from tests.unit.worker.answers import failed, sure, unsure
from worker.job.job import Job
from worker.job.parts import RESULT_SCHEMA, checked_stream, part_key
from worker.job.receipt import REVIEW_FILE
from worker.job.writer import create_job
from worker.request import JobOptions
from worker.results.merge import merge_job


def merged(job: Job, output: Path) -> Path:
    lists = output.with_name(f"{output.name}.lists")
    lists.mkdir()
    merge_job(job, output, lists)
    return output


def json_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def done_job(make_job, tmp_path: Path, catalogue: Path, bundle: Path):
    """A job whose every chunk is done, over rows with awkward cells."""
    photos = sorted(catalogue.rglob("*.png"))[:5]
    lines = [
        {"image": str(photo), "sku": f"00{i}", "text": 'a "b",\nc\rd', "tags": ["x", i]}
        for i, photo in enumerate(photos)
    ]
    lines.append({"image": "gone.jpg", "sku": None, "text": "", "tags": None})
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = make_job(source, chunk_rows=2)
    for chunk in range(job.spec.chunks):
        run_chunk(job, chunk, load(bundle))
    return job, lines


def test_every_cell_comes_back_in_every_format(done_job, tmp_path: Path) -> None:
    job, lines = done_job
    rows = json_lines(merged(job, tmp_path / "out.jsonl"))
    assert [{name: row[name] for name in lines[0]} for row in rows] == lines
    assert [row["status"] == "failed" for row in rows] == [False] * 5 + [True]
    assert rows[0]["top_k"][0]["label"] == rows[0]["label"]
    with merged(job, tmp_path / "out.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [row["text"] for row in cells] == [line["text"] for line in lines]
    assert [row["sku"] for row in cells] == [line["sku"] or "" for line in lines]
    assert json.loads(cells[0]["top_k"])[0]["confidence"] == float(cells[0]["confidence"])
    table = pq.read_table(merged(job, tmp_path / "out.parquet"))
    assert table.column_names == [*lines[0], *RESULT_SCHEMA.names]
    assert table.num_rows == len(lines)


LATER = ("status", "reason", "accepted_label", "label_2", "confidence_2", "unknown")


def test_what_a_query_publishes_is_accepted_and_the_second_likeliest_class_has_columns(
    answered_job, tmp_path: Path
) -> None:
    answers = [
        sure("shoe", 0.75, ("hat", 0.25)),
        unsure("hat", 0.5, ("shoe", 0.25), ("bag", 0.25), reason=ReviewReason.UNKNOWN, unknown=12.5),
        sure("bag"),
        failed(),
        sure("hat", 0.75, ("bag", 0.125)),
    ]
    job = answered_job(answers, ["A", "B", "C", "C", "A"], JobOptions(group_column="sku"))
    rows = json_lines(merged(job, tmp_path / "out.jsonl"))
    assert [tuple(row[name] for name in LATER) for row in rows] == [
        ("review", "disagreement", None, "hat", 0.25, None),
        ("review", "unknown", None, "shoe", 0.25, 12.5),
        ("labeled", None, "bag", None, None, None),
        ("failed", None, None, None, None, None),
        ("review", "disagreement", None, "bag", 0.125, None),
    ]


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_no_link_that_lies_in_wait_is_followed(done_job, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "victim").write_text("precious")
    output = tmp_path / f"out{suffix}"
    for name in (f".{output.name}.tmp", f".{output.name}.1.tmp", output.name):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError), open_writer(output, suffix, RESULT_SCHEMA, frozenset()):
        pass
    merged(done_job[0], output)
    assert (tmp_path / "victim").read_text() == "precious"
    assert not output.is_symlink()
    (tmp_path / "usual").touch()
    assert output.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_missing_part_is_an_error_and_leaves_no_output(done_job, tmp_path: Path) -> None:
    job, _ = done_job
    (job.storage.root / job.part_keys()[1]).unlink()
    with pytest.raises(JobError, match="1"):
        merged(job, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_part_with_a_row_too_few_is_an_error(done_job, tmp_path: Path) -> None:
    job, _ = done_job
    key = job.part_keys()[1]
    job.storage.replace(key, checked_stream(read_part_file(job.storage, key).slice(1)))
    with pytest.raises(JobError, match=r"1 row.* 2"):
        merged(job, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


COMMAND = "=cmd|' /C calc'!A0"


@pytest.fixture
def dangerous_job(answered_job):
    """Cells, labels and names that a spreadsheet would compute."""

    def make(excel_safe: bool):
        answers = [sure(COMMAND), failed(COMMAND), sure("-5")]
        columns = {"+text": [COMMAND, "-5", "- wool"], "weight": [-5.5, None, 1.0]}
        options = JobOptions(prefix="@", excel_safe=excel_safe)
        return answered_job(answers, [COMMAND, "+3.2", "\n=1"], options, columns=columns)

    return make


def csv_records(job, folder: Path) -> list[list[str]]:
    with merged(job, folder / "out.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_what_labelling_writes_into_a_csv_starts_no_formula(dangerous_job, tmp_path: Path) -> None:
    header, first, second, third = csv_records(dangerous_job(False), tmp_path)
    assert header[:4] == ["image", "sku", "+text", "weight"]
    assert header[4:] == [f"'@{name}" for name in RESULT_SCHEMA.names]
    assert (first[1], first[2], second[1], third[1]) == (COMMAND, COMMAND, "+3.2", "\n=1"), "the catalogue's own"
    assert first[header.index("'@label")] == f"'{COMMAND}"
    assert json.loads(first[header.index("'@top_k")])[0]["label"] == COMMAND
    assert second[header.index("'@error_message")] == f"'{COMMAND}"
    assert third[header.index("'@label")] == "-5"


def test_no_cell_of_an_excel_safe_csv_starts_a_formula(dangerous_job, tmp_path: Path) -> None:
    records = csv_records(dangerous_job(True), tmp_path)
    assert records[0][:4] == ["\ufeffimage", "sku", "'+text", "weight"], "a byte order mark says UTF-8"
    assert read_delimited(tmp_path / "out.csv").schema.names[:2] == ["image", "sku"]
    assert [record[1:4] for record in records[1:]] == [
        [f"'{COMMAND}", f"'{COMMAND}", "-5.5"],
        ["+3.2", "-5", ""],
        ["'\n=1", "'- wool", "1.0"],
    ]
    numbers = {"+3.2", "-5", "-5.5"}
    assert not [cell for record in records for cell in record if cell[:1] in tuple("=+-@\n") and cell not in numbers]


@pytest.mark.parametrize(
    ("name", "between", "kept"), [("a.csv", ";", ";"), ("a.csv", "\t", "\t"), ("a.tsv", "\t", ",")]
)
def test_csv_files_have_the_delimiter_of_a_csv_catalogue(tmp_path: Path, name: str, between: str, kept: str) -> None:
    source, storage = tmp_path / name, FolderStorage(tmp_path / "job")
    source.write_text(f"sku{between}image\n1{between}a.jpg\n2{between}b.jpg\n")
    job = create_job(storage, open_catalogue(source), only_question())
    storage.commit(part_key(0), part_bytes([sure("hat"), unsure("hat, or not")], job.spec.id, "shop-7:42", 0.5, 0))
    result = merged(job, tmp_path / "out.csv")
    for file in (result, tmp_path / "out.csv.lists" / REVIEW_FILE):
        with file.open(newline="") as lines:
            records = list(csv.DictReader(lines, delimiter=kept))
        assert (records[-1]["sku"], records[-1]["label"]) == ("2", "hat, or not")


HOLDS_MUCH = """
import resource, sys
from pathlib import Path
from worker.results.merge import scratch_database

with scratch_database(Path(sys.argv[1])) as database:
    database.execute("CREATE TABLE a (b INTEGER PRIMARY KEY, c TEXT)")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    database.executemany("INSERT INTO a (c) VALUES (?)", (("x" * 2000,) for _ in range(100_000)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_leaves_nothing_and_held_little_in_memory(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_MUCH, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    grown_kib = int(process.stdout.readline())
    process.kill()
    process.communicate()
    assert grown_kib < 80 * 1024, "of 200 MB"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at_once", [1, 2, 5, 1000])
def test_batches_are_all_rows_once_in_order(answered_job, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("worker.job.job.BATCH_ROWS", at_once)
    answers = [sure(f"class {row}") for row in range(11)]
    job = answered_job(answers, list(range(11)), chunk_rows=2)
    batches = list(job.batches(["label"], ["sku"]))
    assert [batch.first for batch in batches] == list(range(0, 11, max(2, at_once // 2 * 2)))
    assert [label for batch in batches for label in batch.answers[0].column("label").to_pylist()] == [
        answer.label for answer in answers
    ]
    assert [sku for batch in batches for sku in batch.rows.column("sku").to_pylist()] == list(range(11))
    assert sum(len(batch.schemas) for batch in batches) == job.spec.chunks
