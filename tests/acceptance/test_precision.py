"""A person asks for a precision: which rows go to review, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow.parquet as pq
import pytest

from models.preprocess import PreprocessSpec, preprocess
from tests.integration.jobs import assert_same
from tests.integration.processes import clean_environment, run_hangtag

from .place import Place, one_line

Label = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def label(catalogue: Path, sure_bundle: Path, tmp_path: Path) -> Label:
    """Run ``hangtag label`` on the drawn photos; exit status, stdout and stderr."""

    def run(*options: object, model: Path = sure_bundle) -> tuple[int, str, str]:
        output = ("--output", tmp_path / "labels.parquet")
        command = ("label", catalogue, "--model", model, *output, "--workers", 2, *options)
        done = run_hangtag(*map(str, command), env=clean_environment(COLUMNS="200"))
        return done.returncode, done.stdout, done.stderr

    return run


def expected_status(bundle: Path, photo: Path, precision: float) -> str:
    """Worked out from the files of the bundle alone."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    variant = manifest["variants"]["float32"]
    (thresholds,) = [target["thresholds"] for target in variant["targets"] if target["precision"] == precision]
    session = ort.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    pixels = preprocess(photo.read_bytes(), PreprocessSpec(**manifest["preprocess"]))
    (row,), (unknown,) = session.run(["probabilities", "unknown"], {"image": pixels[np.newaxis]})
    if unknown > variant["unknown"]["limit"]:
        return "unknown"
    threshold = thresholds[row.argmax()]
    return "labeled" if threshold is not None and row.max() >= np.float32(threshold) else "threshold"


def test_rows_under_their_thresholds_or_beyond_the_limit_go_to_review_and_no_others(
    label: Label, catalogue: Path, sure_bundle: Path, tmp_path: Path
) -> None:
    status, said, _ = label("--precision", 0.98, "--json")
    assert status == 0
    rows = [row for row in pq.read_table(tmp_path / "labels.parquet").to_pylist() if row["status"] != "failed"]
    expected = [expected_status(sure_bundle, catalogue / row["image"], 0.98) for row in rows]
    assert set(expected) == {"labeled", "threshold", "unknown"}, "one of each, to prove something"
    assert [row["status"] for row in rows] == ["labeled" if why == "labeled" else "review" for why in expected]
    receipt = json.loads(said)
    assert receipt["model"]["precision"] == 0.98
    assert receipt["review_reasons"] == {why: expected.count(why) for why in ("threshold", "unknown")}
    assert sum(receipt["review_reasons"].values()) == receipt["by_status"]["review"]
    assert "reason" not in pq.read_schema(tmp_path / "labels.parquet").names


def test_the_table_says_which_precision_rules(label: Label) -> None:
    _, said, _ = label()
    assert "Precision: 0.90, expected of the labeled rows" in said
    assert "not sure enough" in said
    assert "unlike what the model knows" in said


def test_a_precision_that_can_be_promised_for_no_class_is_said(label: Label, tmp_path: Path) -> None:
    status, said, warned = label("--precision", 0.99)
    assert status == 0
    for text in (said, warned):
        assert "Precision 0.99 can be promised for no class: every photo goes to review." in one_line(text)
    statuses = set(pq.read_table(tmp_path / "labels.parquet").column("status").to_pylist())
    assert statuses == {"review", "failed"}


@pytest.mark.parametrize("lone", [False, True], ids=["bundle", "lone file"])
def test_another_precision_is_refused_before_anything_is_written(
    label: Label, sure_bundle: Path, tmp_path: Path, lone: bool
) -> None:
    model = sure_bundle / "model.onnx" if lone else sure_bundle
    status, said, refused = label("--precision", 0.93, model=model)
    assert (status, said) == (2, "")
    assert refused.strip() == "hangtag: Expected --precision to be one of 0.90, 0.98, 0.99, got 0.93."
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_table_is_refused_before_anything_is_written(
    label: Label, unsure_bundle: Path, tmp_path: Path
) -> None:
    status, _, refused = label("--precision", 0.98, model=unsure_bundle)
    assert status == 2
    assert "Expected a table of precisions in the model cnn" in refused
    assert list(tmp_path.iterdir()) == []


def test_another_precision_is_another_job(label: Label) -> None:
    assert label("--precision", 0.98)[0] == 0
    status, _, refused = label("--precision", 0.90)
    assert status == 1
    assert "an option differs" in refused


def test_workers_on_the_queue_honour_the_jobs_precision(
    place: Place, label: Label, catalogue: Path, sure_bundle: Path, tmp_path: Path
) -> None:
    """Two jobs of one model at once, each with thresholds of its own."""
    options = ("--model", sure_bundle, "--priority", "high")
    for job, precision in (("strict", 0.98), ("own", None)):
        asked = () if precision is None else ("--precision", precision)
        place.must("submit", catalogue, *options, "--job", job, *asked)
    for job in ("strict", "own"):
        assert "Precision: " in place.must("jobs", "watch", job)
    assert label("--precision", 0.98)[0] == 0
    assert_same(place.rows("strict"), pq.read_table(tmp_path / "labels.parquet").to_pylist())
    reviews = [sum(row["status"] == "review" for row in place.rows(job)) for job in ("own", "strict")]
    assert 0 < reviews[0] < reviews[1]


def test_the_queue_refuses_another_precision_before_anything_is_written(
    place: Place, catalogue: Path, sure_bundle: Path
) -> None:
    before = sorted(place.jobs.rglob("*"))
    done = place.run("submit", catalogue, "--model", sure_bundle, "--job", "refused", "--precision", 0.93)
    assert done.returncode == 2
    assert "one of 0.90, 0.98, 0.99, got 0.93" in done.stderr
    assert sorted(place.jobs.rglob("*")) == before
    said = place.run("submit", catalogue, "--model", sure_bundle, "--job", "hopeless", "--precision", 0.99, "--json")
    assert json.loads(said.stdout)["new"] is True
    assert "every photo goes to review" in one_line(said.stderr)
    place.must("jobs", "watch", "hopeless")
    assert {row["status"] for row in place.rows("hopeless")} == {"review", "failed"}
