"""Rows are labeled by a promised precision, or by ``--threshold``."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow.parquet as pq
import pytest

from models.preprocess import PreprocessSpec, preprocess
from tests.command import clean_environment, one_line, run_hangtag
from tests.integration.cluster import Cluster
from tests.integration.jobs import assert_same

Label = Callable[..., "tuple[int, str, str]"]
NOTHING = "This model promises no precision: every photo goes to review."
ASKED = "Threshold 0.4, from --threshold: no precision is promised."


@pytest.fixture
def label(catalogue: Path, unsure_bundle: Path, tmp_path: Path) -> Label:
    def run(*options: object, name: str = "labels", model: Path = unsure_bundle) -> tuple[int, str, str]:
        output = ("--out", tmp_path / f"{name}.parquet")
        command = ("label", catalogue, "--model", model, *output, "--workers", 2, *options)
        done = run_hangtag(*map(str, command), env=clean_environment(COLUMNS="200"))
        return done.returncode, one_line(done.stdout), one_line(done.stderr)

    return run


def statuses(output: Path) -> Counter[str]:
    return Counter(pq.read_table(output).column("status").to_pylist())


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
    assert "confidence at least 0.4, set by --threshold; no precision is promised" in page
    model = json.loads((tmp_path / "labels.parquet.job" / "receipt.json").read_text())["model"]
    assert (model["precision"], model["threshold"], model["all_to_review"]) == (None, 0.4, False)
    status, _, refused = label()
    assert status == 1
    assert "holds another job: --threshold was 0.4, is now not given. Name another --out" in refused


def test_workers_on_the_queue_label_at_the_jobs_threshold(
    cluster: Cluster, label: Label, catalogue: Path, unsure_bundle: Path, tmp_path: Path
) -> None:
    for job, asked in (("asked", ("--threshold", 0.4)), ("unasked", ())):
        done = cluster.hangtag(
            "submit", catalogue, "--model", unsure_bundle, "--priority", "high", "--job", job, *asked
        )
        assert (ASKED if asked else NOTHING) in one_line(done.stderr)
    assert ASKED in cluster.must("jobs", "watch", "asked")
    assert NOTHING in cluster.must("jobs", "watch", "unasked")
    assert ASKED in cluster.must("jobs", "show", "asked")
    assert label("--threshold", 0.4)[0] == 0
    assert_same(cluster.job("asked").rows(), pq.read_table(tmp_path / "labels.parquet").to_pylist())
    assert {row["status"] for row in cluster.job("unasked").rows()} == {"review", "failed"}


def expected_statuses(bundle: Path, photos: list[Path], precision: float) -> list[str]:
    manifest = json.loads((bundle / "manifest.json").read_text())
    variant = manifest["variants"]["float32"]
    (thresholds,) = [target["thresholds"] for target in variant["targets"] if target["precision"] == precision]
    session = ort.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    pixels = [preprocess(photo.read_bytes(), PreprocessSpec(**manifest["preprocess"])) for photo in photos]
    found = zip(*session.run(["probabilities", "unknown"], {"image": np.stack(pixels)}), strict=True)

    def status(row: np.ndarray, unknown: float) -> str:
        if unknown > variant["unknown"]["limit"]:
            return "unknown"
        threshold = thresholds[row.argmax()]
        return "labeled" if threshold is not None and row.max() >= np.float32(threshold) else "threshold"

    return [status(row, unknown) for row, unknown in found]


def test_rows_under_their_thresholds_or_beyond_the_limit_go_to_review_and_no_others(
    label: Label, catalogue: Path, sure_bundle: Path, tmp_path: Path
) -> None:
    status, said, _ = label("--precision", 0.98, "--json", model=sure_bundle)
    assert status == 0
    rows = [row for row in pq.read_table(tmp_path / "labels.parquet").to_pylist() if row["status"] != "failed"]
    expected = expected_statuses(sure_bundle, [catalogue / row["image"] for row in rows], 0.98)
    assert set(expected) == {"labeled", "threshold", "unknown"}, "one of each, to prove something"
    assert [row["status"] for row in rows] == ["labeled" if why == "labeled" else "review" for why in expected]
    receipt = json.loads(said)
    assert receipt["model"]["precision"] == 0.98
    assert receipt["review_reasons"] == {why: expected.count(why) for why in ("threshold", "unknown")}
    assert sum(receipt["review_reasons"].values()) == receipt["by_status"]["review"]
    assert [row["reason"] for row in rows] == [None if why == "labeled" else why for why in expected]
