import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.classifier import load
from models.errors import InputError, JobError
from worker.chunk import run_chunk
from worker.merge import check_output, merge_parts


@pytest.fixture
def done_job(make_job, tmp_path: Path, catalogue: Path, bundle: Path):
    """A job whose every chunk is done, over rows with awkward cells."""
    photos = sorted(catalogue.rglob("*.png"))[:5]
    lines = [
        {"image": str(photo), "sku": f"00{i}", "text": 'a "b",\nc', "tags": ["x", i]} for i, photo in enumerate(photos)
    ]
    lines.append({"image": "gone.jpg", "sku": None, "text": "", "tags": None})
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = make_job(source, chunk_rows=2)
    for chunk in range(job.spec.chunks):
        run_chunk(job, chunk, load(bundle))
    return job, lines


def test_jsonl_gives_back_every_cell(done_job, tmp_path: Path) -> None:
    job, lines = done_job
    merge_parts(job, tmp_path / "out.jsonl", lambda _: None)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in lines[0]} for row in rows] == lines
    assert [row["status"] == "failed" for row in rows] == [False] * 5 + [True]
    assert rows[0]["top_k"][0]["label"] == rows[0]["label"]


def test_csv_gives_back_every_cell(done_job, tmp_path: Path) -> None:
    job, lines = done_job
    merge_parts(job, tmp_path / "out.csv", lambda _: None)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [line["text"] for line in lines]
    assert [row["sku"] for row in rows] == [line["sku"] or "" for line in lines]
    assert json.loads(rows[0]["top_k"])[0]["confidence"] == float(rows[0]["confidence"])


def test_parquet_adds_the_result_columns(done_job, tmp_path: Path) -> None:
    job, lines = done_job
    parts: list[pa.Table] = []
    merge_parts(job, tmp_path / "out.parquet", parts.append)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names[: len(lines[0])] == list(lines[0])
    assert table.column_names[len(lines[0]) :] == pa.concat_tables(parts).column_names
    assert table.num_rows == len(lines)


def test_a_missing_part_is_an_error_and_leaves_no_output(done_job, tmp_path: Path) -> None:
    job, _ = done_job
    (job.storage.root / job.part_keys()[1]).unlink()
    with pytest.raises(JobError, match="Chunk 1 has no part"):
        merge_parts(job, tmp_path / "out.parquet", lambda _: None)
    assert not (tmp_path / "out.parquet").exists()


def test_a_part_with_a_row_too_few_is_an_error(done_job, tmp_path: Path) -> None:
    job, _ = done_job
    part = job.storage.root / job.part_keys()[1]
    pq.write_table(pq.read_table(part).slice(1), part)
    with pytest.raises(JobError, match="holds 1 rows, its chunk 2"):
        merge_parts(job, tmp_path / "out.parquet", lambda _: None)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("name", ["out.xlsx", "out", "nowhere/out.csv"])
def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        check_output(tmp_path / name)
