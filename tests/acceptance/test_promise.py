"""Rows are labeled under a promised precision, or under a threshold that somebody asked for by name."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.integration.jobs import assert_same
from tests.integration.processes import clean_environment, run_hangtag

from .place import Place, one_line

Label = Callable[..., "tuple[int, str, str]"]
NOTHING = "This model promises no precision: every photo goes to review."
ASKED = "Threshold 0.4, asked for by --threshold: no precision is promised."


@pytest.fixture
def label(catalogue: Path, unsure_bundle: Path, tmp_path: Path) -> Label:
    """Run ``hangtag label`` on the drawn photos; exit status, stdout and stderr, each on one line."""

    def run(*options: object, name: str = "labels", model: Path = unsure_bundle) -> tuple[int, str, str]:
        output = ("--output", tmp_path / f"{name}.parquet")
        command = ("label", catalogue, "--model", model, *output, "--workers", 2, *options)
        done = run_hangtag(*map(str, command), env=clean_environment(COLUMNS="200"))
        return done.returncode, one_line(done.stdout), one_line(done.stderr)

    return run


def statuses(output: Path) -> Counter[str]:
    return Counter(pq.read_table(output).column("status").to_pylist())


def begun_by_an_earlier_hangtag(job: Path) -> None:
    """As job.json and receipt.json were before version 4, of a model that promises nothing: thresholds labeled rows."""
    spec, receipt = (json.loads((job / name).read_text()) for name in ("job.json", "receipt.json"))
    for record in (spec, receipt):
        del record["model"]["threshold"]
        record["model"]["all_to_review"] = False
    del spec["options"]["threshold"]
    (job / "job.json").write_text(json.dumps({**spec, "schema_version": 3}))
    (job / "receipt.json").write_text(json.dumps(receipt))


def test_a_model_that_promises_nothing_labels_nothing_and_says_so(label: Label, tmp_path: Path) -> None:
    status, said, began = label()
    assert status == 0
    assert set(statuses(tmp_path / "labels.parquet")) == {"review", "failed"}
    page = (tmp_path / "labels.parquet.job" / "receipt.html").read_text()
    assert all(NOTHING in text for text in (said, began, page))
    assert "confident enough" not in page
    model = json.loads((tmp_path / "labels.parquet.job" / "receipt.json").read_text())["model"]
    assert (model["precision"], model["threshold"], model["all_to_review"]) == (None, None, True)


def test_a_threshold_that_is_asked_for_labels_and_is_said_everywhere(label: Label, tmp_path: Path) -> None:
    status, said, began = label("--threshold", 0.4)
    assert status == 0
    rows = [row for row in pq.read_table(tmp_path / "labels.parquet").to_pylist() if row["status"] != "failed"]
    assert {row["status"] for row in rows} == {"labeled", "review"}
    assert [row["status"] == "labeled" for row in rows] == [row["confidence"] >= 0.4 for row in rows]
    page = (tmp_path / "labels.parquet.job" / "receipt.html").read_text()
    assert all(ASKED in text for text in (said, began, page))
    assert "at least 0.4 sure, as asked for; no precision is promised" in page
    model = json.loads((tmp_path / "labels.parquet.job" / "receipt.json").read_text())["model"]
    assert (model["precision"], model["threshold"], model["all_to_review"]) == (None, 0.4, False)
    status, _, refused = label()
    assert status == 1
    assert "an option differs" in refused


def test_a_threshold_and_a_precision_exclude_each_other(label: Label, tmp_path: Path, sure_bundle: Path) -> None:
    status, _, refused = label("--threshold", 0.5, "--precision", 0.98, model=sure_bundle)
    assert (status, refused.startswith("hangtag: Expected --precision or --threshold, got both")) == (2, True)
    assert label("--threshold", 0)[0] == label("--threshold", "nan")[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_an_earlier_hangtag_began_without_a_promise_is_begun_anew(label: Label, tmp_path: Path) -> None:
    output, job = tmp_path / "labels.parquet", tmp_path / "labels.parquet.job"
    assert label()[0] == 0
    begun_by_an_earlier_hangtag(job)
    output.unlink()
    for part in sorted((job / "parts").iterdir())[:1]:
        part.unlink()
    status, _, refused = label()
    assert status == 1
    assert "promises no precision, and labeled rows all the same. Start again with --restart" in refused
    assert label("--restart")[0] == 0
    assert set(statuses(output)) == {"review", "failed"}


def test_nothing_is_carried_over_from_a_job_that_an_earlier_hangtag_labeled_without_a_promise(
    label: Label, tmp_path: Path
) -> None:
    output = tmp_path / "labels.parquet"
    assert label()[0] == 0
    begun_by_an_earlier_hangtag(tmp_path / "labels.parquet.job")
    _, _, said = label("--previous", output, name="next")
    assert "Nothing is carried over from" in said
    assert "what is labeled without a promise changed" in said
    assert "No precision was promised: an earlier Hangtag" in label()[1], "its own result stays as it is, and says so"


def test_workers_on_the_queue_label_at_the_jobs_threshold(
    place: Place, label: Label, catalogue: Path, unsure_bundle: Path, tmp_path: Path
) -> None:
    """Two jobs of one model at once, each by a rule of its own."""
    for job, asked in (("asked", ("--threshold", 0.4)), ("unasked", ())):
        done = place.run("submit", catalogue, "--model", unsure_bundle, "--priority", "high", "--job", job, *asked)
        assert (ASKED if asked else NOTHING) in one_line(done.stderr)
    assert ASKED in place.must("jobs", "watch", "asked")
    assert NOTHING in place.must("jobs", "watch", "unasked")
    assert ASKED in place.must("jobs", "show", "asked")
    assert label("--threshold", 0.4)[0] == 0
    assert_same(place.rows("asked"), pq.read_table(tmp_path / "labels.parquet").to_pylist())
    assert {row["status"] for row in place.rows("unasked")} == {"review", "failed"}
