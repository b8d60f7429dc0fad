"""``hangtag corrections``: several at once, killed, on files of spreadsheets."""

import csv
import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from models.storage.storage import FolderStorage
from tests.command import HANGTAG, clean_environment, run_hangtag
from tests.review_jobs import Row, doubtful, labelled_job
from tests.until import until
from worker.job.job import open_job
from worker.job.parts import Status
from worker.results.finish import finish_job
from worker.results.merge import merge_job

HEAD = "image,sha256,label,was,reviewer,model,at\n"
LOCK = ".corrections.csv.lock"


def rows(reviewer: str, count: int, label: str = "boots") -> str:
    return HEAD + "".join(f",{number:064x},{label},,{reviewer},,2026-05-01T12:00:00Z\n" for number in range(count))


def begin(folder: Path, file: str) -> "subprocess.Popen[bytes]":
    command = [*HANGTAG, "corrections", "import", str(folder / file), "--corrections", str(folder / "corrections.csv")]
    return subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL)


def stored(folder: Path) -> list[dict[str, str]]:
    with (folder / "corrections.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_imports_at_once_lose_no_vote(tmp_path: Path) -> None:
    reviewers = ("anna", "bob", "cem", "dora")
    for reviewer in reviewers:
        (tmp_path / f"{reviewer}.csv").write_text(rows(reviewer, 50))
    with locked(tmp_path):
        imports = [begin(tmp_path, f"{reviewer}.csv") for reviewer in reviewers]
        waits = [psutil.Process(one.pid) for one in imports]
        until(
            lambda: all(any(file.path.endswith(LOCK) for file in one.open_files()) for one in waits),
            "all imports stand before the lock",
            within_s=120,
        )
        assert not (tmp_path / "corrections.csv").exists()
    assert [one.wait(120) for one in imports] == [0] * len(reviewers)
    assert len(stored(tmp_path)) == 50 * len(reviewers)
    assert {row["reviewer"] for row in stored(tmp_path)} == set(reviewers)


@pytest.mark.parametrize("moment", [LOCK, ".tmp"])
def test_an_import_that_is_killed_leaves_the_votes_of_before_or_all(tmp_path: Path, moment: str) -> None:
    (tmp_path / "corrections.csv").write_text(rows("anna", 100))
    (tmp_path / "more.csv").write_text(rows("bob", 5_000))
    one = begin(tmp_path, "more.csv")
    while one.poll() is None and not any(file.name.endswith(moment) for file in tmp_path.iterdir()):
        pass
    one.kill()
    one.wait()
    assert len(stored(tmp_path)) in {100, 5_100}
    (tmp_path / "last.csv").write_text(rows("cem", 1))
    for file in ("more.csv", "last.csv"):
        assert begin(tmp_path, file).wait(120) == 0
    assert len(stored(tmp_path)) == 5_101
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"corrections.csv", "more.csv", "last.csv", LOCK}


def test_what_reviewers_disagree_on_is_shown_until_they_agree(tmp_path: Path) -> None:
    within = ("--corrections", str(tmp_path / "corrections.csv"))
    for reviewer, label in (("anna", "boots"), ("bob", "=hats")):
        (tmp_path / f"{reviewer}.csv").write_text(rows(reviewer, 1, label))
    assert run_hangtag("corrections", "import", str(tmp_path / "anna.csv"), *within).returncode == 0
    done = run_hangtag("corrections", "import", str(tmp_path / "bob.csv"), *within, "--new-label", "=hats")
    assert done.returncode == 0
    assert "1 photo on which reviewers disagree" in done.stdout
    assert stored(tmp_path)[1]["label"] == "'=hats"
    (tmp_path / "later.csv").write_text(rows("anna", 1, "'=hats").replace("2026-05-01", "2026-05-02"))
    later = json.loads(run_hangtag("corrections", "import", str(tmp_path / "later.csv"), *within, "--json").stdout)
    assert (later["new"], later["conflicts"]) == (1, [])
    listed = json.loads(run_hangtag("corrections", "list", *within, "--json").stdout)
    assert [(one["label"], one["reviewers"]) for one in listed["agreed"]] == [("=hats", ["anna", "bob"])]
    assert (listed["votes"], [vote["reviewer"] for vote in listed["agreed"][0]["votes"]]) == (3, ["anna", "bob"])


def test_a_file_with_a_bad_row_is_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(rows("anna", 2) + ",abc,hats,,anna,,2026-05-01\n")
    done = run_hangtag(
        "corrections", "import", str(tmp_path / "bad.csv"), "--corrections", str(tmp_path / "corrections.csv")
    )
    assert done.returncode == 2
    assert "row 4: " in done.stderr
    assert not (tmp_path / "corrections.csv").exists()


def test_a_retraining_says_where_its_corrections_are(tmp_path: Path) -> None:
    (tmp_path / "retrain.toml").write_text('name = "shop"\ndata = "photos"\ncorrections = "kept/corrections.csv"\n')
    (tmp_path / "anna.csv").write_text(rows("anna", 3))
    config = ("--corrections", str(tmp_path / "retrain.toml"))
    assert run_hangtag("corrections", "import", str(tmp_path / "anna.csv"), *config).returncode == 0
    assert len(stored(tmp_path / "kept")) == 3
    assert json.loads(run_hangtag("corrections", "list", *config, "--json").stdout)["votes"] == 3
    (tmp_path / "retrain.toml").write_text('name = "shop"\ndata = "photos"\n')
    assert run_hangtag("corrections", "list", *config).returncode == 2


def test_a_review_list_without_answers_says_so_and_ends_with_status_4(tmp_path: Path) -> None:
    head, row = "row,correct_label,label,confidence,top_k,image,sha256", f"boots,0.4,boots 0.40,1.jpg,{'a' * 64}"
    file, into = tmp_path / "review.csv", ("--corrections", str(tmp_path / "corrections.csv"), "--reviewer", "anna")
    file.write_text(f"{head}\n1,,{row}\n")
    done = run_hangtag("corrections", "import", str(file), *into)
    assert done.returncode == 4
    assert not (tmp_path / "corrections.csv").exists()
    file.write_text(f"{head}\n1,hats,{row.replace('0.40', '0.40; hats 0.30')}\n")
    for _ in range(2):
        assert run_hangtag("corrections", "import", str(file), *into).returncode == 0, "known answers are no fault"
    assert [(row["label"], row["was"]) for row in stored(tmp_path)] == [("hats", "boots")]


def test_a_review_list_goes_through_a_spreadsheet_back_into_the_result(tmp_path: Path) -> None:
    rows = [*doubtful(3), Row(7, "hats", 0.99, Status.LABELED, category="=cmd()")]
    result = labelled_job(tmp_path / "shop", rows, chunk_rows=2)
    job = open_job(FolderStorage(result.with_name(f"{result.name}.job")))
    assert job is not None
    finish_job(job)
    merge_job(job, result, tmp_path)
    sheet = Path(job.storage.place) / "review.csv"
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == ["1", "2", "3"]
    assert [Path(line["thumbnail"]).is_file() for line in lines] == [True] * 3
    lines[0]["correct_label"], lines[1]["correct_label"] = "shoes", lines[1]["label"]
    with sheet.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), delimiter=";", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(lines)
    into = str(tmp_path / "corrections.csv")
    done = run_hangtag("corrections", "import", str(sheet), "--reviewer", "anna", "--corrections", into, "--json")
    assert (done.returncode, json.loads(done.stdout)["new"]) == (0, 2), done.stderr
    assert {Path(row["image"]).is_file() for row in stored(tmp_path)} == {True}
    elsewhere = run_hangtag("corrections", "apply", str(result), "--corrections", str(tmp_path / "none.csv"))
    assert elsewhere.returncode == 2, "a wrong name is no result without corrections"
    found = json.loads(run_hangtag("corrections", "apply", str(result), "--corrections", into, "--json").stdout)
    assert (found["changed"], found["confirmed"], found["rows"]) == (1, 1, 4)
    assert found["to_review"] == {str(sheet.with_name("review.corrected.csv")): 1}
    shown = run_hangtag("corrections", "apply", str(result), "--corrections", into).stdout
    assert "Next: hangtag retrain CONFIG.toml" in shown
    corrected = pq.read_table(result.with_name("labels.corrected.parquet")).to_pylist()
    assert [(row["label"], row["status"], row["reviewed_by"]) for row in corrected] == [
        ("shoes", "labeled", "anna"),
        (rows[1].label, "labeled", "anna"),
        (rows[2].label, "review", None),
        ("hats", "labeled", None),
    ]
