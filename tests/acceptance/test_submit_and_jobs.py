"""A job is submitted, watched to its end, and shown, as a person does it."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq

from tests.integration.jobs import assert_same
from worker.receipt import Receipt

from .place import SPRING_ROWS, Place


def test_a_job_is_submitted_watched_and_shown(place: Place, spring: tuple[str, str]) -> None:
    submitted, watched = spring
    assert submitted.startswith(f"Submitted: spring, {SPRING_ROWS} rows in 3 chunks")
    assert submitted.endswith("Photos are in the column 'image'. Watch it with: hangtag jobs watch spring")
    assert f"Results: {place.jobs}/spring/labels.parquet" in watched
    assert f"Page: {place.jobs}/spring/receipt.html" in watched
    assert f"{SPRING_ROWS} images in" in watched
    assert "missing, row 598, gone.jpg" in watched


def test_the_result_is_that_of_hangtag_label(
    place: Place, spring, products: Path, catalogue: Path, bundle: Path
) -> None:
    output = place.folder / "labels.parquet"
    place.must("label", products, "--model", bundle, "--image-root", catalogue, "--output", output, "--workers", 2)
    assert pq.read_schema(place.jobs / "spring" / "labels.parquet") == pq.read_schema(output)
    assert_same(place.rows("spring"), pq.read_table(output).to_pylist())


def test_the_same_job_again_is_the_one_that_is_there(
    place: Place, spring, products: Path, catalogue: Path, bundle: Path
) -> None:
    options = ("--model", bundle, "--image-root", catalogue, "--job", "spring")
    assert place.must("submit", products, *options).startswith("Was submitted before: spring, 600 rows")
    record = json.loads(place.run("submit", products, *options, "--json").stdout)
    assert record == {
        "job": "spring",
        "new": False,
        "folder": str(place.jobs / "spring"),
        "rows": SPRING_ROWS,
        "chunks": 3,
        "model": str(bundle),
    }
    other = place.run("submit", products, *options, "--top-k", 1)
    assert (other.returncode, other.stdout) == (1, "")
    assert "There is a job spring already" in other.stderr


def test_a_script_submits_a_job(place: Place, few, bundle: Path) -> None:
    record = json.loads(place.run(*few("scripted"), "--json").stdout)
    folder = place.jobs / "scripted"
    expected = {"job": "scripted", "new": True, "folder": str(folder), "rows": 4, "chunks": 1, "model": str(bundle)}
    assert record == expected
    place.must("jobs", "watch", "scripted")
    assert len(place.rows("scripted")) == 4


def test_jobs_are_a_table(place: Place, spring) -> None:
    (line,) = [line for line in place.run("jobs").stdout.splitlines() if "spring" in line]
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[:4] == ["spring", "finished", "600 / 600", "100%"]
    assert cells[7] == place.rows("spring")[0]["model"]


def test_jobs_are_json(place: Place, spring) -> None:
    (record,) = [job for job in json.loads(place.run("jobs", "--json").stdout) if job["job"] == "spring"]
    failed = sum(row["status"] == "failed" for row in place.rows("spring"))
    assert failed >= 3
    expected = {
        "state": "finished",
        "rows": SPRING_ROWS,
        "done": SPRING_ROWS,
        "failed": failed,
        "deaths": 0,
        "seconds_left": None,
    }
    assert {**record, **expected} == record
    assert record["priority"] == "normal"
    assert record["folder"] == str(place.jobs / "spring")


def test_a_place_without_jobs_says_how_to_make_one(place: Place, tmp_path: Path) -> None:
    assert place.must("jobs", "--jobs", tmp_path) == f"No jobs in {tmp_path}; hangtag submit makes one."
    assert json.loads(place.run("jobs", "--jobs", tmp_path, "--json").stdout) == []


def test_a_job_and_its_workers_are_shown(place: Place, spring, products: Path, catalogue: Path) -> None:
    text = place.must("jobs", "show", "spring")
    assert f"Catalogue: {products}, column image, photos under {catalogue}" in text
    assert "Chunks: 3 of 256 rows" in text
    assert f"Worker: {os.uname().nodename}, process {place.worker.pid}, slots: 2" in text
    record = json.loads(place.run("jobs", "show", "spring", "--json").stdout)
    assert (record["job"], record["redis_error"], record["trouble"]) == ("spring", None, {})
    assert [worker["slots"] for worker in record["workers"]] == [2]


def test_a_receipt_is_printed(place: Place, spring: tuple[str, str]) -> None:
    assert place.must("jobs", "receipt", "spring") in spring[1]
    printed = Receipt.model_validate_json(place.run("jobs", "receipt", "spring", "--json").stdout)
    assert printed == Receipt.model_validate_json((place.jobs / "spring" / "receipt.json").read_text())
    assert (printed.rows, sum(printed.by_status.values())) == (SPRING_ROWS, SPRING_ROWS)
    assert printed.errors["refused"].examples[0].image == "ftp://shop.example/a.jpg"
