"""``hangtag label`` with several models gives the answers of a run of each model alone."""

import csv
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.command import HANGTAG, one_line, run_hangtag
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote
from worker.job.parts import RESULT_SCHEMA, SEVERITY, Status
from worker.job.receipt import QuestionsReceipt

Models = dict[str, Path]


@pytest.fixture(scope="module")
def models(sure_bundle: Path, int8_bundle: Path, unsure_bundle: Path) -> Models:
    return {"category": sure_bundle, "colour": int8_bundle, "pattern": unsure_bundle}


def run(source: Path, models: Models, output: Path, *options: object) -> "subprocess.CompletedProcess[str]":
    named = [word for name, model in models.items() for word in ("--model", f"{name}={model}")]
    return run_hangtag("label", source, *named, "--out", output, "--workers", "1", *options)


def alone(source: Path, name: str, model: Path, output: Path, *options: object) -> None:
    prefix = ("--prefix", f"{name}_")
    done = run_hangtag("label", source, "--model", model, "--out", output, "--workers", "1", *prefix, *options)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Path:
    photos = sorted(catalogue.rglob("*.png"))[:21]
    folder = tmp_path_factory.mktemp("shop")
    (folder / "text.jpg").write_text("no photo")
    with (folder / "shop.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "sku"])
        images = [*photos, photos[0], folder / "text.jpg", folder / "gone.jpg"]
        rows.writerows((image, f"SKU-{number % 10}") for number, image in enumerate(images))
    return folder / "shop.csv"


def test_each_question_has_the_columns_and_lists_of_a_run_alone(tmp_path: Path, shop: Path, models: Models) -> None:
    output, group = tmp_path / "labels.parquet", ("--group-column", "sku")
    done = run(shop, models, output, *group, "--json")
    assert done.returncode == 0, done.stderr
    table, receipt = pq.read_table(output), json.loads(done.stdout)
    added = [f"{name}_{column}" for name in models for column in RESULT_SCHEMA.names]
    assert table.column_names == ["image", "sku", *added, "status"]
    assert receipt["photos"]["decoded"] == 22
    questions = tmp_path / "labels.parquet.job" / "questions"
    for name, model in models.items():
        one = tmp_path / f"{name}.parquet"
        alone(shop, name, model, one, *group)
        expected = pq.read_table(one)
        assert table.select(expected.column_names).equals(expected)
        folder = tmp_path / f"{name}.parquet.job"
        assert (questions / name / "review.csv").read_bytes() == (folder / "review.csv").read_bytes()
        votes = [pq.read_table(place / "by_group.parquet") for place in (questions / name, folder)]
        assert votes[0].equals(votes[1])
        theirs, ours = json.loads((folder / "receipt.json").read_text()), receipt["questions"][name]
        same = ("rows", "model", "by_status", "by_label", "errors", "review_reasons", "groups", "drift", "left_out")
        assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
        assert ours == json.loads((questions / name / "receipt.json").read_text())
        assert f"<b>{name}</b>" in (questions / name / "receipt.html").read_text()
    for row in table.to_pylist():
        statuses = [Status(row[f"{name}_status"]) for name in models]
        assert row["status"] == max(statuses, key=SEVERITY.__getitem__)
    counts = {status: table.column("status").to_pylist().count(status) for status in Status}
    assert receipt["by_status"] == counts
    assert counts["failed"] == 2
    page = (tmp_path / "labels.parquet.job" / "receipt.html").read_text()
    assert all(f'href="questions/{name}/receipt.html"' in page for name in models)
    assert QuestionsReceipt.promise in page


def test_text_formats_and_the_terminal(tmp_path: Path, shop: Path, models: Models) -> None:
    two = {name: models[name] for name in ("category", "colour")}
    done = run(shop, two, tmp_path / "labels.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert {row["status"] for row in rows} <= set(Status)
    assert (rows[-1]["category_error"], rows[-1]["colour_status"], rows[-1]["status"]) == (
        "missing",
        "failed",
        "failed",
    )
    assert all(name in done.stdout for name in ("category", "colour", "24 rows", "worst status"))
    assert "not for all labels of a row together" in one_line(done.stdout)
    again = run(shop, two, tmp_path / "labels.csv")
    assert "done already" in again.stderr
    assert run(shop, two, tmp_path / "labels.jsonl").returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [line["colour_label"] for line in lines] == [row["colour_label"] or None for row in rows]
    assert [line["status"] for line in lines] == [row["status"] for row in rows]


def test_answers_to_each_question_are_applied_without_a_file_of_all(tmp_path: Path, shop: Path, models: Models) -> None:
    output, said = tmp_path / "labels.csv", tmp_path / "corrections.csv"
    assert run(shop, {name: models[name] for name in ("category", "colour")}, output).returncode == 0
    none = run_hangtag("corrections", "apply", output, "--corrections", said)
    assert none.returncode == 2
    assert "corrections-category.csv or" in one_line(none.stderr)
    with output.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["colour_label"]]
    row = rows[0]
    other = "boots" if row["colour_label"] != "boots" else "hats"
    answers = CorrectionStore(said).of_question("colour")
    answers.append([Vote(datetime.now(UTC), "anna", row["colour_sha256"], "", other)])
    done = run_hangtag("corrections", "apply", output, "--corrections", said, "--json")
    same = sum(one["colour_sha256"] == row["colour_sha256"] for one in rows)
    assert json.loads(done.stdout)["changed"] == same, done.stderr
    table = run_hangtag("corrections", "apply", output, "--corrections", said).stdout
    assert " labels " in table
    assert "Still to review: " in table
    assert "questions/colour/review.corrected.csv" in one_line(table)
    with (tmp_path / "labels.corrected.csv").open(newline="") as file:
        assert next(row for row in csv.DictReader(file) if row["colour_reviewed_by"])["colour_label"] == other


def test_a_run_that_is_killed_again_and_again_gives_the_same_result(
    tmp_path: Path, models: Models, catalogue: Path
) -> None:
    photos = sorted(str(photo) for photo in catalogue.rglob("*.*"))
    source = tmp_path / "list.txt"
    source.write_text("".join(f"{photo}\n" for photo in photos * 4))
    clean, killed = tmp_path / "clean.parquet", tmp_path / "killed.parquet"
    two = {name: models[name] for name in ("category", "colour")}
    assert run(source, two, clean).returncode == 0
    named = [word for name, model in two.items() for word in ("--model", f"{name}={model}")]
    command = [*HANGTAG, "label", str(source), *named, "--out", str(killed), "--workers", "2"]
    parts = tmp_path / "killed.parquet.job" / "parts"
    for more in (1, 4):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and (not parts.is_dir() or len(list(parts.glob("*.arrow"))) < more):
                os.sched_yield()
            process.kill()
        assert not killed.exists()
    before = {part.name: part.stat().st_mtime_ns for part in parts.glob("*.arrow")}
    assert run(source, two, killed).returncode == 0
    assert pq.read_table(killed).equals(pq.read_table(clean))
    assert all((parts / name).stat().st_mtime_ns == time for name, time in before.items())
    assert not list((tmp_path / "killed.parquet.job" / "in_progress").iterdir())
