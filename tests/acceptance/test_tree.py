"""Classes are leaves of a tree: trained, exported, labelled and measured."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.manifest import Manifest, parse_file
from models.statistics.confidence import Confidence, PrecisionTarget
from tests.command import one_line, run_hangtag
from trainer.sample.products import DEPARTMENTS

QUICKLY = ("--arch", "cnn", "--image-size", 32, "--epochs", 6, "--batch-size", 16, "--folds", 0, "--seed", 1)
COLUMNS = ("--image-column", "image", "--label-column", "category")


@pytest.fixture(scope="module")
def shop(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and a bundle of drawn products, in a tree of two levels.

    The thresholds are made up, so that rows are labelled at both levels, and some go to review.
    """
    folder = tmp_path_factory.mktemp("tree")
    rows = "".join(f"{label},{parent}\n" for label, parent in DEPARTMENTS.items())
    (folder / "tree.csv").write_text(f"label,parent\n{rows}")
    asked = (drawn.with_name("products.csv"), *COLUMNS, "--taxonomy", folder / "tree.csv")
    done = run_hangtag("train", *asked, *QUICKLY, "--out", folder, "--name", "run")
    assert done.returncode == 0, done.stderr
    file = folder / "run" / "confidence.json"
    found = Confidence.model_validate_json(file.read_bytes())
    assert all(target.nodes.keys() == {"clothing", "home"} for target in found.targets)
    made_up = PrecisionTarget(
        precision=0.90, thresholds=(0.45,) * 8, coverage=0.7, class_coverage=(0.7,) * 8, rows=(9,) * 8,
        nodes={"clothing": 0.7, "home": 0.7}, level_coverage=(0.3, 0.4),
    )  # fmt: skip
    sure = found.model_copy(update={"targets": (made_up,), "precision": 0.90})
    file.write_text(sure.model_dump_json())
    done = run_hangtag("export", folder / "run", "--out", folder / "bundle", "--no-int8")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def labelled(shop: Path, drawn: Path) -> tuple[Path, dict[str, Any]]:
    """A result of the bundle, and its receipt."""
    output = shop / "labels.parquet"
    done = run_hangtag("label", drawn, "--model", shop / "bundle", "--out", output, "--workers", 1, "--json")
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout)


def test_the_tree_is_kept_in_run_and_bundle(shop: Path) -> None:
    assert json.loads((shop / "run" / "args.json").read_text())["parents"] == dict(DEPARTMENTS)
    manifest = parse_file(Manifest, (shop / "bundle" / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.taxonomy == dict(DEPARTMENTS)
    assert manifest.metadata("float32").tree.path("hat") == "clothing > hat"
    for card in ("run", "bundle"):
        assert "clothing" in (shop / card / "README.md").read_text()
    with (shop / "run" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"answer", "label_level"} <= rows[0].keys()
    assert all(row["answer"] in {row["predicted"], DEPARTMENTS[row["predicted"]]} for row in rows)


def test_a_row_that_is_not_sure_of_its_class_gets_what_is_above_it(
    shop: Path, drawn: Path, labelled: tuple[Path, dict[str, Any]]
) -> None:
    output, receipt = labelled
    rows = pq.read_table(output).to_pylist()
    assert list(rows[0])[-2:] == ["label_level", "leaf_guess"]
    levels = {0: 0, 1: 0}
    for row in rows:
        if row["status"] == "failed":
            assert row["label_level"] is row["leaf_guess"] is None
            continue
        guess, confidence = row["top_k"][0]["label"], row["top_k"][0]["confidence"]
        assert row["leaf_guess"] == guess
        if row["status"] == "labeled":
            levels[row["label_level"]] += 1
        if row["label_level"] == 1:
            assert row["status"] == "labeled"
            assert row["label"] == DEPARTMENTS[guess]
            assert confidence < np.float32(0.45)
            assert row["confidence"] >= np.float32(0.7)
        else:
            assert (row["label"], row["confidence"]) == (guess, confidence)
    assert min(levels.values()) > 5
    assert {int(level): count for level, count in receipt["by_level"].items()} == levels
    assert receipt["model"]["taxonomy"] == dict(DEPARTMENTS)
    told = receipt["drift"]["reference"]["by_label"]
    assert not {"clothing", "home"} & told.keys()
    assert receipt["drift"]["rows"] > 200
    share = f"{levels[0] / len(rows):.1%} labeled with a class, {sum(levels.values()) / len(rows):.1%} with a class or"
    assert share in Path(f"{output}.job", "receipt.html").read_text()
    alone = run_hangtag("classify", drawn / rows[0]["image"], "--model", shop / "bundle", "--json")
    said = json.loads(alone.stdout)
    assert (said["label"], said["label_level"]) == (rows[0]["label"], rows[0]["label_level"])


def test_what_was_carried_over_keeps_its_level(
    shop: Path, drawn: Path, labelled: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    first, _ = labelled
    again = tmp_path / "again.parquet"
    said = ("--model", shop / "bundle", "--workers", 1)
    done = run_hangtag("label", drawn, *said, "--out", again, "--previous", first, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["photos"]["carried"] > 200
    assert pq.read_table(again).to_pylist() == pq.read_table(first).to_pylist()


def test_a_model_is_measured_at_each_level(shop: Path, drawn: Path) -> None:
    found = []
    for model in ("run", "bundle"):
        done = run_hangtag("evaluate", shop / model, drawn.with_name("products.csv"), *COLUMNS, "--json")
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
        achieved = found[-1]["coverage_at_precision"]["0.90"]
        assert sum(level["automatic"] for level in achieved["levels"]) == achieved["automatic"] > 0
        assert found[-1]["distances"].keys() <= {"0", "1", "2"}
        assert sum(found[-1]["distances"].values()) == found[-1]["n"]
        assert found[-1]["distances"]["0"] == round(found[-1]["accuracy"] * found[-1]["n"])
    evaluation = json.loads((shop / "run" / "evaluation.json").read_text())
    assert evaluation["distances"]["test"] == found[0]["distances"]
    shown = run_hangtag("evaluate", shop / "run", drawn.with_name("products.csv"), *COLUMNS)
    assert "0.90: leaf " in one_line(shown.stdout)
    assert "at some level" in one_line(shown.stdout)
